"""A torch module as a function of one flat vector, and the torch twin of a `Network`.

Modules compute channels first, networks channels last: a twin turns images at its entrance and
turns them back where it flattens, so that its vector and its examples are the network's own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils import skip_init

from tinyfleet.layers import (
    AveragePool,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Padding,
    Pair,
    Shape,
    kind_of,
    slide,
)
from tinyfleet.network import Loss, Network, Part

Floats = NDArray[np.float32]
Seed = int | Sequence[int]

_AXES = {2: (1, 0), 3: (2, 0, 1), 4: (3, 2, 0, 1)}  # of dense, depthwise and conv2d weights
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def _copied(turned: Tensor) -> Tensor:
    """Return a turned tensor with the strides of one that was never turned.

    `contiguous` would keep odd strides along axes of length 1; torch 2.13's convolutions on a CPU
    then compute wrong numbers in float32 (oneDNN) and refuse to go backward in float64.
    """
    return turned.clone(memory_format=torch.contiguous_format)


@dataclass(frozen=True)
class Piece:
    """One parameter of a module and its place in the vector.

    Attributes:
        parameter: its name in the module.
        start: place of its first number.
        shape: its shape as it lies in the vector, in C order.
        axes: the order that these axes have in torch.
        view: its shape in torch, which may have axes of length 1 more.
    """

    parameter: str
    start: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    view: tuple[int, ...]

    def tensor(self, vector: Tensor) -> Tensor:
        """Return the parameter from the vector, `(parameters,)`."""
        flat = vector[self.start : self.start + math.prod(self.shape)]
        return _copied(flat.reshape(self.shape).permute(self.axes).reshape(self.view))

    def flat(self, parameter: Tensor) -> Tensor:
        """Return the parameter as it lies in the vector."""
        turned = parameter.reshape([self.shape[axis] for axis in self.axes])
        return turned.permute([self.axes.index(i) for i in range(len(self.axes))]).reshape(-1)


@dataclass(frozen=True)
class TorchModel:
    """A module and its loss as functions of a vector.

    Attributes:
        name: what people call it.
        module: what computes; its own parameters are never read, its buffers never changed.
        loss: what a sample costs.
        parts: where the parameters of every layer lie in the vector.
        pieces: the same, parameter by parameter.
        input_shape: shape of an example; None where only the module knows.
        init: draws a vector from a seed.
    """

    name: str
    module: nn.Module = field(repr=False)
    loss: Loss
    parts: dict[str, Part] = field(repr=False)
    pieces: tuple[Piece, ...] = field(repr=False)
    input_shape: Shape | None
    init: Callable[[Seed], Floats] = field(repr=False)

    @property
    def parameters(self) -> int:
        """Length of the vector."""
        return sum(math.prod(piece.shape) for piece in self.pieces)

    def outputs(self, vector: Tensor, x: Tensor) -> Tensor:
        """Return the outputs `(s, outputs)` for examples `(s, *input_shape)`."""
        state = {piece.parameter: piece.tensor(vector) for piece in self.pieces}
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        result = functional_call(self.module, state | buffers, (x,))
        assert isinstance(result, Tensor)
        return result

    def losses(self, vector: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each example, `(s,)`, for targets `(s, outputs)`."""
        return LOSS_FUNCTIONS[self.loss](self.outputs(vector, x), y)


def _mean_square(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).mean(dim=1)


def _softmax_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return -(targets * functional.log_softmax(outputs, dim=1)).sum(dim=1)


def _sigmoid_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").mean(
        dim=1
    )


LOSS_FUNCTIONS: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {
    "mean-square": _mean_square,
    "softmax-cross-entropy": _softmax_cross_entropy,
    "sigmoid-cross-entropy": _sigmoid_cross_entropy,
}


class _ChannelsFirst(nn.Module):
    """`(s, height, width, channels)` to `(s, channels, height, width)`; vectors stay."""

    def forward(self, x: Tensor) -> Tensor:
        return _copied(x.permute(0, 3, 1, 2)) if x.dim() == 4 else x


class _FlattenChannelsLast(nn.Module):
    """`(s, channels, height, width)` to a vector with channels innermost; vectors stay."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x


class _GlobalAverage(nn.Module):
    """The mean of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def _padded(
    shape: Shape, kernel: Pair, stride: Pair, padding: Padding, conv: nn.Module
) -> nn.Module:
    """Return `conv` behind zeros where "same" wants them: torch itself only pads evenly."""
    window = slide(shape, kernel, stride, padding)
    edges: list[int] = []  # left, right, top, bottom
    for axis in (1, 0):
        span = (window.outputs[axis] - 1) * stride[axis] + kernel[axis]
        before = window.before[axis]
        edges += [before, max(span - shape[axis] - before, 0)]
    return nn.Sequential(nn.ZeroPad2d((edges[0], edges[1], edges[2], edges[3])), conv)


def _empty(module_type: type[nn.Module], *sizes: int | Pair, **options: int) -> nn.Module:
    """Return a module without drawing its first parameters: a vector will set them."""
    module = skip_init(module_type, *sizes, **options)  # type: ignore[no-untyped-call]
    assert isinstance(module, nn.Module)
    return module


def _twin(layer: Layer, shape: Shape) -> nn.Module:
    """Return the module of one layer for an input of `shape`, its parameters not yet set."""
    match layer:
        case Dense(outputs):
            return _empty(nn.Linear, shape[0], outputs)
        case Conv2d(filters, kernel, stride, padding):
            conv = _empty(nn.Conv2d, shape[2], filters, kernel, stride)
            return _padded(shape, kernel, stride, padding, conv)
        case DepthwiseConv2d(kernel, stride, padding):
            conv = _empty(nn.Conv2d, shape[2], shape[2], kernel, stride, groups=shape[2])
            return _padded(shape, kernel, stride, padding, conv)
        case AveragePool(size, stride):
            return nn.AvgPool2d(size, stride or size)
        case MaxPool(size, stride):
            return nn.MaxPool2d(size, stride or size)
        case GlobalAveragePool():
            return _GlobalAverage()
        case Flatten():
            return _FlattenChannelsLast()
        case _:
            return _ACTIVATIONS[kind_of(layer)]()


def network_model(network: Network) -> TorchModel:
    """Return the torch twin of `network`: the same vector, the same examples, the same loss."""
    modules = [_twin(layer, network.shapes[i]) for i, (_, layer) in enumerate(network.layers)]
    module = nn.Sequential(_ChannelsFirst(), *modules)
    pieces: list[Piece] = []
    for number, (name, _) in enumerate(network.layers, 1):
        part = network.parts.get(name)
        if part is None:
            continue
        shapes = (part.weights, (part.biases,))
        start = part.start
        for (parameter, tensor), shape in zip(
            module[number].named_parameters(prefix=str(number)), shapes, strict=True
        ):
            axes = _AXES.get(len(shape), (0,))
            pieces.append(Piece(parameter, start, shape, axes, tuple(tensor.shape)))
            start += math.prod(shape)
    return TorchModel(
        network.name,
        module,
        network.loss,
        network.parts,
        tuple(pieces),
        network.input_shape,
        network.init,
    )


def module_model(factory: Callable[[], nn.Module], loss: Loss) -> TorchModel:
    """Return any module as a model: its parameters lie in the vector one behind the other.

    A layer is a submodule that owns parameters, under its name in `named_modules`; parameters of
    the outermost module belong to a layer called "module".

    Args:
        factory: builds the module; torch's random numbers draw its initial parameters.
        loss: what a sample costs.
    """
    module = _seeded(factory, 0)
    parts: dict[str, Part] = {}
    pieces: list[Piece] = []
    start = 0
    for owner, submodule in module.named_modules():
        first = start
        for name, tensor in submodule.named_parameters(prefix=owner, recurse=False):
            shape = tuple(tensor.shape)
            pieces.append(Piece(name, start, shape, tuple(range(len(shape))), shape))
            start += tensor.numel()
        if start > first:
            layer = owner or "module"
            parts[layer] = Part(layer, first, (start - first,), 0)

    def init(seed: Seed) -> Floats:
        fresh = dict(_seeded(factory, seed).named_parameters())
        return _joined(pieces, fresh)

    return TorchModel(type(module).__name__, module, loss, parts, tuple(pieces), None, init)


def to_module(network: Network, seed: int = 0) -> nn.Module:
    """Return `network` as a module that holds `network.init(seed)`.

    It takes examples `(s, *input_shape)`, channels last, and returns outputs `(s, outputs)`.
    """
    return vector_to_module(network_model(network), network.init(seed))


def vector_to_module(model: TorchModel, vector: Floats) -> nn.Module:
    """Copy `vector`, `(parameters,)`, into the model's module and return the module."""
    source = torch.from_numpy(vector.copy())
    parameters = dict(model.module.named_parameters())
    with torch.no_grad():
        for piece in model.pieces:
            parameters[piece.parameter].copy_(piece.tensor(source))
    return model.module


def module_to_vector(model: TorchModel) -> Floats:
    """Return the parameters that the model's module holds as a vector, `(parameters,)`."""
    return _joined(model.pieces, dict(model.module.named_parameters()))


def _joined(pieces: Sequence[Piece], parameters: dict[str, nn.Parameter]) -> Floats:
    flat = [piece.flat(parameters[piece.parameter].detach()).cpu() for piece in pieces]
    joined: Floats = torch.cat([torch.empty(0), *flat]).numpy().astype(np.float32)
    return joined


def _seeded(factory: Callable[[], nn.Module], seed: Seed) -> nn.Module:
    """Build a module from `seed` alone, and leave torch's own random numbers as they were."""
    words = np.random.SeedSequence(seed).generate_state(2).astype(np.uint64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))
        return factory()
