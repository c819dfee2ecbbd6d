"""Table 4 of TECS 2024: TinyReptile's accuracy against the shots that a new device is given."""

from collections.abc import Sequence
from functools import partial

from tinyfleet.simulations import published
from tinyfleet.simulations.comparison import plural
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.reproduce.cells import Cell, Figure, Line, Table, cell_of
from tinyfleet.simulations.reproduce.class_means import class_means
from tinyfleet.simulations.reproduce.studies import APPS, comparable, tinyreptile
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.simulations.study import study_to_dict

NAME = "table-4"
NOTES = """
Accuracy in percent (presence: balanced accuracy) of a device that nobody has met, of classes,
speakers and rooms that no device trained on, after fine-tuning on D labelled samples a class.
TinyReptile, one training each. Intervals are over 1,000 test devices: each of 5 of 200 characters,
judged on 20 drawings; of 4 of 6 keywords by 2 of 6 speakers, on 16 takes; of one room, on 256 rows.
So they say little of other speakers and nothing of other rooms, which the table of presence holds
out in turn.
*Tuned*: passes over these samples and their rate were chosen on 256 validation devices, for each D.
*One pass*: each sample is learned once, as TinyReptile trains, at a rate chosen alike. D is 0 for
the weights as they were received. The *nearest class mean* names the class whose mean of raw
samples is nearest, for the same devices. *Parameters communicated* are those of the training, both
ways; the paper prints none beside its table, so beside ours is where its curve of the same method
ends in Figure 15. Characters communicate nine times as many as that, keywords a sixth.
"""

CURVES_END = "beside it the end of TinyReptile's curve in Figure 15, read off"


def cells(work: Work) -> Sequence[Cell]:
    """Return each application's accuracy at every D, tuned and in one pass."""
    found = []
    for app in APPS:
        ran, curve = tinyreptile(work, app), published.accuracy_by_shots(app)
        for row, one_pass in ((f"{app}, tuned", False), (f"{app}, one pass", True)):
            for shots in published.SHOTS:
                score = ran.score(shots, one_pass=one_pass)
                then = curve.at(shots) if curve else None
                place = NAME, row, plural(shots, "shot")
                found.append(cell_of(place, score, then, unit="%", why=comparable(app)))
        if app != published.PRESENCE:
            found.extend(_class_means(work, app, ran))
        place = NAME, f"{app}, network", "parameters"
        found.append(cell_of(place, ran.result["parameters"], published.PARAMETERS[app]))
        found.append(_communicated(app, ran))
    return found


def _communicated(app: str, ran: Ran) -> Cell:
    """Return what the training communicates beside where the published curve ends."""
    ends = {curve.method: curve.x[-1] for curve in published.by_parameters(app)}
    place = NAME, f"{app}, network", "parameters communicated"
    ours = ran.result["parameters_communicated"] / 1e6
    return cell_of(place, ours, ends["TinyReptile"], unit="million", why=CURVES_END)


def _class_means(work: Work, app: str, ran: Ran) -> list[Cell]:
    """Return what the nearest class mean of raw samples reaches on the same test tasks."""
    found = []
    for shots in published.SHOTS[1:]:
        inputs = {"study": study_to_dict(ran.study), "shots": shots}
        told = work.once(f"{app}-class-means", inputs, partial(_plain, ran, shots))
        place = NAME, f"{app}, nearest class mean", plural(shots, "shot")
        found.append(cell_of(place, Estimate(told[0], told[1], ran.study.tasks), unit="%"))
    return found


def _plain(ran: Ran, shots: int) -> list[float]:
    found = class_means(ran.setup.test, shots)
    return [found.mean, found.ci95]


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
    needs=APPS,
)
