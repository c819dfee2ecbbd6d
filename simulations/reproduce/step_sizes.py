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
from tinyfleet.simulations.evaluation import Judge, Scores, estimate
from tinyfleet.simulations.reproduce.cells import NOT_PUBLISHED, Cell, Table, command_of
from tinyfleet.simulations.reproduce.studies import tinyreptile
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.task import TaskBatch

NAME, SHOTS = "step-sizes", 4
APPS = ("sine", "characters")
BATCH, STEPS, PACE, MOST = 64, 40, 0.05, 4.0
NOTES = """
One pass over four shots a class, or four points, from TinyReptile's weights: plainly at the
study's rate, and with a factor for every layer. Factors are learned on 40 batches of 64 tasks of
the validation part. The figure is of the test part, task by task the same for both, so that the
gain has an interval of its own.
"""


@dataclass(frozen=True)
class Layers:
    """Which factor each parameter takes: `(parameters,)` whole numbers, by place of its layer."""

    kernel: Kernel
    place: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of layers that have parameters."""
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
    """Return plain and learned step sizes, and the gain, an application each."""
    found = []
    for app in APPS:
        ran = tinyreptile(work, app)
        inputs = {"weights": ran.result["weights_sha256"], "shots": SHOTS, "steps": STEPS}
        told = work.once(f"{NAME}-{app}", inputs, partial(_measure, ran, work.pick(STEPS, 2)))
        unit = "%" if ran.setup.application.classifies else "MSE"
        for row in ("plain", "learned", "learned less plain"):
            mean, ci95 = told[row]
            asked = command_of(NAME)
            found.append(
                Cell(
                    NAME,
                    f"{app}, {row}",
                    f"{SHOTS} shots",
                    mean,
                    ci95,
                    None,
                    asked,
                    unit,
                    NOT_PUBLISHED,
                )
            )
    return found


def _measure(ran: Ran, steps: int) -> dict[str, list[float]]:
    setup = ran.setup
    layers = layers_of(Kernel(setup.network, variants()[-1]))
    judge, rate = setup.test, ran.study.training.rate
    known = SHOTS * judge.rows_per_shot
    draw = partial(_drawn, setup.validation, known, BATCH)
    factors = learn_factors(layers, ran.weights, draw, rate, steps)
    batch = _drawn(judge, known, judge.tasks, 0)
    scored: dict[str, Scores] = {}
    for row, used in (("plain", np.ones_like(factors)), ("learned", factors)):
        tuned = fine_tune(layers, ran.weights, batch, rate, used)
        scored[row] = judge.metric(layers.kernel.predict(tuned, batch.query_x), batch.query_y)
    scored["learned less plain"] = scored["learned"] - scored["plain"]
    estimates = {row: estimate(scores) for row, scores in scored.items()}
    return {row: [found.mean, found.ci95] for row, found in estimates.items()}


def _drawn(judge: Judge, rows_known: int, devices: int, round_number: int) -> TaskBatch:
    """Return a judge's tasks, their supports cut to the rows that a device knows."""
    batch = judge.family.batch(np.arange(devices, dtype=np.int64), round_number)
    counts = np.full(devices, rows_known, np.int32)
    x, y = batch.support_x[:, :rows_known], batch.support_y[:, :rows_known]
    return replace(batch, support_x=x, support_y=y, counts=counts)


TABLE = Table(NAME, "Step sizes of every layer", "ours", cells, NOTES)
