"""The vectorised fleet: any number of simulated devices in SIMD lanes, over all cores, streamed.

Devices are trained chunk by chunk: memory follows the chunk, not the fleet. A device's update depends
on its own task and assignment alone, so neither chunk nor workers nor lanes change a single byte.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from tinyfleet.binding import Variant, variants
from tinyfleet.errors import TrainingError
from tinyfleet.kernel_learner import (
    Kernel,
    Learned,
    check_assignment,
    check_tasks,
    received,
    returned,
    to_update,
)
from tinyfleet.messages import Assignment, Update
from tinyfleet.network import Network
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.task import TaskBatch

_CHUNK_BYTES = 64 * 2**20


class SimulatedFleet:
    """Devices 0..n-1 of a family of tasks, behind the `Fleet` seam.

    Args:
        network: what they train.
        tasks: what each has to learn.
        devices: how many there are; at least 1.
        workers: threads; None takes one per core that this process may use.
        chunk: devices trained and held at a time; None takes what fits into 64 MiB.
        variant: build of the kernel; None takes the widest of this processor.

    Raises:
        TrainingError: no devices, workers or chunk.
    """

    def __init__(
        self,
        network: Network,
        tasks: TaskFamily,
        devices: int,
        *,
        workers: int | None = None,
        chunk: int | None = None,
        variant: Variant | None = None,
    ) -> None:
        for name, value in (("devices", devices), ("workers", workers), ("chunk", chunk)):
            if value is not None and value < 1:
                raise TrainingError(f"{name}: expected 1 or more, got {value}")
        self.network = network
        self.tasks = tasks
        self.workers = workers or len(os.sched_getaffinity(0))
        self.chunk = chunk
        self._kernel = Kernel(network, variant or variants()[-1])
        self._devices = range(devices)

    @property
    def devices(self) -> Sequence[int]:
        """All devices; a simulated one is never away."""
        return self._devices

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        """Train every device asked and yield its update, in the order of the assignments.

        Simulated devices need no time of the clock on the wall, so `timeout` never passes.
        """
        del timeout
        with ThreadPoolExecutor(self.workers) as pool:
            for _, items in groupby(assignments.items(), key=lambda item: id(item[1])):
                first = next(items)
                yield from self._follow(pool, first[1], (first[0], *(d for d, _ in items)))

    def _follow(
        self, pool: ThreadPoolExecutor, assignment: Assignment, devices: Sequence[int]
    ) -> Iterator[Update]:
        check_assignment(self.network, assignment)
        places = returned(self.network, assignment)
        down = received(self.network, assignment)
        size = self.chunk or self._fitting_chunk()
        for chunk in _chunks(devices, size):
            numbers = np.asarray(chunk, np.int64)
            tasks = self.tasks.batch(numbers, assignment.round)
            learned = self.learn(pool, assignment, tasks, chunk)
            for device, *what in zip(
                chunk, learned.weights, learned.losses, learned.examples, strict=True
            ):
                yield to_update(device, assignment, (what[0], what[1], what[2]), places, down)

    def learn(
        self,
        pool: ThreadPoolExecutor,
        assignment: Assignment,
        tasks: TaskBatch,
        devices: Sequence[int],
    ) -> Learned:
        """Train one chunk: equal supports side by side, lane groups spread over the workers."""
        check_tasks(self.network, tasks)
        n = len(devices)
        result = Learned(
            np.empty((n, self.network.parameters), np.float32),
            np.empty(n, np.float32),
            np.empty(n, np.int32),
        )

        def work(rows: NDArray[np.int64]) -> None:
            part = self._kernel.learn(
                assignment, _take(tasks, rows), [devices[int(i)] for i in rows]
            )
            result.weights[rows] = part.weights
            result.losses[rows] = part.losses
            result.examples[rows] = part.examples

        for _ in pool.map(work, self._groups(tasks.counts)):
            pass
        return result

    def _groups(self, counts: NDArray[np.int32]) -> list[NDArray[np.int64]]:
        """Split rows into runs of equal count, a few lane groups each, enough for every worker."""
        lanes = self._kernel.variant.lanes
        per_worker = -(-len(counts) // (self.workers * 4 * lanes)) * lanes
        groups = []
        for count in np.unique(counts):
            rows = np.flatnonzero(counts == count)
            groups += [rows[i : i + per_worker] for i in range(0, len(rows), per_worker)]
        return groups

    def _fitting_chunk(self) -> int:
        example = self.tasks.batch(np.zeros(1, np.int64), 1)
        task_bytes = sum(
            a.nbytes
            for a in (example.support_x, example.support_y, example.query_x, example.query_y)
        )
        lanes = self._kernel.variant.lanes
        fitting = _CHUNK_BYTES // (task_bytes + 4 * self.network.parameters)
        return max(lanes, fitting // lanes * lanes)


def _chunks(devices: Iterable[int], size: int) -> Iterator[tuple[int, ...]]:
    remaining = iter(devices)
    while chunk := tuple(islice(remaining, size)):
        yield chunk


def _take(tasks: TaskBatch, rows: NDArray[np.int64]) -> TaskBatch:
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        at: slice | NDArray[np.int64] = slice(int(rows[0]), int(rows[-1]) + 1)
    else:
        at = rows
    return TaskBatch(
        tasks.support_x[at],
        tasks.support_y[at],
        tasks.query_x[at],
        tasks.query_y[at],
        tasks.counts[at],
    )
