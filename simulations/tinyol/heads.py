"""Many TinyOL heads side by side: the bits of `tinyfleet.client.tinyol`, a device in each lane."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tinyfleet.binding import variants
from tinyfleet.client.head import CLIP, Doubles
from tinyfleet.kernel_learner import Kernel
from tinyfleet.messages import Floats, Training
from tinyfleet.network import Network


@dataclass(frozen=True)
class Scalings:
    """Running mean and variance of `n` devices' features; see `tinyfleet.client.head.Scaling`.

    Attributes:
        count: samples that each device has seen.
        mean: their mean, `(n, f)`.
        squares: their summed squared distance from the mean, `(n, f)`.
    """

    count: int
    mean: Doubles
    squares: Doubles

    def seen(self, z: Floats) -> "Scalings":
        """Return the scalings that have seen `z`, `(n, f)`, too."""
        count = self.count + 1
        apart = z - self.mean
        mean = self.mean + apart / count
        return Scalings(count, mean, self.squares + apart * (z - mean))

    def standardised(self, z: Floats) -> Floats:
        """Return features `(n, m, f)` less the mean, by the standard deviation; clipped."""
        deviation = np.sqrt(self.squares / max(self.count, 1))
        deviation[deviation == 0.0] = 1.0
        x = (z - self.mean[:, None]) / deviation[:, None]
        return np.clip(x, -CLIP, CLIP).astype(np.float32)


@dataclass(frozen=True)
class Heads:
    """The heads of `n` devices.

    Attributes:
        network: every head, from features to outputs.
        weights: `(n, parameters)` float32.
        scalings: of the features.
        rate: step size.
    """

    network: Network
    weights: Floats = field(repr=False)
    scalings: Scalings = field(repr=False)
    rate: float

    def says(self, z: Floats) -> Floats:
        """Return outputs `(n, q, outputs)` for features `(n, q, f)`; nothing is learned."""
        x = self.scalings.standardised(z)
        return Kernel(self.network, variants()[-1]).predict(self.weights, x)


@dataclass(frozen=True)
class Course:
    """What heads said of a stream, each sample scored before it was learned.

    Attributes:
        said: outputs, `(n, s, outputs)`.
        losses: of each sample, `(n, s)`.
        at: the heads after some numbers of samples.
    """

    said: Floats = field(repr=False)
    losses: Floats = field(repr=False)
    at: dict[int, Heads] = field(repr=False)


def right(outputs: Floats, targets: Floats) -> NDArray[np.bool_]:
    """Return which outputs `(n, q, outputs)` name the class of their targets, `(n, q)`.

    A single output is a logit: above 0 for the class 1.
    """
    if outputs.shape[2] == 1:
        return np.asarray((outputs > 0.0) == (targets > 0.5))[:, :, 0]
    return np.asarray(outputs.argmax(axis=2) == targets.argmax(axis=2))


def follow(heads: Heads, z: Floats, y: Floats, marks: Collection[int] = ()) -> Course:
    """Score, then learn, every sample of the devices' streams.

    Args:
        heads: where they begin.
        z: features, `(n, s, f)`.
        y: targets, `(n, s, outputs)`.
        marks: numbers of samples after which the heads are kept.
    """
    kernel = Kernel(heads.network, variants()[-1])
    training = Training(heads.rate)
    n, samples = z.shape[:2]
    said, losses = np.empty(y.shape, np.float32), np.empty((n, samples), np.float32)
    at = {0: heads}
    for i in range(samples):
        scalings = heads.scalings.seen(z[:, i])
        x, target = scalings.standardised(z[:, i : i + 1]), y[:, i : i + 1]
        said[:, i : i + 1] = kernel.predict(heads.weights, x)
        weights, losses[:, i] = kernel.train(training, heads.weights, x, target, frozenset())
        heads = replace(heads, weights=weights, scalings=scalings)
        if i + 1 in marks:
            at[i + 1] = heads
    return Course(said, losses, {mark: at[mark] for mark in sorted({*marks} & {*at})})
