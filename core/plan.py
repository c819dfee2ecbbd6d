"""Lower a network to the table that the kernel runs: geometry, and each tensor's place in scratch.

The kernel keeps one scratch. Every activation and every delta lives in it from the step that writes
it to the last step that reads it; tensors whose lives do not meet share places. Steps are counted
forward 0..n-1, loss n, backward 2n..n+1 (layer i goes backward at step 2n-i).
"""

import math
from dataclasses import astuple, dataclass

from tinyfleet.errors import NetworkError
from tinyfleet.layers import (
    AveragePool,
    Conv2d,
    DepthwiseConv2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Shape,
    Window,
    kind_of,
    slide,
)
from tinyfleet.network import LOSSES, Network

KINDS = (
    "dense",
    "conv2d",
    "depthwise-conv2d",
    "average-pool",
    "max-pool",
    "relu",
    "relu6",
    "tanh",
    "sigmoid",
)
ACTIVATIONS = frozenset(KINDS[5:])
MOST = 2**27  # sixteen lanes of it are as many as an int32 counts


@dataclass(frozen=True)
class Row:
    """One layer as the kernel sees it: the fields of `struct fleet_layer`, in its order."""

    kind: int
    trainable: int
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    parameters: int
    input: int
    output: int
    input_delta: int
    output_delta: int


@dataclass(frozen=True)
class Plan:
    """What the kernel needs to run one network with some layers frozen.

    Attributes:
        rows: the layers, without those that compute nothing.
        first_trainable: row where the backward pass ends; `len(rows)` when nothing learns.
        loss: number of the loss in `fleet_loss`.
        scratch: floats of scratch.
        activations: floats of the activations that the backward pass reads, the sample excluded.
    """

    rows: tuple[Row, ...]
    first_trainable: int
    loss: int
    parameters: int
    inputs: int
    outputs: int
    scratch: int
    activations: int


@dataclass
class _Tensor:
    """A tensor's size and life: the steps from `born` to `dies`, both included."""

    size: int
    born: int
    dies: int
    place: int = -1


@dataclass(frozen=True)
class _Step:
    """One layer that computes: its name, kind, geometry and shapes."""

    name: str
    kind: str
    window: Window | None
    shape_in: Shape
    shape_out: Shape


def window_of(layer: Layer, shape: Shape) -> Window | None:
    """Return how `layer` slides over an input of `shape`; None for what does not slide."""
    match layer:
        case Conv2d(_, kernel, stride, padding) | DepthwiseConv2d(kernel, stride, padding):
            return slide(shape, kernel, stride, padding)
        case AveragePool(size, stride) | MaxPool(size, stride):
            return slide(shape, size, stride or size, "valid")
        case GlobalAveragePool():
            return slide(shape, (shape[0], shape[1]), (1, 1), "valid")
        case _:
            return None


def _steps(network: Network) -> list[_Step]:
    steps = []
    for i, (name, layer) in enumerate(network.layers):
        shape_in, shape_out = network.shapes[i], network.shapes[i + 1]
        if isinstance(layer, Flatten):
            continue
        kind = "average-pool" if isinstance(layer, GlobalAveragePool) else kind_of(layer)
        steps.append(_Step(name, kind, window_of(layer, shape_in), shape_in, shape_out))
    return steps


def _lives(
    steps: list[_Step], learns: list[bool], first: int
) -> tuple[list[_Tensor], list[_Tensor | None]]:
    """Return the life of each step's output, and of the delta of each step's output."""
    n = len(steps)
    outputs: list[_Tensor] = []
    deltas: list[_Tensor | None] = []
    for i, step in enumerate(steps):
        size = math.prod(step.shape_out)
        dies = i + 1  # the next layer, or the loss, reads it
        after = steps[i + 1] if i + 1 < n else None
        if after and i + 1 >= first and (learns[i + 1] or after.kind == "max-pool"):
            dies = 2 * n - (i + 1)
        if step.kind in ACTIVATIONS and i >= first:
            dies = 2 * n - i
        if step.kind in ACTIVATIONS and i > 0 and steps[i - 1].kind not in ACTIVATIONS:
            outputs[i - 1].dies = max(outputs[i - 1].dies, dies)
            outputs.append(outputs[i - 1])
        else:
            outputs.append(_Tensor(size, i, dies))
        if i == n - 1:
            deltas.append(_Tensor(size, n, max(2 * n - i, n)))
        elif i >= first:
            deltas.append(_Tensor(size, 2 * n - (i + 1), 2 * n - i))
        else:
            deltas.append(None)
    for i in range(n - 1, 0, -1):  # an activation changes its delta where it lies
        mine, below = deltas[i], deltas[i - 1]
        if steps[i].kind in ACTIVATIONS and mine is not None and below is not None:
            mine.dies = max(mine.dies, below.dies)
            deltas[i - 1] = mine
    return outputs, deltas


def _place(tensors: list[_Tensor]) -> int:
    """Give every tensor the lowest free place, largest first; return the floats that they span."""
    placed: list[_Tensor] = []
    for tensor in sorted(tensors, key=lambda t: (-t.size, t.born)):
        place = 0
        for other in sorted(placed, key=lambda t: t.place):
            meet = other.born <= tensor.dies and tensor.born <= other.dies
            if meet and other.place < place + tensor.size and place < other.place + other.size:
                place = other.place + other.size
        tensor.place = place
        placed.append(tensor)
    return max((t.place + t.size for t in placed), default=0)


def _unique(tensors: list[_Tensor]) -> list[_Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def _geometry(step: _Step) -> dict[str, int]:
    """Return in_h .. pad_left of a row. A 1x1 convolution is one long row of positions."""
    dims_in = step.shape_in if len(step.shape_in) == 3 else (1, 1, *step.shape_in)
    dims_out = step.shape_out if len(step.shape_out) == 3 else (1, 1, *step.shape_out)
    w = step.window or Window((1, 1), (1, 1), (0, 0), (1, 1))
    if step.kind == "conv2d" and w.kernel == (1, 1) and w.stride == (1, 1):
        dims_in = (1, dims_in[0] * dims_in[1], dims_in[2])
        dims_out = (1, dims_out[0] * dims_out[1], dims_out[2])
    names = ("h", "w", "c")
    return {
        **{f"in_{name}": size for name, size in zip(names, dims_in, strict=True)},
        **{f"out_{name}": size for name, size in zip(names, dims_out, strict=True)},
        **{f"kernel_{name}": size for name, size in zip(names, w.kernel, strict=False)},
        **{f"stride_{name}": size for name, size in zip(names, w.stride, strict=False)},
        "pad_top": w.before[0],
        "pad_left": w.before[1],
    }


def _check_sizes(network: Network, rows: list[Row], scratch: int) -> None:
    counts = [network.parameters, network.inputs, network.outputs, scratch]
    for row in rows:
        steps = (row.stride_h * row.in_c, row.stride_w * row.in_c)
        counts += [*astuple(row), row.kernel_h * row.kernel_w * row.in_c, *steps]
    if max(counts) >= MOST:
        raise NetworkError(
            f"{network.name}: expected sizes below {MOST}, got {max(counts)}; "
            "make the input and the layers smaller"
        )


def plan(network: Network, frozen: frozenset[str] = frozenset()) -> Plan:
    """Lower `network` for training with the layers named in `frozen` left as they are.

    Raises:
        NetworkError: there is no such layer, nothing computes, or a size reaches `MOST`.
    """
    network.check_layers(tuple(sorted(frozen)), "frozen")
    steps = _steps(network)
    n = len(steps)
    if not steps:
        raise NetworkError(f"{network.name}: expected a layer that computes, got only flatten")
    learns = [step.name in network.parts and step.name not in frozen for step in steps]
    first = learns.index(True) if True in learns else n
    outputs, deltas = _lives(steps, learns, first)
    kept = _unique([t for t in outputs if t.dies > n])
    scratch = _place(_unique(outputs + [t for t in deltas if t is not None]))
    rows = []
    for i, step in enumerate(steps):
        below = deltas[i - 1] if i > first else None
        mine = deltas[i]
        part = network.parts.get(step.name)
        rows.append(
            Row(
                kind=KINDS.index(step.kind),
                trainable=int(learns[i]),
                **_geometry(step),
                parameters=part.start if part else 0,
                input=outputs[i - 1].place if i else -1,
                output=outputs[i].place,
                input_delta=below.place if below else -1,
                output_delta=mine.place if mine else -1,
            )
        )
    _check_sizes(network, rows, scratch)
    return Plan(
        tuple(rows),
        first,
        LOSSES.index(network.loss),
        network.parameters,
        network.inputs,
        network.outputs,
        scratch,
        sum(t.size for t in kept),
    )
