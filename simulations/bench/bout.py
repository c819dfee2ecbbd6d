"""What a peer's own process does: wait for a word, train devices, answer how many and how long."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TextIO

from tinyfleet.simulations.bench.workloads import WORKLOADS, Workload
from tinyfleet.task import TaskBatch

Train = Callable[[TaskBatch], object]


@dataclass(frozen=True)
class Settings:
    """What a peer is asked to do.

    Attributes:
        workload: "sine" or "characters".
        seconds: length of a bout to aim at.
        bouts: how many, the untimed first one included.
        nodes: Flower's nodes, one device each.
        workers: cores to use.
        quick: each peer takes the first of its ways instead of the fastest.
    """

    workload: str
    seconds: float
    bouts: int
    nodes: int
    workers: int
    quick: bool


@dataclass(frozen=True)
class Bout:
    """Device updates done and seconds taken; how they were done, in words."""

    updates: float
    seconds: float
    how: str = ""


@dataclass(frozen=True)
class Gate:
    """The line to the process that keeps time.

    Attributes:
        asks: a line comes in for each bout; the end of the stream ends the peer.
        answers: a line of JSON goes out for each bout.
    """

    asks: TextIO
    answers: TextIO

    def wait(self) -> bool:
        """Return once a bout is asked for, or False when no more will be."""
        return self.asks.readline() != ""

    def answer(self, bout: Bout) -> None:
        """Say how the bout went."""
        self.answers.write(json.dumps(asdict(bout)) + "\n")
        self.answers.flush()


@dataclass(frozen=True)
class Way:
    """One way in which a peer may train devices; the fastest is taken.

    Attributes:
        how: the way, in words.
        unit: devices that it takes at a time.
        train: trains the devices of a batch.
    """

    how: str
    unit: int
    train: Train


def timed(train: Callable[[int], object], devices: int) -> float:
    """Return the seconds that `train(devices)` takes."""
    began = time.perf_counter()
    train(devices)
    return time.perf_counter() - began


def fitting(train: Callable[[int], object], unit: int, seconds: float) -> int:
    """Return how many devices, in whole units, `train` gets through in about `seconds`."""
    devices = unit
    while (took := timed(train, devices)) < seconds / 4:
        devices *= 2
    return max(1, round(devices * seconds / took / unit)) * unit


def keep_training(gate: Gate, train: Callable[[int], object], devices: int, how: str) -> None:
    """Train `devices` whenever the gate asks."""
    while gate.wait():
        gate.answer(Bout(devices, timed(train, devices), how))


def compete(settings: Settings, gate: Gate, ways: Callable[[Workload], Sequence[Way]]) -> None:
    """Find the fastest of a peer's ways, then train whenever the gate asks.

    Tasks are drawn before the clock starts.
    """
    workload = WORKLOADS[settings.workload]()

    def pace(way: Way) -> float:
        tasks = workload.batch(way.unit)
        return way.unit / timed(lambda _: way.train(tasks), way.unit)

    known = ways(workload)
    known[0].train(workload.batch(known[0].unit))  # libraries set themselves up on first use
    best = known[0] if settings.quick else max(known, key=pace)
    devices = fitting(lambda n: best.train(workload.batch(n)), best.unit, settings.seconds)
    tasks = workload.batch(devices)
    keep_training(gate, lambda _: best.train(tasks), devices, best.how)
