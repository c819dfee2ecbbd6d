"""Judge a starting point on held-out tasks: fine-tune a copy for each task, then score its query.

A device fine-tunes as it trains, `passes` times through the support, in the stream's order.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinyfleet.binding import variants
from tinyfleet.errors import DatasetError
from tinyfleet.follow import check_tasks, follow, local_start
from tinyfleet.kernel_learner import Kernel
from tinyfleet.messages import Assignment, Floats, LocalStart, Training
from tinyfleet.network import Network
from tinyfleet.simulations.cores import cores
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.task import TaskBatch

Scores = NDArray[np.float64]
Metric = Callable[[Floats, Floats], Scores]

_GROUP = 64  # tasks that one thread fine-tunes at a time


@dataclass(frozen=True)
class Estimate:
    """A mean over tasks with its 95 % interval, `mean` plus or minus `ci95`."""

    mean: float
    ci95: float
    tasks: int


def estimate(scores: Scores) -> Estimate:
    """Return mean and 1.96 standard errors of independent tasks' scores, `(n,)`, n at least 2."""
    error = float(scores.std(ddof=1)) / math.sqrt(len(scores))
    return Estimate(float(scores.mean()), 1.96 * error, len(scores))


def accuracy(outputs: Floats, targets: Floats) -> Scores:
    """Return each task's accuracy in percent from outputs and one-hot targets `(n, q, ways)`.

    Outputs that are not finite are wrong.
    """
    right = outputs.argmax(axis=2) == targets.argmax(axis=2)
    right &= np.isfinite(outputs).all(axis=2)
    return np.asarray(100.0 * right.mean(axis=1), np.float64)


def mean_squared_error(outputs: Floats, targets: Floats) -> Scores:
    """Return each task's mean squared error from outputs and targets `(n, q, outputs)`."""
    error = outputs.astype(np.float64) - targets
    return np.asarray((error * error).mean(axis=(1, 2)), np.float64)


@dataclass(frozen=True)
class Judge:
    """Held-out tasks and how they are scored.

    Attributes:
        network: what is fine-tuned.
        family: where the tasks come from; its support is ordered so that the first rows are the
            problem of fewer shots.
        tasks: how many of them, 0..tasks-1 of the family; at least 2.
        rows_per_shot: support rows that one shot stands for: the ways of a classification, 1 else.
        metric: what a task's query scores.
        training: how a task is fine-tuned; its passes are set by whoever asks.
        workers: threads; None for one per core.
        frozen: layers that stay as they are.
        local: layers that no server has trained, so that a task starts them by itself.
        local_start: where from, as a device that trained did; see `tinyfleet.Assignment`.
    """

    network: Network
    family: TaskFamily
    tasks: int
    rows_per_shot: int
    metric: Metric
    training: Training
    workers: int | None = None
    frozen: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    local_start: LocalStart = "received"

    def outputs(self, weights: Floats, shots: int, passes: int) -> tuple[Floats, Floats]:
        """Return outputs on every task's query, and its targets, `(tasks, q, outputs)` each.

        Args:
            weights: the starting point, `(parameters,)`.
            shots: shots that a copy is fine-tuned on; 0 for none.
            passes: how many times it goes through them.

        Raises:
            DatasetError: a task's support has fewer rows than the shots.
        """
        kernel = Kernel(self.network, variants()[-1])
        training = replace(self.training, passes=passes)

        def answer(first: int) -> tuple[Floats, Floats]:
            devices = range(first, min(first + _GROUP, self.tasks))
            batch = self.family.batch(np.asarray(devices, np.int64), 0)
            check_tasks(self.network, batch)
            tuned = self.start(weights, devices)
            if shots:
                assignment = Assignment(0, tuned, training, frozen=self.frozen)
                tuned = follow(kernel, assignment, self._cut(batch, shots), devices).weights
            return kernel.predict(tuned, batch.query_x), batch.query_y

        with ThreadPoolExecutor(self.workers or cores()) as pool:
            groups = list(pool.map(answer, range(0, self.tasks, _GROUP)))
        return np.concatenate([g[0] for g in groups]), np.concatenate([g[1] for g in groups])

    def scores(self, weights: Floats, shots: int, passes: int) -> Scores:
        """Return the score of every task after `passes` passes over `shots` shots, `(tasks,)`."""
        return self.metric(*self.outputs(weights, shots, passes))

    def start(self, weights: Floats, devices: Sequence[int]) -> Floats:
        """Return where tasks start, `(parameters,)` for all or `(n, parameters)`."""
        if not self.local:
            return weights
        own = Assignment(0, weights, self.training, local=self.local, local_start=self.local_start)
        return local_start(self.network, own, devices)

    def check(self, batch: TaskBatch, shots: int) -> None:
        """Raise `DatasetError` unless tasks have the rows of so many shots, and a query."""
        rows = shots * self.rows_per_shot
        least = min(batch.support_x.shape[1], *batch.counts.tolist())
        if least < rows:
            raise DatasetError(
                f"support: expected at least {rows} rows, those of {shots} shots, got {least}; "
                "make more rows or ask fewer shots"
            )
        if not batch.query_x.shape[1]:
            raise DatasetError("query: expected rows to judge by, got none; make some")

    def _cut(self, batch: TaskBatch, shots: int) -> TaskBatch:
        self.check(batch, shots)
        rows = shots * self.rows_per_shot
        counts = np.full(len(batch), rows, np.int32)
        return replace(
            batch,
            support_x=batch.support_x[:, :rows],
            support_y=batch.support_y[:, :rows],
            counts=counts,
        )

    def estimate(self, weights: Floats, shots: int, passes: int) -> Estimate:
        """Return the mean score over the tasks with its interval."""
        return estimate(self.scores(weights, shots, passes))
