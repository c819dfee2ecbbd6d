"""Rounds against the clock: waiting for everybody, or several rounds in flight.

A synchronous round ends with its slowest device. Buffered asynchronous aggregation (FedBuff; Nguyen
et al. 2022, arXiv 2106.06639, algorithm 1) keeps as many devices at work: whoever is done is
followed by another at once, and the server steps as soon as a few updates have come, each weighted
less the more steps it has missed.

Seconds are simulated: a device takes a log-normal time of its own, and each of its turns a smaller
log-normal one besides. Devices learn what they would learn in any fleet.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from tinyfleet.messages import Assignment, CommonAssignment, Floats, Training
from tinyfleet.network import Network
from tinyfleet.simulations.fleet import SimulatedFleet

Discount = Callable[[int], float]
"""What an update counts for that has missed so many steps of the server."""


def polynomial(staleness: int) -> float:
    """Return 1 / sqrt(1 + staleness), the discount of FedBuff (section 5)."""
    return float(1.0 / np.sqrt(1.0 + staleness))


def equal(staleness: int) -> float:
    """Return 1: an update counts in full, however stale."""
    del staleness
    return 1.0


@dataclass(frozen=True)
class Clock:
    """How long devices take.

    Attributes:
        spread: standard deviation of the logarithm of a device's own time; its median is a second.
        jitter: the same of a single turn.
        seed: seed of both.
    """

    spread: float = 1.0
    jitter: float = 0.25
    seed: int = 0

    def seconds(self, device: int, turn: int) -> float:
        """Return how long `device` takes in its turn `turn`, way there and back included."""
        own = np.random.default_rng([self.seed, device]).normal()
        now = np.random.default_rng([self.seed, device, turn]).normal()
        return float(np.exp(self.spread * own + self.jitter * now))


@dataclass(frozen=True)
class Crowd:
    """Who learns, and how.

    Attributes:
        network: what they learn.
        fleet: the devices; they take turns in an order of their own.
        training: how they learn.
        step: the server's step size, falling in a straight line to nothing.
        turns: devices' turns in all; each communicates the network there and back.
        at_work: devices that work at a time.
        clock: how long they take.
        seed: seed of the first weights and of the order.
    """

    network: Network
    fleet: SimulatedFleet
    training: Training
    step: float
    turns: int
    at_work: int
    clock: Clock
    seed: int = 0


@dataclass(frozen=True)
class Moment:
    """How things stand after a step of the server: seconds, turns taken and weights."""

    seconds: float
    turns: int
    weights: Floats = field(repr=False)


def synchronous(crowd: Crowd, spare: int = 0) -> Iterator[Moment]:
    """Yield every step of rounds that wait for all of `at_work` devices.

    Args:
        crowd: who learns.
        spare: devices asked besides; as many, the slowest, are not waited for (Bonawitz et al.
            2019, section 9). Their parameters have travelled, and count as turns.
    """
    learners, weights = _Learners(crowd), crowd.network.init(crowd.seed)
    now, taken, asked = 0.0, 0, crowd.at_work + spare
    while taken + asked <= crowd.turns:
        turns = range(taken, taken + asked)
        seconds = [crowd.clock.seconds(learners.device(turn), turn) for turn in turns]
        waited = sorted(turns, key=lambda turn: seconds[turn - taken])[: crowd.at_work]
        values = learners.learn(weights, waited)
        delta = np.mean([values[turn] for turn in waited], axis=0, dtype=np.float64) - weights
        size = crowd.step * (1.0 - taken / crowd.turns)
        weights = (weights + size * delta).astype(np.float32)
        now += seconds[waited[-1] - taken]
        taken += asked
        yield Moment(now, taken, weights)


def buffered(crowd: Crowd, buffer: int, discount: Discount = polynomial) -> Iterator[Moment]:
    """Yield every step of a server that steps whenever `buffer` updates have come (FedBuff).

    Args:
        crowd: who learns; `at_work` devices do so at any time.
        buffer: updates a step.
        discount: what a stale update counts for.
    """
    learners, weights = _Learners(crowd), crowd.network.init(crowd.seed)
    running: list[tuple[float, int, int]] = []  # when it is done, its turn, steps before it began
    received: dict[int, Floats] = {}
    waiting, steps, begun, done = np.zeros(len(weights)), 0, 0, 0
    starts: dict[int, Floats] = {0: weights}
    cohort: list[int] = []
    now = 0.0
    while done < crowd.turns:
        while len(running) < crowd.at_work and begun < crowd.turns:
            seconds = crowd.clock.seconds(learners.device(begun), begun)
            heapq.heappush(running, (now + seconds, begun, steps))
            cohort.append(begun)
            begun += 1
        now, turn, before = heapq.heappop(running)
        if turn not in received:  # all that began with these weights learn side by side
            received |= learners.learn(weights, cohort)
            cohort.clear()
        waiting += discount(steps - before) * (received.pop(turn) - starts[before])
        done += 1
        if done % buffer == 0:
            received |= learners.learn(weights, cohort)
            cohort.clear()
            size = crowd.step * (1.0 - (done - buffer) / crowd.turns)
            weights = (weights + size * waiting / buffer).astype(np.float32)
            waiting[:] = 0.0
            steps += 1
            starts[steps] = weights
            oldest = min((b for _, _, b in running), default=steps)
            starts = {step: vector for step, vector in starts.items() if step >= oldest}
            yield Moment(now, done, weights)


class _Learners:
    """The devices in the order of their turns."""

    def __init__(self, crowd: Crowd) -> None:
        devices = len(crowd.fleet.devices)
        order = np.random.default_rng([crowd.seed, devices])
        laps = -(-crowd.turns // devices)
        self._crowd = crowd
        self._order = np.concatenate([order.permutation(devices) for _ in range(laps)]).tolist()

    def device(self, turn: int) -> int:
        """Return who takes this turn."""
        return int(self._order[turn])

    def learn(self, weights: Floats, turns: list[int]) -> dict[int, Floats]:
        """Return what the devices of `turns` make of `weights`, by turn."""
        if not turns:
            return {}
        devices = len(self._crowd.fleet.devices)
        found: dict[int, Floats] = {}
        for lap in sorted({turn // devices for turn in turns}):
            by_device = {self.device(t): t for t in turns if t // devices == lap}
            ask = Assignment(lap + 1, weights, self._crowd.training)
            asked = CommonAssignment(ask, [(device,) for device in sorted(by_device)])
            for update in self._crowd.fleet.run(asked):
                found[by_device[update.device]] = update.values
        return found
