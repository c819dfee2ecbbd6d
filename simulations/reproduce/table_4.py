"""Table 4 of TECS 2024: TinyReptile's accuracy against the shots that a new device is given."""

from collections.abc import Sequence

from tinyfleet.simulations import published
from tinyfleet.simulations.reproduce.cells import (
    NOT_PUBLISHED,
    Cell,
    Figure,
    Line,
    Table,
    command_of,
)
from tinyfleet.simulations.reproduce.studies import APPS, comparable, tinyreptile
from tinyfleet.simulations.reproduce.work import Work

NAME = "table-4"
NOTES = """
Accuracy in percent (presence: balanced accuracy) of a device that nobody has met, of classes,
speakers and rooms that no device trained on, after fine-tuning on D labelled samples a class.
*Tuned*: passes over these samples and their rate were chosen on validation tasks, for each D.
*One pass*: each sample is learned once, as TinyReptile trains. D is 0 for the weights as they
were received.
"""


def cells(work: Work) -> Sequence[Cell]:
    """Return each application's accuracy at every D, tuned and in one pass."""
    found = []
    for app in APPS:
        ran, curve = tinyreptile(work, app), published.accuracy_by_shots(app)
        for row, one_pass in ((f"{app}, tuned", False), (f"{app}, one pass", True)):
            for shots in published.SHOTS:
                score = ran.score(shots, one_pass=one_pass)
                then = curve.at(shots) if curve else None
                why = comparable(app) or ("" if then is not None else NOT_PUBLISHED)
                found.append(
                    Cell(
                        NAME,
                        row,
                        f"{shots} shots",
                        score.mean,
                        score.ci95,
                        then,
                        command_of(NAME),
                        "%",
                        why,
                    )
                )
        size = ran.result["parameters"]
        then = published.PARAMETERS[app]
        found.append(
            Cell(NAME, f"{app}, network", "parameters", size, None, then, command_of(NAME))
        )
    return found


def figures(work: Work) -> Sequence[Figure]:
    """Draw accuracy against shots, an application each."""
    drawn = []
    for app in APPS:
        ran, curve = tinyreptile(work, app), published.accuracy_by_shots(app)
        scores = [ran.score(shots) for shots in published.SHOTS]
        mean = [s.mean for s in scores]
        low = [s.mean - s.ci95 for s in scores]
        high = [s.mean + s.ci95 for s in scores]
        lines = [Line("TinyReptile", published.SHOTS, mean, low=low, high=high)]
        if curve is not None:
            lines.append(Line("TinyReptile", curve.x, curve.y, published=True))
        title = f"{app}: accuracy of a new device against its labelled samples"
        drawn.append(Figure(f"{NAME}-{app}", title, "shots a class", "accuracy, %", lines))
    return drawn


TABLE = Table(
    NAME,
    "Table 4: accuracy against shots",
    "TECS 2024, Table 4 (printed)",
    cells,
    NOTES,
    figures,
)
