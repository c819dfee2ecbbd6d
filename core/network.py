"""A network: named layers, and the one place that knows how their parameters lie in the vector."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import NetworkError
from tinyfleet.layers import Conv2d, Dense, DepthwiseConv2d, Layer, Shape, kind_of

Floats = NDArray[np.float32]
Loss = Literal["mean-square", "softmax-cross-entropy", "sigmoid-cross-entropy"]
LOSSES: tuple[Loss, ...] = ("mean-square", "softmax-cross-entropy", "sigmoid-cross-entropy")


@dataclass(frozen=True)
class Part:
    """The parameters of one layer.

    Attributes:
        layer: the layer's name.
        start: place of its first weight in the vector.
        weights: shape of its weights: dense `(in, out)`, conv2d `(kh, kw, in, out)`, depthwise
            `(kh, kw, channels)`, in C order.
        biases: number of biases, right behind the weights.
    """

    layer: str
    start: int
    weights: tuple[int, ...]
    biases: int

    @property
    def stop(self) -> int:
        """The place behind the last bias."""
        return self.start + math.prod(self.weights) + self.biases

    @property
    def slice(self) -> slice:
        """The layer's parameters in the vector."""
        return slice(self.start, self.stop)


def _weights_shape(layer: Layer, shape: Shape) -> tuple[tuple[int, ...], int] | None:
    match layer:
        case Dense(outputs):
            return (shape[0], outputs), outputs
        case Conv2d(filters, kernel):
            return (*kernel, shape[2], filters), filters
        case DepthwiseConv2d(kernel):
            return (*kernel, shape[2]), shape[2]
        case _:
            return None


@dataclass(frozen=True)
class Network:
    """Layers from an input to a loss.

    Attributes:
        name: what people call it.
        input_shape: `(features,)` or `(height, width, channels)`.
        layers: the layers in order, with their names; `sequence` names them for you.
        loss: what a sample costs.

    Raises:
        NetworkError: the layers do not fit together.

    >>> from tinyfleet import Dense, Relu, Network, sequence
    >>> tiny = Network("tiny", (2,), sequence(Dense(3), Relu(), Dense(1)), "mean-square")
    >>> tiny.parameters, tiny.shapes[-1]
    (13, (1,))
    """

    name: str
    input_shape: Shape
    layers: tuple[tuple[str, Layer], ...] = field(repr=False)
    loss: Loss

    def __post_init__(self) -> None:
        names = [name for name, _ in self.layers]
        for text in (self.name, *names):
            if not text or not text.isprintable():
                raise NetworkError(f"name: expected printable characters, got {text!r}")
        if self.loss not in LOSSES:
            raise NetworkError(
                f"{self.name}: loss: expected one of {', '.join(LOSSES)}, got {self.loss!r}"
            )
        if not self.layers:
            raise NetworkError(f"{self.name}: layers: expected at least one, got none")
        if len(self.input_shape) not in (1, 3) or min(self.input_shape) < 1:
            raise NetworkError(
                f"{self.name}: input: expected [features] or [height, width, channels] of 1 or "
                f"more, got {list(self.input_shape)}"
            )
        if len(set(names)) != len(names):
            raise NetworkError(f"{self.name}: layers: expected different names, got {names}")
        if len(self.shapes[-1]) != 1:
            raise NetworkError(
                f"{self.name}: expected a vector at the end, got {self.shapes[-1]}; "
                "finish with flatten or global-average-pool and dense"
            )

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The input's shape, then the output's shape of every layer."""
        shapes = [self.input_shape]
        for name, layer in self.layers:
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except NetworkError as error:
                raise NetworkError(f"{self.name}: layer {name}: {error}") from None
        return tuple(shapes)

    @cached_property
    def parts(self) -> dict[str, Part]:
        """The parameters of every layer that has any, in order."""
        parts: dict[str, Part] = {}
        start = 0
        for (name, layer), shape in zip(self.layers, self.shapes, strict=False):
            if found := _weights_shape(layer, shape):
                parts[name] = Part(name, start, *found)
                start = parts[name].stop
        return parts

    @property
    def outputs(self) -> int:
        """Length of an output and of a target."""
        return self.shapes[-1][0]

    @property
    def inputs(self) -> int:
        """Floats of one sample."""
        return math.prod(self.input_shape)

    @cached_property
    def parameters(self) -> int:
        """Length of the vector."""
        return sum(math.prod(part.weights) + part.biases for part in self.parts.values())

    @cached_property
    def checksum(self) -> str:
        """Twelve hexadecimal digits that change with anything that changes what is computed."""
        text = repr((self.input_shape, [(n, kind_of(y), y) for n, y in self.layers], self.loss))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def init(self, seed: int | Sequence[int]) -> Floats:
        """Draw a vector: Glorot's uniform weights (Glorot & Bengio 2010, eq. 16), spread biases.

        Biases are uniform in +-1/sqrt(fan-in), so that the kinks of a ReLU network of few inputs
        do not all lie at zero.
        """
        generator = np.random.default_rng(seed)
        vector = np.zeros(self.parameters, np.float32)
        for part in self.parts.values():
            size = math.prod(part.weights)
            taps = math.prod(part.weights[:2]) if len(part.weights) > 2 else 1
            depthwise = len(part.weights) == 3
            fan_in = taps if depthwise else size // part.biases
            fan_out = taps if depthwise else taps * part.biases
            limit = math.sqrt(6.0 / (fan_in + fan_out))
            draws = generator.uniform(-limit, limit, size)
            vector[part.start : part.start + size] = draws.astype(np.float32)
            spread = 1.0 / math.sqrt(fan_in)
            biases = generator.uniform(-spread, spread, part.biases)
            vector[part.start + size : part.stop] = biases.astype(np.float32)
        return vector

    def check_weights(self, vector: Floats, source: str = "weights") -> Floats:
        """Return `vector` when it is a finite float32 vector of this network; else raise."""
        return check_weights(self, vector, source)

    def check_layers(self, names: tuple[str, ...], field_name: str) -> None:
        """Raise `NetworkError` unless every name is that of a layer with parameters."""
        check_layers(self, names, field_name)


class Layout(Protocol):
    """Whatever knows how named layers lie in a vector: a `Network`, or a torch module."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def parts(self) -> Mapping[str, Part]:
        """The parameters of every layer that has any, in order."""
        ...

    @property
    def parameters(self) -> int:
        """Length of the vector."""
        ...

    def init(self, seed: int | Sequence[int], /) -> Floats:
        """Draw a vector."""
        ...


def check_weights(layout: Layout, vector: Floats, source: str) -> Floats:
    """Return `vector` when it is a finite float32 vector of this layout; else raise."""
    if vector.dtype != np.float32 or vector.shape != (layout.parameters,):
        raise NetworkError(
            f"{source}: expected {layout.parameters} float32 of network {layout.name}, "
            f"got {vector.dtype} of shape {vector.shape}"
        )
    if not np.isfinite(vector).all():
        place = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise NetworkError(f"{source}: expected finite numbers, got {vector[place]} at {place}")
    return vector


def check_layers(layout: Layout, names: Iterable[str], field_name: str) -> None:
    """Raise `NetworkError` unless every name is that of a layer with parameters."""
    for name in names:
        if name not in layout.parts:
            raise NetworkError(
                f"{field_name}: {layout.name} has no trainable layer {name!r}; "
                f"it has {', '.join(layout.parts)}"
            )


def sequence(*layers: Layer) -> tuple[tuple[str, Layer], ...]:
    """Name layers by kind and count: dense-1, relu-1, dense-2 and so on."""
    counts: dict[str, int] = {}
    named = []
    for layer in layers:
        kind = kind_of(layer)
        counts[kind] = counts.get(kind, 0) + 1
        named.append((f"{kind}-{counts[kind]}", layer))
    return tuple(named)
