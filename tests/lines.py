"""A fleet small enough to follow by hand: each device learns a line of its own."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfleet.messages import Assignment, Floats, Training, Update

ONLINE = Training(rate=0.125)


@dataclass
class LineFleet:
    """Devices that fit y = a x + b, weights (a, b), with a = device and b = 1, on x = 1, 2, ...

    Attributes:
        devices: who is there.
        examples: samples of each device; device `d` has `examples + d % spread`.
        spread: how many different numbers of samples there are.
        silent: devices that never answer.
        spoil: what happens to an update on its way.
        calls: the devices of every call of `run`.
        assignments: the last assignment of every device.
    """

    devices: Sequence[int]
    examples: int = 2
    spread: int = 1
    silent: frozenset[int] = frozenset()
    spoil: Callable[[Update], Update] = lambda update: update
    calls: list[tuple[int, ...]] = field(default_factory=list)
    assignments: dict[int, Assignment] = field(default_factory=dict)

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        del timeout
        self.calls.append(tuple(assignments))
        self.assignments.update(assignments)
        return (
            self.spoil(self.learn(assignment, device))
            for device, assignment in assignments.items()
            if device not in self.silent
        )

    def learn(self, assignment: Assignment, device: int) -> Update:
        weights = assignment.weights.copy()
        count = self.examples + device % self.spread
        loss = 0.0
        for x in range(1, count + 1):
            error = np.float32(weights @ [x, 1] - (device * x + 1))
            loss += float(error) ** 2
            weights -= np.float32(assignment.training.rate) * error * np.array([x, 1], np.float32)
        values, indices = weights, None
        if assignment.share < 1:
            kept = math.ceil(assignment.share * len(weights))
            moved = np.abs(weights - assignment.weights)
            indices = np.sort(np.argsort(-moved, kind="stable")[:kept]).astype(np.int32)
            values = weights[indices]
        loss /= count
        return Update(device, assignment.round, values, indices, count, loss, len(weights))


def vector(*values: float) -> Floats:
    return np.array(values, np.float32)


def update(
    device: int,
    values: Floats,
    *,
    at: Sequence[int] | None = None,
    examples: int = 1,
    round_number: int = 1,
) -> Update:
    """Return an update with loss 0.5 that came from a vector of its own length."""
    indices = None if at is None else np.array(at, np.int32)
    return Update(device, round_number, values, indices, examples, 0.5, len(values))
