"""Figure 7 of TECS 2024: one sine, before and after a device has seen eight of its points."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tinyfleet.simulations import published
from tinyfleet.simulations.evaluation import Estimate, Judge, mean_squared_error
from tinyfleet.simulations.reproduce.cells import Cell, Figure, Line, Table, cell_of
from tinyfleet.simulations.reproduce.figure_9 import fedsgd, tinyreptile
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.simulations.tasks.sine import tecs2024

NAME, DRAWS, POINTS = "figure-7", 500, 8
NOTES = """
The one published curve is a = 4.04, b = 1, c = 4.8 and one draw of eight points. Ours is the same
curve with 500 draws of eight points: the mean and its interval over draws; before any point there
is nothing to draw. Passes and rate were chosen on validation curves, as in Table 4.
"""


def cells(work: Work) -> Sequence[Cell]:
    """Return the error before and after eight points, of TinyReptile and of FedSGD."""
    found = []
    for then, ran in _runs(work):
        scores = work.once(f"{NAME}-{then.method}", _inputs(then, ran), partial(_tuned, ran, work))
        for column, score, told in (
            ("before", scores["before"], then.before),
            (f"after {then.points} points", scores["after"], then.after),
        ):
            mean, ci95 = (math.nan if value is None else value for value in score)
            ours = Estimate(mean, ci95, DRAWS)
            found.append(cell_of((NAME, then.method, column), ours, told, unit="MSE"))
    return found


def figures(work: Work) -> Sequence[Figure]:
    """Draw the curve, and each method's answer before and after the first draw of points."""
    lines: list[Line] = []
    for then, ran in _runs(work):
        name, inputs = f"{NAME}-drawn-{then.method}", _inputs(then, ran)
        drawn = work.once(name, inputs, partial(_answers, ran, work))
        if not lines:
            lines.append(Line("the curve", drawn["x"], drawn["curve"], published=True))
        after = f"{then.method}, after {then.points} points"
        lines.append(Line(f"{then.method}, before", drawn["x"], drawn["before"]))
        lines.append(Line(after, drawn["x"], drawn["after"]))
    return [Figure(NAME, "One sine, before and after eight points", "x", "y", lines)]


def _runs(work: Work) -> Iterator[tuple[published.FineTuning, Ran]]:
    return zip(published.SINE_FINE_TUNING, (tinyreptile(work), fedsgd(work)), strict=True)


def _inputs(then: published.FineTuning, ran: Ran) -> dict[str, Any]:
    return {
        "weights": ran.result["weights_sha256"],
        "curve": list(then.curve),
        "passes": ran.result["passes"]["8"],
        "rate": ran.result["rates"]["8"],
        "draws": DRAWS,
    }


def _judge(ran: Ran, work: Work) -> tuple[Judge, int]:
    """Return draws of points of the one curve, and how often a device goes through them."""
    one = published.SINE_FINE_TUNING[0]
    a, b, c = ((value, value) for value in one.curve)
    family = tecs2024(work.seed, "test", support=POINTS, query=100)
    family = replace(family, amplitude=a, frequency=b, phase=c)
    draws = work.pick(DRAWS, 32)
    passes, rate = (int(ran.result["passes"]["8"]), float(ran.result["rates"]["8"]))
    training = replace(ran.study.training, rate=rate)
    network = ran.setup.network
    return Judge(network, family, draws, 1, mean_squared_error, training, work.workers), passes


def _tuned(ran: Ran, work: Work) -> dict[str, list[float | None]]:
    """Return mean and interval of the curve's error, before and after fine-tuning."""
    judge, passes = _judge(ran, work)
    before = float(judge.scores(ran.weights, 0, 1)[0])  # all draws are of one curve
    after = judge.estimate(ran.weights, POINTS, passes)
    return {"before": [before, None], "after": [after.mean, after.ci95]}


def _answers(ran: Ran, work: Work) -> dict[str, list[float]]:
    """Return places, the curve there, and the first draw's answers before and after."""
    judge, passes = _judge(ran, work)
    x = judge.family.batch(np.zeros(1, np.int64), 0).query_x[0, :, 0]
    before, curve = judge.outputs(ran.weights, 0, 1)
    after, _ = judge.outputs(ran.weights, POINTS, passes)
    told = {"x": x, "curve": curve[0], "before": before[0], "after": after[0]}
    order = np.argsort(x, kind="stable")
    return {name: [float(v) for v in values.ravel()[order]] for name, values in told.items()}


TABLE = Table(
    NAME,
    "Figure 7: a sine fine-tuned on eight points",
    "TECS 2024, the fine-tuned sine (read off)",
    cells,
    NOTES,
    figures,
)
