"""The seam of learning: one device, one assignment, one task."""

from typing import Protocol

from tinyfleet.messages import Assignment, Update
from tinyfleet.task import Task


class Learner(Protocol):
    """Learns as a device would: the numpy reference, the C kernel, torch, or a real board."""

    def learn(self, assignment: Assignment, task: Task, device: int = 0) -> Update:
        """Follow `assignment` on `task` and return what `device` has learned.

        Raises:
            NetworkError: the vector, a named layer or the examples do not fit the network.
            TrainingError: there are local layers, but no query to learn the others from.
            DatasetError: the examples are not finite.
        """
        ...
