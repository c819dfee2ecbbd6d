"""Ours beyond TinyOL: a warm start, a watch for drifts, and class means that reject the unknown."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tinyfleet.simulations import published
from tinyfleet.simulations.evaluation import Estimate, estimate
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.studies import APPS, comparable
from tinyfleet.simulations.reproduce.table_2 import judged_of, recipe_of, trial_of
from tinyfleet.simulations.reproduce.work import Work

if TYPE_CHECKING:
    from tinyfleet.simulations.tinyol.trial import Trial
    from tinyfleet.simulations.tinyol.unknowns import Doubts

NAME = "head"
NOTES = """
The devices of Table 2; each idea is measured against the plain way on the same samples.

*Warm over fresh*: a head that begins as the deployed layer, less one that begins with random
weights, as the paper's does. Kept: it never starts at chance, and over the first time through the
stream it is far ahead; at the end there is nothing between them.

*Drift watch*: Page-Hinkley's test on the loss of each sample before it is learned, over a stream
that drifts in its midst. Delay counts the whole rest of the stream where nothing was noticed. Not
kept: a head that learns hides the drift from it. It works on a model that stays as it is.

*Class means*: the nearest mean of a class names it, means move with every labelled sample, and what
is far from all is rejected as unknown; beside it the warm head, which rejects what it gives no
class a high probability. A threshold rejects 10 % of known samples of validation. Not kept as a
head: it names fewer samples rightly. It tells unknown keywords better than the head's own doubt
does, and unknown characters no better.
"""

_WATCHED = (published.CHARACTERS, published.KEYWORDS)
_TUNED_ON: Mapping[str, int] = {published.CHARACTERS: 64, published.KEYWORDS: 16}
"""Devices of the validation part, for the thresholds."""


def cells(work: Work) -> Sequence[Cell]:
    """Return what each idea gives."""
    found = []
    for app in APPS:
        scores = judged_of(work, app)["scores"]
        for column, name in (
            ("first point", "warm over fresh, first"),
            ("prequential", "warm over fresh, prequential"),
            ("at the end", "warm over fresh"),
        ):
            found.append(_cell(app, "warm over fresh", column, scores[name], "points"))
    for app in _WATCHED:
        for row, columns in _beyond_of(work, app).items():
            for column, (score, unit) in columns.items():
                found.append(_cell(app, row, column, score, unit))
    return found


def _cell(app: str, row: str, column: str, score: Mapping[str, Any], unit: str) -> Cell:
    place = NAME, f"{app}, {row}", column
    return cell_of(place, Estimate(**score), unit=unit, why=comparable(app))


def _beyond_of(work: Work, app: str) -> Mapping[str, Any]:
    devices = work.pick(_TUNED_ON[app], 4)
    inputs = {"app": app, "tuned_on": devices, "recipe": asdict(recipe_of(work, app))}

    def compute() -> dict[str, Any]:
        from tinyfleet.simulations.tinyol.settings import problems

        test = trial_of(work, app)
        tuned_on = problems(app, "validation", work.seed, devices, os.environ)
        return {**_watched(test), **_unknown(test, replace(test, problems=tuned_on))}

    return work.once(f"tinyol-beyond-{app}", inputs, compute)


def _watched(trial: "Trial") -> dict[str, Any]:
    """Return how drifts are noticed by the losses of models that stay and of heads that learn."""
    from tinyfleet.simulations.tinyol.watching import (
        FROZEN,
        LEARNING,
        frozen_losses,
        learning_losses,
        noticed,
    )

    made = {}
    for row, losses, watch in (
        ("drift watch, model that stays", frozen_losses(trial), FROZEN),
        ("drift watch, head that learns", learning_losses(trial), LEARNING),
    ):
        seen = noticed(losses, watch)
        made[row] = {
            column: (asdict(estimate(trial.by_group(scores))), unit)
            for column, scores, unit in (
                ("false alarms per 1000", seen.false_alarms, ""),
                ("drifts noticed", 100.0 * seen.found, "%"),
                ("delay", seen.delay, "samples"),
            )
        }
    return made


def _unknown(test: "Trial", tuned_on: "Trial") -> dict[str, Any]:
    """Return how class means and warm heads name the known and reject the unknown."""
    from tinyfleet.simulations.tinyol.unknowns import by_class_means, by_probability

    def judged(doubts: "Doubts", threshold: float) -> dict[str, Any]:
        return {
            column: (asdict(estimate(test.by_group(scores))), "%")
            for column, scores in (
                ("accuracy", doubts.accuracy()),
                ("accuracy of what is accepted", doubts.accepted(threshold)),
                ("unknown rejected", doubts.rejected(threshold)),
                ("AUROC of unknown", doubts.auroc()),
            )
        }

    made, doubts = {}, []
    for row, way in (("class means", by_class_means), ("warm head", by_probability)):
        doubts.append(way(test))
        made[row] = judged(doubts[-1], way(tuned_on).threshold())
    means, head = doubts
    made["class means over warm head"] = {
        column: (asdict(estimate(test.by_group(scores))), "points")
        for column, scores in (
            ("accuracy", means.accuracy() - head.accuracy()),
            ("AUROC of unknown", means.auroc() - head.auroc()),
        )
    }
    return made


TABLE = Table(
    NAME,
    "TinyOL: a warm start, a watch for drifts, and class means",
    "ours",
    cells,
    NOTES,
    needs=APPS,
)
