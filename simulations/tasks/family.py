"""What every family of tasks offers: the tasks of any devices, in any round, as one batch."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tinyfleet.task import TaskBatch


class TaskFamily(Protocol):
    """A population of devices, each with a learning problem of its own.

    A device's problem (its sine, its characters) follows from the family's seed and the device
    alone; the samples it sees in a round follow from seed, device and round. So a batch is the same
    bytes however the devices are grouped.
    """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        ...

    @property
    def outputs(self) -> int:
        """Length of one target."""
        ...

    @property
    def provenance(self) -> str:
        """One sentence: which data, from where, which part, how many classes."""
        ...

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of all that decides its batches: settings, seed and data.

        Equal for equal families in any process, so that a run can tell whether it goes on with the
        data that it began with. Where data were read from has no part in it.
        """
        ...

    def batch(self, devices: NDArray[np.int64], round_number: int) -> TaskBatch:
        """Return the tasks of `devices`, `(n,)`, in round `round_number`."""
        ...
