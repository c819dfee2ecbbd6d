"""The layers that a network is made of: frozen descriptions that know their own geometry.

Shapes are `(height, width, channels)` for images and `(features,)` for vectors, channels last.
"""

from dataclasses import dataclass
from typing import Literal

from tinyfleet.errors import NetworkError

Shape = tuple[int, ...]
Padding = Literal["same", "valid"]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """How a kernel slides over an input: `kernel`, `stride` and the padding before, rows first."""

    kernel: Pair
    stride: Pair
    before: Pair
    outputs: Pair


def slide(shape: Shape, kernel: Pair, stride: Pair, padding: Padding) -> Window:
    """Place a kernel over `shape`; "same" pads as TensorFlow does: an odd row or column last."""
    if len(shape) != 3:
        raise NetworkError(f"expected an input of (height, width, channels), got {shape}")
    if min(kernel) < 1 or min(stride) < 1:
        raise NetworkError(f"kernel {kernel} and stride {stride}: expected 1 or more")
    if padding not in ("same", "valid"):
        raise NetworkError(f'padding: expected "same" or "valid", got {padding!r}')
    outputs, before = [], []
    for size, k, s in zip(shape[:2], kernel, stride, strict=True):
        out = -(-size // s) if padding == "same" else (size - k) // s + 1
        if out < 1:
            raise NetworkError(f"a kernel of {k} does not fit into {size}; shrink it or pad")
        outputs.append(out)
        before.append(max((out - 1) * s + k - size, 0) // 2 if padding == "same" else 0)
    return Window(kernel, stride, (before[0], before[1]), (outputs[0], outputs[1]))


@dataclass(frozen=True)
class Dense:
    """y = x W + b; `outputs` features from a vector."""

    outputs: int

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(outputs,)` for an input `(features,)`."""
        if len(shape) != 1:
            raise NetworkError(f"dense: expected a vector, got {shape}; put a flatten before it")
        if self.outputs < 1:
            raise NetworkError(f"dense: expected at least 1 output, got {self.outputs}")
        return (self.outputs,)


@dataclass(frozen=True)
class Conv2d:
    """2-D convolution (cross-correlation) with biases."""

    filters: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Padding = "same"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(height, width, filters)`."""
        if self.filters < 1:
            raise NetworkError(f"conv2d: expected at least 1 filter, got {self.filters}")
        return (*slide(shape, self.kernel, self.stride, self.padding).outputs, self.filters)


@dataclass(frozen=True)
class DepthwiseConv2d:
    """One 2-D convolution per channel, with biases."""

    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Padding = "same"

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(height, width, channels)`."""
        return (*slide(shape, self.kernel, self.stride, self.padding).outputs, shape[2])


@dataclass(frozen=True)
class AveragePool:
    """Mean of each window that lies wholly inside the input; `stride` None is the window's size."""

    size: Pair = (2, 2)
    stride: Pair | None = None

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(height, width, channels)`."""
        return (*slide(shape, self.size, self.stride or self.size, "valid").outputs, shape[2])


@dataclass(frozen=True)
class MaxPool:
    """Largest value of each window wholly inside the input; the first of equals learns."""

    size: Pair = (2, 2)
    stride: Pair | None = None

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(height, width, channels)`."""
        return (*slide(shape, self.size, self.stride or self.size, "valid").outputs, shape[2])


@dataclass(frozen=True)
class GlobalAveragePool:
    """Mean of each channel."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(channels,)`."""
        if len(shape) != 3:
            raise NetworkError(f"global-average-pool: expected an image, got {shape}")
        return (shape[2],)


@dataclass(frozen=True)
class Flatten:
    """Read an image as a vector, row by row, channels innermost; costs nothing."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return `(features,)`."""
        features = 1
        for size in shape:
            features *= size
        return (features,)


@dataclass(frozen=True)
class Elementwise:
    """A function of each number on its own."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return `shape`."""
        return shape


@dataclass(frozen=True)
class Relu(Elementwise):
    """max(x, 0)."""


@dataclass(frozen=True)
class Relu6(Elementwise):
    """min(max(x, 0), 6)."""


@dataclass(frozen=True)
class Tanh(Elementwise):
    """tanh(x)."""


@dataclass(frozen=True)
class Sigmoid(Elementwise):
    """1 / (1 + exp(-x))."""


Layer = (
    Dense
    | Conv2d
    | DepthwiseConv2d
    | AveragePool
    | MaxPool
    | GlobalAveragePool
    | Flatten
    | Relu
    | Relu6
    | Tanh
    | Sigmoid
)

LAYERS: dict[str, type[Layer]] = {
    "dense": Dense,
    "conv2d": Conv2d,
    "depthwise-conv2d": DepthwiseConv2d,
    "average-pool": AveragePool,
    "max-pool": MaxPool,
    "global-average-pool": GlobalAveragePool,
    "flatten": Flatten,
    "relu": Relu,
    "relu6": Relu6,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
}


def kind_of(layer: Layer) -> str:
    """Return the name under which a description spells this layer."""
    return next(name for name, layer_type in LAYERS.items() if type(layer) is layer_type)
