"""What every family of tasks offers: the tasks of any devices, in any round, as one batch."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.task import TaskBatch

Rule = tuple[str, object, str, bool]
"""Name and value of a setting, what is expected of it, and whether it is so."""


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


class _Shots(Protocol):
    """What problems of few shots have in common, whatever their samples are."""

    @property
    def shots(self) -> int: ...

    @property
    def query_shots(self) -> int: ...

    @property
    def min_shots(self) -> int | None: ...


def check_shots(app: str, episodes: _Shots, *more: Rule) -> None:
    """Raise `DatasetError` unless shots are counts that can be, and `more` rules hold, by name."""
    shots, query, least = episodes.shots, episodes.query_shots, episodes.min_shots
    fits = least is None or 1 <= least <= shots
    for name, value, expected, good in (
        *more,
        ("shots", shots, "at least 1", shots >= 1),
        ("query_shots", query, "at least 0", query >= 0),
        ("min_shots", least, f"1..{shots}, the shots", fits),
    ):
        if not good:
            raise DatasetError(f"{app}.{name}: expected {expected}, got {value}")


def noise_rule(noise: float) -> Rule:
    """Return the rule of a standard deviation."""
    return "noise", noise, "at least 0", math.isfinite(noise) and noise >= 0
