"""Figure 15 of TECS 2024: accuracy of applications I to III against the parameters communicated."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyfleet.simulations import published
from tinyfleet.simulations.reproduce.cells import Cell, Figure, Line, Table
from tinyfleet.simulations.reproduce.curves import columns_of, line_of
from tinyfleet.simulations.reproduce.studies import (
    APPS,
    BUDGET,
    comparable,
    study_file,
    within_budget,
)
from tinyfleet.simulations.reproduce.work import Ran, Work

NAME = "figure-15"
NOTES = """
Accuracy after eight shots a class, one pass, the mean over 256 devices of the validation part, one
training a curve and without an interval, while a run communicates as many parameters as the
published curve does, both ways, but half of them for characters and a twentieth for keywords.
*Reptile*, *TinyReptile* and *TinyMetaFed* are the plain reproductions; *best* is our best method.
The published algorithms ask one device a round; ours ask 5, 4 and 8. Keywords train at a rate of
0.01, at which random weights do not come near the threshold by themselves (see the thresholds
below). Our networks are smaller, with 13,780 to 17,365 parameters where the published have 108,229
and 105,124 (presence: 4,513 both), so that as many parameters are several times as many visits to
devices: the axis is theirs, the work behind a point is not.
"""

PLAIN: Mapping[str, Mapping[str, Any]] = {
    "Reptile": {"strategy": "reptile", "per_round": 5},
    "TinyReptile": {"strategy": "tinyreptile", "per_round": 4},
    "TinyMetaFed": {"strategy": "tinymetafed", "per_round": 8},
}
"""The plain reproductions: how many devices a round asks, over the application's settings."""

RATES: Mapping[tuple[str, str], Mapping[str, Any]] = {
    (published.KEYWORDS, method): {"training": {"rate": 0.01}}
    for method in ("TinyReptile", "TinyMetaFed")
}
"""Rates at which keywords are not nearly told apart before anything was learned together."""

BEST = {published.CHARACTERS: "thrifty"}
"""The study file of our best method of an application, found on validation tasks."""


EARLY = {published.CHARACTERS: (2, 5, 10, 20), published.KEYWORDS: (1, 5, 20, 40, 80)}
"""Million parameters at which ours is shown besides, where most of it has happened."""


def runs(work: Work, app: str) -> Sequence[tuple[str, Ran]]:
    """Return each method's run within the budget of `app`."""
    made = []
    for method, plain in PLAIN.items():
        values = dict(plain)
        values |= RATES.get((app, method), {})
        made.append((method, within_budget(work, app, values.pop("strategy"), method, values)))
    if app in BEST:
        made.append(("best", work.study(f"{app}-best", study_file(BEST[app]))))
    return made


def cells(work: Work) -> Sequence[Cell]:
    """Return every method's accuracy at the published places."""
    found = []
    for app in APPS:
        curves: dict[str, published.Curve] = {
            curve.method: curve for curve in published.by_parameters(app)
        }
        places = sorted({*next(iter(curves.values())).x, *EARLY.get(app, ())})
        for method, ran in runs(work, app):
            row, then = f"{app}, {method}", curves.get(method)
            found.extend(columns_of(work, (NAME, row), ran, then, places, comparable(app)))
    return found


def figures(work: Work) -> Sequence[Figure]:
    """Draw an application each."""
    drawn = []
    for app in APPS:
        lines = [line_of(work, method, ran) for method, ran in runs(work, app)]
        lines += [
            Line(curve.method, curve.x, curve.y, published=True)
            for curve in published.by_parameters(app)
        ]
        title = f"{app}: accuracy against communication, to {BUDGET[app]:g} million parameters"
        across = "million parameters communicated, both ways"
        drawn.append(Figure(f"{NAME}-{app}", title, across, "accuracy after 8 shots, %", lines))
    return drawn


TABLE = Table(
    NAME,
    "Figure 15: accuracy against parameters communicated",
    "TECS 2024, Figure 15 (read off)",
    cells,
    NOTES,
    figures,
    needs=APPS,
)
