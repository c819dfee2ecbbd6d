"""The numpy reference as a learner: slow, meant to be read, equal to the kernel bit for bit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfleet import reference
from tinyfleet.exchange import learn_one
from tinyfleet.messages import Assignment, Training, Update
from tinyfleet.network import Network
from tinyfleet.plan import plan
from tinyfleet.task import Task

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """An `Engine` that computes in numpy, one device after the other."""

    network: Network

    def train(
        self, training: Training, start: Floats, x: Floats, y: Floats, frozen: frozenset[str]
    ) -> tuple[Floats, Floats]:
        """See `tinyfleet.follow.Engine`."""
        lowered = plan(self.network, frozen)
        starts = np.broadcast_to(start, (len(x), self.network.parameters))
        results = [
            reference.learn(lowered, training, w, a, b)
            for w, a, b in zip(starts, x, y, strict=True)
        ]
        weights = np.stack([vector for vector, _ in results])
        return weights, np.array([loss for _, loss in results], np.float32)


class ReferenceLearner:
    """A device computed by the numpy reference."""

    def __init__(self, network: Network) -> None:
        self._reference = Reference(network)

    def learn(self, assignment: Assignment, task: Task, device: int = 0) -> Update:
        """See `tinyfleet.Learner`."""
        return learn_one(self._reference, assignment, task, device)
