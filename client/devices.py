"""Devices that live in this process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tinyfleet.learner import Learner
from tinyfleet.messages import Assignment, Update
from tinyfleet.task import Task


@dataclass(frozen=True)
class LocalFleet:
    """A fleet whose devices learn one after another with the same learner.

    Attributes:
        learner: what learns.
        task: the task of a device in a round.
        devices: the devices that live here, ascending.
    """

    learner: Learner
    task: Callable[[int, int], Task]
    devices: Sequence[int]

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        """Yield what each device learned; none of them is ever silent, so time is not limited."""
        del timeout
        for device, assignment in assignments.items():
            yield self.learner.learn(assignment, self.task(device, assignment.round), device)
