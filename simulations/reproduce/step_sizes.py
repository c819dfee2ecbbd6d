"""Step sizes of every layer, learned across tasks, beside one for all layers.

Meta-SGD (Li et al. 2017, arXiv 1707.09835) learns a rate for every weight; here every layer has one
factor on the rate of fine-tuning, learned on tasks of the validation part by its first-order
gradient: the query's gradient times what the layer moved. Weights are those of TinyReptile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tinyfleet.binding import variants
from tinyfleet.follow import rows
from tinyfleet.kernel_learner import Kernel
from tinyfleet.messages import Floats, Training
from tinyfleet.simulations import published
from tinyfleet.simulations.evaluation import Estimate, Judge, Scores, estimate
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.studies import tinyreptile
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.task import TaskBatch

NAME, SHOTS = "step-sizes", 4
APPS = ("sine", "characters")
BATCH, STEPS, PACE, MOST = 64, 40, 0.05, 4.0
NOTES = """
One pass over four shots a class, or four points, from TinyReptile's weights: *plain* at the study's
rate, with *one factor* on it for all layers, and with *a factor a layer*. Factors are learned
alike, on 40 batches of 64 tasks of the validation part, within a quarter and four, by signed steps
of 0.05 on their logarithms that shrink to nothing; what layers gain by factors of their own is the
gain over one. Intervals are over the test part, 500 curves and 1,000 devices of characters, the
same for all, so that a gain has an interval of its own. Not kept: the gain is there, and small for
what a rate a layer takes in kernel and firmware.
"""


@dataclass(frozen=True)
class Layers:
    """Which factor each parameter takes: `(parameters,)` whole numbers from 0."""

    kernel: Kernel
    place: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of factors."""
        return int(self.place.max()) + 1


def layers_of(kernel: Kernel) -> Layers:
    """Return the layers of the kernel's network."""
    place = np.zeros(kernel.network.parameters, np.int64)
    for i, part in enumerate(kernel.network.parts.values()):
        place[part.start : part.stop] = i
    return Layers(kernel, place)


def fine_tune(
    layers: Layers, start: Floats, batch: TaskBatch, rate: float, factors: Floats
) -> Floats:
    """Return the weights `(n, parameters)` after one pass, each layer at its factor of the rate."""
    weights = np.repeat(start[None], len(batch), axis=0)
    scale = factors[layers.place]
    x, y = rows(batch.support_x), batch.support_y
    for i in range(x.shape[1]):
        stepped, _ = layers.kernel.train(
            Training(rate), weights, x[:, i : i + 1], y[:, i : i + 1], frozenset()
        )
        weights = (weights + scale * (stepped - weights)).astype(np.float32)
    return weights


def learn_factors(
    layers: Layers, start: Floats, draw: Callable[[int], TaskBatch], rate: float, steps: int
) -> Floats:
    """Return a factor for each layer, `(layers,)`, learned on a batch of tasks a step.

    The logarithms of the factors take signed steps, largest first, as their gradients' sizes differ
    by orders of magnitude between layers and tasks.
    """
    log = np.zeros(layers.count)
    for step in range(steps):
        batch = draw(step + 1)
        factors = np.exp(log).astype(np.float32)
        tuned = fine_tune(layers, start, batch, rate, factors)
        whole = Training(rate, batch=0)
        asked, _ = layers.kernel.train(
            whole, tuned, rows(batch.query_x), batch.query_y, frozenset()
        )
        towards = ((asked - tuned) * (tuned - start[None])).mean(axis=0, dtype=np.float64)
        gain = np.bincount(layers.place, towards, minlength=layers.count)
        pace = PACE * (1.0 - step / steps)
        log = np.clip(log + pace * np.sign(gain), -np.log(MOST), np.log(MOST))
    return np.exp(log).astype(np.float32)


def cells(work: Work) -> Sequence[Cell]:
    """Return plain and learned step sizes, and the gains, an application each."""
    found = []
    for app in APPS:
        ran = tinyreptile(work, app)
        inputs = {"study": ran.folder.name, "constants": [SHOTS, BATCH, STEPS, PACE, MOST]}
        told = work.once(f"{NAME}-{app}", inputs, partial(_measure, ran, work.pick(STEPS, 2)))
        unit = "%" if ran.setup.application.classifies else "MSE"
        for row, (mean, ci95) in told.items():
            score = Estimate(mean, ci95, ran.study.tasks)
            found.append(cell_of((NAME, f"{app}, {row}", f"{SHOTS} shots"), score, unit=unit))
    return found


def _measure(ran: Ran, steps: int) -> dict[str, list[float]]:
    setup = ran.setup
    layers = layers_of(Kernel(setup.network, variants()[-1]))
    together = replace(layers, place=np.zeros_like(layers.place))
    judge, rate = setup.test, ran.study.training.rate
    known = SHOTS * judge.rows_per_shot
    draw = partial(_drawn, setup.validation, known, BATCH)
    batch = _drawn(judge, known, judge.tasks, 0)
    scored: dict[str, Scores] = {}
    for row, by, learned in (
        ("plain", together, 0),
        ("one factor", together, steps),
        ("a factor a layer", layers, steps),
    ):
        factors = learn_factors(by, ran.weights, draw, rate, learned)
        tuned = fine_tune(by, ran.weights, batch, rate, factors)
        scored[row] = judge.metric(by.kernel.predict(tuned, batch.query_x), batch.query_y)
    for other in ("plain", "one factor"):
        scored[f"a factor a layer, less {other}"] = scored["a factor a layer"] - scored[other]
    estimates = {row: estimate(scores) for row, scores in scored.items()}
    return {row: [found.mean, found.ci95] for row, found in estimates.items()}


def _drawn(judge: Judge, rows_known: int, devices: int, round_number: int) -> TaskBatch:
    """Return a judge's tasks, their supports cut to the rows that a device knows."""
    batch = judge.family.batch(np.arange(devices, dtype=np.int64), round_number)
    counts = np.full(devices, rows_known, np.int32)
    x, y = batch.support_x[:, :rows_known], batch.support_y[:, :rows_known]
    return replace(batch, support_x=x, support_y=y, counts=counts)


TABLE = Table(
    NAME, "Step sizes of every layer", "ours", cells, NOTES, needs=(published.CHARACTERS,)
)
