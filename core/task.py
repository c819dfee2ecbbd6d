"""A learning problem of one device, and many of them side by side."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """What one device has to learn: it adapts to `support`; `query` is other data of the same kind.

    A device learns from its query only where an assignment names local layers: TinyMetaFed rebuilds
    those on the support, then learns the others on the query. Whoever judges keeps to tasks
    that no device has learned from.

    Targets are what the network's loss compares outputs with: real values for mean square,
    0 or 1 for sigmoid cross-entropy, one-hot rows for softmax cross-entropy.

    Attributes:
        support_x: examples in the order of the stream, `(s, *input_shape)` float32.
        support_y: their targets, `(s, outputs)` float32.
        query_x: more examples, `(q, *input_shape)` float32; q may be 0.
        query_y: their targets, `(q, outputs)` float32.
    """

    support_x: Floats
    support_y: Floats
    query_x: Floats
    query_y: Floats

    def alone(self) -> "TaskBatch":
        """Return the batch of this one task."""
        return TaskBatch(
            self.support_x[None],
            self.support_y[None],
            self.query_x[None],
            self.query_y[None],
            np.array([len(self.support_x)], np.int32),
        )


@dataclass(frozen=True)
class TaskBatch:
    """The tasks of `n` devices; device `i` owns the first `counts[i]` rows of its support.

    Attributes:
        support_x: `(n, s, *input_shape)` float32, C-contiguous; rows past `counts[i]` are padding.
        support_y: `(n, s, outputs)` float32.
        query_x: `(n, q, *input_shape)` float32.
        query_y: `(n, q, outputs)` float32.
        counts: support examples that each device really has, `(n,)` int32, each in 1..s.
    """

    support_x: Floats
    support_y: Floats
    query_x: Floats
    query_y: Floats
    counts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.support_x)

    def task(self, i: int) -> Task:
        """Return the task of the `i`-th device of the batch, without its padding."""
        n = int(self.counts[i])
        return Task(self.support_x[i, :n], self.support_y[i, :n], self.query_x[i], self.query_y[i])


def check_counts(tasks: TaskBatch) -> None:
    """Raise `DatasetError` unless each device has a whole number of 1..s examples, s its rows."""
    n, s = tasks.support_x.shape[:2]
    given: object = tasks.counts
    counts = np.asarray(given)
    whole = isinstance(given, np.ndarray) and counts.shape == (n,) and counts.dtype.kind in "iu"
    if not whole or ((counts < min(1, s)) | (counts > s)).any():
        raise DatasetError(
            f"counts: expected an array of {n} integers of 1 to {s}, the rows of each support, "
            f"got {' '.join(str(given).split()):.60}; say how many rows each device has"
        )


def check_finite(name: str, values: Floats) -> None:
    """Raise `DatasetError` when `values` hold NaN or infinity; `name` says which field they are."""
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0].tolist()
        raise DatasetError(
            f"{name}: expected finite numbers, got {values[tuple(place)]} at {place}; "
            "clean the data first"
        )
