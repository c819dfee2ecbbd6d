"""The kernel as a learner: one device as a gateway runs it, or many side by side."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyfleet.binding import Program, Variant, variant
from tinyfleet.exchange import learn_one
from tinyfleet.follow import rows
from tinyfleet.messages import Assignment, Training, Update
from tinyfleet.network import Network
from tinyfleet.plan import plan
from tinyfleet.task import Task

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Kernel:
    """An `Engine`: a network, lowered once for every set of frozen layers that is asked for.

    Attributes:
        network: what is trained.
        variant: the build of the kernel that trains it.
    """

    network: Network
    variant: Variant
    _programs: dict[frozenset[str], Program] = field(
        default_factory=dict, repr=False, compare=False
    )

    def program(self, frozen: frozenset[str] = frozenset()) -> Program:
        """Return the program that leaves the layers in `frozen` as they are."""
        if frozen not in self._programs:
            self._programs[frozen] = Program(plan(self.network, frozen))
        return self._programs[frozen]

    def train(
        self, training: Training, start: Floats, x: Floats, y: Floats, frozen: frozenset[str]
    ) -> tuple[Floats, Floats]:
        """See `tinyfleet.follow.Engine`."""
        return self.program(frozen).learn(self.variant, training, start, x, y)

    def predict(self, weights: Floats, x: Floats) -> Floats:
        """Return outputs `(n, q, outputs)` for `weights` `(parameters,)` or `(n, parameters)`."""
        return self.program().predict(self.variant, weights, rows(x))


class KernelLearner:
    """A device in this process, trained by the scalar kernel: what a microcontroller computes."""

    def __init__(self, network: Network, variant_name: str = "scalar") -> None:
        self._kernel = Kernel(network, variant(variant_name))

    def learn(self, assignment: Assignment, task: Task, device: int = 0) -> Update:
        """See `tinyfleet.Learner`."""
        return learn_one(self._kernel, assignment, task, device)
