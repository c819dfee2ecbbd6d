"""A TinyOL head: a small network on standardised features, and all that it needs to go on."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import NetworkError
from tinyfleet.layers import Dense, Layer, Relu
from tinyfleet.messages import Training
from tinyfleet.network import Loss, Network, sequence

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

CLIP = 8.0
"""Standardised features lie in [-CLIP, CLIP]: one that wakes up after a long constant stretch
would otherwise stand the root of its count away from 0, and one step could ruin the head."""


@dataclass(frozen=True)
class Scaling:
    """Running mean and variance of features (Welford 1962), in float64.

    Float64, because after a million samples a float32 mean no longer moves.

    Attributes:
        count: samples seen.
        mean: their mean, `(f,)`.
        squares: their summed squared distance from the mean, `(f,)`.
    """

    count: int
    mean: Doubles
    squares: Doubles

    def seen(self, z: Floats) -> "Scaling":
        """Return the scaling that has seen `z`, `(f,)`, too."""
        count = self.count + 1
        apart = z - self.mean
        mean = self.mean + apart / count
        return Scaling(count, mean, self.squares + apart * (z - mean))

    def check(self, features: int) -> None:
        """Raise `NetworkError` unless this is what `features` features may come to."""
        shape = (features,)
        if self.count < 0 or self.mean.shape != shape or self.squares.shape != shape:
            raise NetworkError(
                f"scaling: expected mean and squares of {features} features, "
                f"got {self.mean.shape} and {self.squares.shape} after {self.count} samples"
            )
        if not (np.isfinite(self.mean).all() and (self.squares >= 0.0).all()):
            raise NetworkError("scaling: expected finite means and no negative squares")

    def standardised(self, z: Floats) -> Floats:
        """Return `z` less the mean, by the standard deviation where there is one; clipped."""
        deviation = np.sqrt(self.squares / max(self.count, 1))
        deviation[deviation == 0.0] = 1.0
        return np.clip((z - self.mean) / deviation, -CLIP, CLIP).astype(np.float32)


@dataclass(frozen=True)
class Head:
    """All that a device has learned and all that it needs to go on: its state.

    Attributes:
        network: the head, from features to an output for each class.
        weights: its vector, `(parameters,)` float32.
        scaling: of the features.
        classes: name of each output; none where outputs are numbers to estimate.
        rate: step size.
        samples: samples of the stream so far, labelled or not.
        labelled: those that had a label or a target.
        hits: labelled ones whose class was predicted before it was learned.
    """

    network: Network
    weights: Floats = field(repr=False)
    scaling: Scaling = field(repr=False)
    classes: tuple[str, ...]
    rate: float
    samples: int = 0
    labelled: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        check_classes(self.classes)
        if self.classes and len(self.classes) != self.network.outputs:
            raise NetworkError(
                f"classes: {self.network.name} has {self.network.outputs} outputs, "
                f"got {len(self.classes)} names"
            )
        Training(self.rate)  # checks the rate
        self.network.check_weights(self.weights)
        self.scaling.check(self.network.inputs)
        if not 0 <= self.hits <= self.labelled <= self.samples:
            raise NetworkError(
                "head: expected 0 <= hits <= labelled <= samples, "
                f"got {self.hits}, {self.labelled}, {self.samples}"
            )

    @property
    def accuracy(self) -> float:
        """Prequential accuracy so far, 0 to 1; NaN before the first label."""
        return self.hits / self.labelled if self.labelled else float("nan")


def check_classes(classes: Iterable[str]) -> None:
    """Raise `NetworkError` unless names are different, printable and not empty."""
    names = tuple(classes)
    for name in names:
        if not name or not name.isprintable():
            raise NetworkError(f"classes: expected printable names, got {name[:40]!r}")
    if len(set(names)) != len(names):
        raise NetworkError(f"classes: expected different names, got {', '.join(names)[:120]}")


def head_network(
    features: int, outputs: int, *, hidden: int = 0, loss: Loss = "softmax-cross-entropy"
) -> Network:
    """Return a dense head, with a ReLU layer of `hidden` units before it where that is not 0.

    >>> head_network(64, 5).parameters
    325
    """
    below: tuple[Layer, ...] = (Dense(hidden), Relu()) if hidden else ()
    return Network("head", (features,), sequence(*below, Dense(outputs)), loss)


def fresh_head(network: Network, classes: Iterable[str] = (), *, rate: float, seed: int) -> Head:
    """Return a head that has learned nothing, as TinyOL begins.

    Raises:
        NetworkError: the network takes no vector, or `classes` do not fit its outputs.
        TrainingError: the rate is not positive.
    """
    if len(network.input_shape) != 1:
        raise NetworkError(
            f"{network.name}: a head takes a vector of features, got {network.input_shape}"
        )
    zeros = np.zeros(network.inputs, np.float64)
    return Head(network, network.init(seed), Scaling(0, zeros, zeros), tuple(classes), rate)


def warm_head(deployed: Head, *, rate: float | None = None) -> Head:
    """Return `deployed` as a new device gets it: all it knows, and counts that begin at 0."""
    rate = deployed.rate if rate is None else rate
    return replace(deployed, rate=rate, samples=0, labelled=0, hits=0)


def with_class(head: Head, name: str) -> Head:
    """Return `head` with one more output, whose weights are 0; all others keep theirs.

    Raises:
        NetworkError: there is such a class already, or outputs of this head have no names.
    """
    old = head.network
    last, layer = old.layers[-1]
    if not head.classes or not isinstance(layer, Dense):
        raise NetworkError(f"{name!r}: a class joins named outputs of a dense layer; there is none")
    layers = (*old.layers[:-1], (last, Dense(old.outputs + 1)))
    network = Network(old.name, old.input_shape, layers, old.loss)
    was, part = old.parts[last], network.parts[last]
    weights = np.zeros(network.parameters, np.float32)
    weights[: was.start] = head.weights[: was.start]
    size = was.stop - was.biases
    matrix = weights[part.start : part.stop - part.biases].reshape(part.weights)
    matrix[:, : old.outputs] = head.weights[was.start : size].reshape(was.weights)
    weights[part.stop - part.biases : part.stop - 1] = head.weights[size : was.stop]
    return replace(head, network=network, weights=weights, classes=(*head.classes, name))
