"""The vectorised fleet: any number of simulated devices in SIMD lanes, over all cores, streamed.

Tasks are drawn chunk by chunk, one chunk ahead, and learned block by block: memory follows chunk
and block, not the fleet. A device's update depends on its own task and assignment alone, so neither
chunk nor workers nor lanes change a single byte.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, groupby, islice
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinyfleet.binding import Variant, variants
from tinyfleet.errors import TrainingError
from tinyfleet.exchange import Exchange
from tinyfleet.follow import Learned, check_assignment, check_tasks, follow
from tinyfleet.kernel_learner import Kernel
from tinyfleet.messages import Assignment, Update
from tinyfleet.network import Network
from tinyfleet.simulations.cores import cores
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.task import TaskBatch

_CHUNK_BYTES = 8 * 2**20  # small enough for the allocator to keep and hand out again
_BLOCK_BYTES = 2**20  # of learned weights: freed, it is used again while still in the cache


class _Held(Protocol):
    """Devices that take up memory."""

    @property
    def devices(self) -> Sequence[int]: ...


_H = TypeVar("_H", bound=_Held)


@dataclass(frozen=True)
class _Drawn:
    """A chunk of devices whose tasks are being drawn."""

    devices: Sequence[int]
    tasks: Future[TaskBatch] = field(repr=False)


@dataclass(frozen=True)
class _Learning:
    """Devices that learn: each finds its row at its place among the rows of all `parts`."""

    devices: Sequence[int]
    parts: tuple[Future[Learned], ...] = field(repr=False)
    places: Sequence[int] = field(repr=False)

    def updates(self, exchange: Exchange) -> Iterator[tuple[Update, int]]:
        """Wait for the parts; yield the devices' updates in their order, and the bytes of each."""
        parts = [part.result() for part in self.parts]
        weights = [row for part in parts for row in part.weights]
        losses = [loss for part in parts for loss in part.losses.tolist()]
        examples = [count for part in parts for count in part.examples.tolist()]
        asked, down = exchange.asked, exchange.received
        plain, now = exchange.returns is None and exchange.up.bare, asked.round
        whole = 4 * exchange.up.entries
        for device, at in zip(self.devices, self.places, strict=True):
            if plain:
                values = weights[at]
                yield Update(device, now, values, None, examples[at], losses[at], down), whole
            else:
                update = exchange.update(device, weights[at], losses[at], examples[at])
                yield update, exchange.bytes_up(update)


class SimulatedFleet:
    """Devices 0..n-1 of a family of tasks, behind the `Fleet` seam.

    Args:
        network: what they train.
        tasks: what each has to learn.
        devices: how many there are; at least 1.
        workers: threads; None takes one per core that this process may use.
        chunk: devices whose tasks are drawn and held at a time, and as many again that are drawn
            ahead; None takes what fits into 8 MiB.
        variant: build of the kernel; None takes the widest of this processor.

    Attributes:
        bytes: of all messages so far, to devices and from them; see `tinyfleet.exchange`.

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
        self.workers = workers or cores()
        self.chunk = chunk
        self._kernel = Kernel(network, variant or variants()[-1])
        self._devices = range(devices)
        self.bytes = 0

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
                yield from self._follow(pool, items)

    def _follow(
        self, pool: ThreadPoolExecutor, asked: Iterator[tuple[int, Assignment]]
    ) -> Iterator[Update]:
        """Follow one assignment; a chunk of devices is taken from `asked` when its turn comes."""
        device, assignment = next(asked)
        check_assignment(self.network, assignment)
        exchange = Exchange.of(self.network, assignment)
        assignment = exchange.arrived
        size = self.chunk or self._fitting_chunk
        chunks = _chunks(chain((device,), (device for device, _ in asked)), size)
        first = next(chunks)
        block = self._block(len(first))
        drawn = _ahead(self._draw(pool, assignment.round, chain((first,), chunks)), size)
        learning = self._learn(pool, assignment, drawn, block)
        for some in _ahead(learning, block * 2 * self.workers):
            for update, sent in some.updates(exchange):
                self.bytes += exchange.bytes_down + sent
                yield update

    def _draw(
        self, pool: ThreadPoolExecutor, round_number: int, chunks: Iterable[Sequence[int]]
    ) -> Iterator[_Drawn]:
        """Start to draw the tasks of each chunk."""

        def draw(devices: Sequence[int]) -> TaskBatch:
            tasks = self.tasks.batch(np.asarray(devices, np.int64), round_number)
            check_tasks(self.network, tasks)
            return tasks

        for chunk in chunks:
            yield _Drawn(chunk, pool.submit(draw, chunk))

    def _learn(
        self,
        pool: ThreadPoolExecutor,
        assignment: Assignment,
        drawn: Iterable[_Drawn],
        block: int,
    ) -> Iterator[_Learning]:
        """Start to train each chunk, supports of one length side by side."""

        def work(tasks: TaskBatch, devices: Sequence[int]) -> Future[Learned]:
            return pool.submit(follow, self._kernel, assignment, tasks, devices)

        for chunk in drawn:
            tasks, devices = chunk.tasks.result(), chunk.devices
            counts = tasks.counts
            if (counts == counts[0]).all():
                for i in range(0, len(counts), block):
                    mine = devices[i : i + block]
                    part = work(_take(tasks, slice(i, i + block)), mine)
                    yield _Learning(mine, (part,), range(len(mine)))
                continue
            groups = [
                alike[i : i + block]
                for alike in (np.flatnonzero(counts == count) for count in np.unique(counts))
                for i in range(0, len(alike), block)
            ]
            parts = tuple(work(_take(tasks, g), [devices[i] for i in g.tolist()]) for g in groups)
            yield _Learning(devices, parts, np.argsort(np.concatenate(groups)).tolist())

    def _block(self, devices: int) -> int:
        """Return how many of `devices` one call of the kernel trains: whole groups of lanes."""
        lanes = self._kernel.variant.lanes
        fair = -(-devices // (self.workers * 4 * lanes)) * lanes
        cached = _BLOCK_BYTES // (4 * self.network.parameters) // lanes * lanes
        return max(lanes, min(fair, cached))

    @cached_property
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


def _ahead(held: Iterator[_H], devices: int) -> Iterator[_H]:
    """Yield in order, and let up to `devices` be under way behind the one that is yielded."""
    waiting: deque[_H] = deque()
    behind = 0
    for one in held:
        waiting.append(one)
        behind += len(one.devices)
        while behind - len(waiting[0].devices) >= devices:
            behind -= len(waiting[0].devices)
            yield waiting.popleft()
    yield from waiting


def _take(tasks: TaskBatch, at: slice | NDArray[np.int64]) -> TaskBatch:
    return TaskBatch(
        tasks.support_x[at],
        tasks.support_y[at],
        tasks.query_x[at],
        tasks.query_y[at],
        tasks.counts[at],
    )
