"""Figure 7 of TECS 2024: one sine, before and after a device has seen eight of its points."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tinyfleet.simulations import published
from tinyfleet.simulations.evaluation import Estimate, Judge, mean_squared_error
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.figure_9 import fedsgd, tinyreptile
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.simulations.tasks.sine import tecs2024

NAME, DRAWS = "figure-7", 500
NOTES = """
The one published curve is a = 4.04, b = 1, c = 4.8 and one draw of eight points. Ours is the same
curve with 500 draws of eight points: the mean and its interval over draws. Passes and rate were
chosen on validation curves, as in Table 4.
"""


def cells(work: Work) -> Sequence[Cell]:
    """Return the error before and after eight points, of TinyReptile and of FedSGD."""
    found = []
    for then, ran in zip(
        published.SINE_FINE_TUNING, (tinyreptile(work), fedsgd(work)), strict=True
    ):
        inputs = {
            "weights": ran.result["weights_sha256"],
            "curve": list(then.curve),
            "passes": ran.result["passes"]["8"],
            "rate": ran.result["rates"]["8"],
            "draws": DRAWS,
        }
        scores = work.once(f"{NAME}-{then.method}", inputs, partial(_tuned, ran, work))
        for column, score, told in (
            ("before", scores["before"], then.before),
            (f"after {then.points} points", scores["after"], then.after),
        ):
            mean, ci95 = (math.nan if value is None else value for value in score)
            ours = Estimate(mean, ci95, DRAWS)
            found.append(cell_of((NAME, then.method, column), ours, told, unit="MSE"))
    return found


def _tuned(ran: Ran, work: Work) -> dict[str, list[float | None]]:
    """Return mean and interval of the curve's error, before and after fine-tuning."""
    one = published.SINE_FINE_TUNING[0]
    a, b, c = ((value, value) for value in one.curve)
    family = tecs2024(work.seed, "test", support=one.points, query=100)
    family = replace(family, amplitude=a, frequency=b, phase=c)
    draws = work.pick(DRAWS, 32)
    passes, rate = (int(ran.result["passes"]["8"]), float(ran.result["rates"]["8"]))
    training = replace(ran.study.training, rate=rate)
    judge = Judge(ran.setup.network, family, draws, 1, mean_squared_error, training, work.workers)
    before = float(judge.scores(ran.weights, 0, 1)[0])  # all draws are of one curve
    after = judge.estimate(ran.weights, one.points, passes)
    return {"before": [before, None], "after": [after.mean, after.ci95]}


TABLE = Table(
    NAME,
    "Figure 7: a sine fine-tuned on eight points",
    "TECS 2024, the fine-tuned sine (read off)",
    cells,
    NOTES,
)
