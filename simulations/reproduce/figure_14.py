"""Figure 14 of TECS 2024: accuracy of TinyOL over the samples of its stream, after a drift."""

from collections.abc import Sequence

from tinyfleet.simulations import published
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.reproduce.cells import Cell, Figure, Line, Table, cell_of
from tinyfleet.simulations.reproduce.studies import APPS, comparable
from tinyfleet.simulations.reproduce.table_2 import judged_of
from tinyfleet.simulations.reproduce.work import Work

NAME = "figure-14"
NOTES = """
The devices, models and settings of Table 2, and its intervals: over 256 devices of characters, 22
speakers of keywords and four rooms of presence. *Warm* begins as the deployed model's last layer;
*fresh* begins with random weights, as the paper's does, whose first point is therefore about
chance, and stands beside the fresh one alone. The curves are the accuracy on drifted samples that a
device never meets, after so many of its own; after the first time through its 40, 20 or 64 samples
it meets the same again. *Prequential* is over that first time: each sample scored, then learned.
The published curves run over thousands of updates, and only their points before, after and first
can be read off.
"""

# Read off: before the drift, static after it, after TinyOL, first point.
_PUBLISHED = {
    published.CHARACTERS: (92.7, 68.3, 80.0, 26.4),
    published.KEYWORDS: (89.6, 83.6, 87.6, 21.4),
    published.PRESENCE: (89.7, 86.2, 88.6, 51.8),
}


def cells(work: Work) -> Sequence[Cell]:
    """Return the published points and, for fresh heads and prequentially, ours alone."""
    found = []
    for app in APPS:
        scores = judged_of(work, app)["scores"]
        before, static, after, first = _PUBLISHED[app]
        for row, column, name, printed in (
            ("as deployed", "before the drift", "before", before),
            ("as deployed", "after it", "static", static),
            ("as deployed", "after it, prequential", "static prequential", None),
            ("TinyOL, warm", "first point", "warm first", None),
            ("TinyOL, warm", "prequential", "warm prequential", None),
            ("TinyOL, warm", "at the end", "warm", after),
            ("TinyOL, fresh", "first point", "fresh first", first),
            ("TinyOL, fresh", "prequential", "fresh prequential", None),
            ("TinyOL, fresh", "at the end", "fresh", after),
        ):
            place, score = (NAME, f"{app}, {row}", column), Estimate(**scores[name])
            found.append(cell_of(place, score, printed, unit="%", why=comparable(app)))
    return found


def figures(work: Work) -> Sequence[Figure]:
    """Draw accuracy over updates, an application each, with the published points as levels."""
    return [_figure(work, app) for app in APPS]


def _figure(work: Work, app: str) -> Figure:
    made = judged_of(work, app)
    updates, scores = made["curves"]["updates"], made["scores"]
    ends = (updates[0], updates[-1])

    def level(label: str, value: float, *, printed: bool = False) -> Line:
        return Line(label, ends, (value, value), published=printed)

    before, static, after, _ = _PUBLISHED[app]
    lines = [
        Line("TinyOL warm", updates, made["curves"]["warm"]),
        Line("TinyOL fresh", updates, made["curves"]["fresh"]),
        level("as deployed", scores["static"]["mean"]),
        level("before the drift", scores["before"]["mean"]),
        level("as deployed", static, printed=True),
        level("before the drift", before, printed=True),
        level("TinyOL fresh", after, printed=True),
    ]
    title = f"TinyOL after a drift: {app}"
    return Figure(f"{NAME}-{app}", title, "updates", "accuracy on held-out samples, %", lines)


TABLE = Table(
    NAME,
    "Figure 14: TinyOL over the samples of its stream",
    "TECS 2024, Figure 14 (read off)",
    cells,
    NOTES,
    figures,
    needs=APPS,
)
