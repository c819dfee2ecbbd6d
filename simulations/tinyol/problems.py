"""What deployed models knew, and what the device of each meets when its world has drifted."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfleet.messages import Floats
from tinyfleet.network import Network
from tinyfleet.task import TaskBatch


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of `n` devices, and what they are.

    Attributes:
        x: `(n, m, inputs)`.
        y: targets, `(n, m, outputs)`.
    """

    x: Floats
    y: Floats


@dataclass(frozen=True, eq=False)
class Problems:
    """The problems of `n` devices, each with a model of its own.

    Attributes:
        network: what is deployed.
        known: what each model is made from, by others than its device meets, before any drift.
        met: what the device meets after the drift.
        held: as drifted, and never met.
        met_calm: what the device would meet without a drift.
        held_calm: held out, without a drift.
        unknown: drifted samples of classes that no model knows, `(n, u, inputs)`; u may be 0.
        group: devices of one group are one observation of an interval, `(n,)`.
        source: which data these are, in plain words.
    """

    network: Network
    known: Samples
    met: Samples
    held: Samples
    met_calm: Samples
    held_calm: Samples
    unknown: Floats
    group: NDArray[np.int64]
    source: str

    def __len__(self) -> int:
        return len(self.group)


def support_of(batch: TaskBatch) -> Samples:
    """Return the support of devices as flat samples."""
    return _flat(batch.support_x, batch.support_y)


def query_of(batch: TaskBatch) -> Samples:
    """Return the query of devices as flat samples."""
    return _flat(batch.query_x, batch.query_y)


def first_classes(samples: Samples, ways: int) -> Samples:
    """Return the samples of the first `ways` classes, of which every device has as many."""
    chosen, n = samples.y.argmax(axis=2) < ways, len(samples.y)
    x = samples.x[chosen].reshape(n, -1, samples.x.shape[2])
    return Samples(x, samples.y[chosen][:, :ways].reshape(n, -1, ways))


def other_classes(samples: Samples, ways: int) -> Floats:
    """Return the samples of all other classes, `(n, u, inputs)`."""
    chosen, n = samples.y.argmax(axis=2) >= ways, len(samples.y)
    return np.asarray(samples.x[chosen].reshape(n, -1, samples.x.shape[2]))


def rows_of(samples: Samples, rows: slice) -> Samples:
    """Return some rows of every device."""
    x, y = samples.x[:, rows], samples.y[:, rows]
    return Samples(np.ascontiguousarray(x), np.ascontiguousarray(y))


def _flat(x: Floats, y: Floats) -> Samples:
    return Samples(x.reshape(*x.shape[:2], math.prod(x.shape[2:])), y)
