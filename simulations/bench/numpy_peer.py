"""The peer in numpy: many devices in one array, one-sample steps, blocks of devices on every core.

Vectors carry the device in their last axis, `(features, n)`, where einsum runs along it; images in
their first, `(n, height, width, channels)`, where a convolution is one matrix product a device.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinyfleet.errors import NetworkError
from tinyfleet.layers import Conv2d, Dense, DepthwiseConv2d, Flatten, Relu, Shape, Window, slide
from tinyfleet.messages import Floats
from tinyfleet.network import Network, Part
from tinyfleet.simulations.bench.bout import Gate, Settings, Way, compete
from tinyfleet.simulations.bench.workloads import Workload
from tinyfleet.task import TaskBatch


@dataclass(frozen=True)
class Layer:
    """A layer of `n` devices: `forward` keeps in `seen` what `backward` reads.

    Attributes:
        forward: from inputs to outputs.
        backward: from the outputs' deltas to the inputs', after which the weights have learned.
        vectors: returns the weights and biases as they lie in the vector, `(n, k)`.
    """

    forward: Callable[[Floats], Floats]
    backward: Callable[[Floats], Floats]
    vectors: Callable[[], Floats] = field(default=lambda: np.empty((0, 0), np.float32))


def dense(part: Part, start: Floats, n: int, rate: np.float32) -> Layer:
    """Return y = x W + b with the devices last: W `(in, out, n)`."""
    size = part.stop - part.start - part.biases
    own = start[part.slice]
    w = np.repeat(own[:size].reshape(*part.weights, 1), n, axis=2)
    b = np.repeat(own[size:, None], n, axis=1)
    step = np.empty_like(w)
    seen: list[Floats] = []

    def forward(x: Floats) -> Floats:
        seen[:] = [x]
        return np.asarray(np.einsum("in,ion->on", x, w) + b)

    def backward(dy: Floats) -> Floats:
        nonlocal b
        dx = np.einsum("on,ion->in", dy, w)
        move = rate * dy
        np.multiply(seen[0][:, None], move[None], out=step)
        np.subtract(w, step, out=w)
        b -= move
        return np.asarray(dx)

    return Layer(forward, backward, lambda: np.concatenate([w.reshape(-1, n), b]).T)


def relu() -> Layer:
    """Return max(x, 0)."""
    seen: list[Floats] = []

    def forward(x: Floats) -> Floats:
        seen[:] = [np.maximum(x, 0)]
        return seen[0]

    return Layer(forward, lambda dy: dy * (seen[0] > 0))


def flatten(shape: Shape) -> Layer:
    """Turn images of `shape`, devices first, into vectors, devices last."""
    return Layer(
        lambda x: np.ascontiguousarray(x.reshape(len(x), -1).T),
        lambda dy: np.ascontiguousarray(dy.T).reshape(-1, *shape),
    )


def _padded(x: Floats, window: Window) -> Floats:
    """Return `x` with zeros around it, so that every tap of every output lies inside."""
    edges = [(0, 0)]
    for size, before, kernel, stride, outputs in zip(
        x.shape[1:3], window.before, window.kernel, window.stride, window.outputs, strict=True
    ):
        span = (outputs - 1) * stride + kernel
        edges.append((before, max(0, span - size - before)))
    return np.pad(x, [*edges, (0, 0)]) if any(sum(edge) for edge in edges) else x


def _taps(window: Window) -> list[tuple[int, int, slice, slice]]:
    """Return each tap's row and column and the padded inputs that it multiplies."""
    (sy, sx), (oy, ox) = window.stride, window.outputs
    return [
        (ky, kx, slice(ky, ky + (oy - 1) * sy + 1, sy), slice(kx, kx + (ox - 1) * sx + 1, sx))
        for ky in range(window.kernel[0])
        for kx in range(window.kernel[1])
    ]


def _unpadded(dx: Floats, window: Window, shape: Shape) -> Floats:
    top, left = window.before
    return dx[:, top : top + shape[0], left : left + shape[1]]


def conv2d(
    part: Part, start: Floats, n: int, rate: np.float32, shape: Shape, window: Window
) -> Layer:
    """Return a convolution as a product of image patches (im2col), W `(n, taps * in, out)`."""
    size = part.stop - part.start - part.biases
    own = start[part.slice]
    w = np.repeat(own[:size].reshape(1, -1, part.biases), n, axis=0)
    b = np.repeat(own[None, size:], n, axis=0)
    (sy, sx), (oy, ox) = window.stride, window.outputs
    seen: list[Floats] = []
    padded_shape: list[tuple[int, ...]] = []

    def forward(x: Floats) -> Floats:
        padded = _padded(x, window)
        padded_shape[:] = [padded.shape]
        views = sliding_window_view(padded, window.kernel, axis=(1, 2))[:, ::sy, ::sx][:, :oy, :ox]
        patches = views.transpose(0, 1, 2, 4, 5, 3).reshape(n, oy * ox, -1)
        seen[:] = [patches]
        return np.asarray((patches @ w + b[:, None]).reshape(n, oy, ox, -1))

    def backward(dy: Floats) -> Floats:
        nonlocal w, b
        flat = dy.reshape(n, oy * ox, -1)
        dpatches = (flat @ w.transpose(0, 2, 1)).reshape(n, oy, ox, *window.kernel, -1)
        dx = np.zeros(padded_shape[0], np.float32)
        for ky, kx, rows, columns in _taps(window):
            dx[:, rows, columns] += dpatches[:, :, :, ky, kx]
        w -= rate * (seen[0].transpose(0, 2, 1) @ flat)
        b -= rate * flat.sum(axis=1)
        return _unpadded(dx, window, shape)

    return Layer(forward, backward, lambda: np.concatenate([w.reshape(n, -1), b], axis=1))


def depthwise_conv2d(
    part: Part, start: Floats, n: int, rate: np.float32, shape: Shape, window: Window
) -> Layer:
    """Return one convolution a channel, summed tap by tap, W `(n, kh, kw, channels)`."""
    size = part.stop - part.start - part.biases
    own = start[part.slice]
    w = np.repeat(own[:size].reshape(1, *part.weights), n, axis=0)
    b = np.repeat(own[None, size:], n, axis=0)
    seen: list[Floats] = []

    def forward(x: Floats) -> Floats:
        padded = _padded(x, window)
        seen[:] = [padded]
        y = np.empty((n, *window.outputs, part.biases), np.float32)
        y[:] = b[:, None, None]
        for ky, kx, rows, columns in _taps(window):
            y += padded[:, rows, columns] * w[:, None, None, ky, kx]
        return y

    def backward(dy: Floats) -> Floats:
        nonlocal b
        dx = np.zeros_like(seen[0])
        for ky, kx, rows, columns in _taps(window):
            dx[:, rows, columns] += dy * w[:, None, None, ky, kx]
            gradient = np.einsum("nhwc,nhwc->nc", seen[0][:, rows, columns], dy)
            w[:, ky, kx] -= rate * gradient
        b -= rate * dy.sum(axis=(1, 2))
        return _unpadded(dx, window, shape)

    return Layer(forward, backward, lambda: np.concatenate([w.reshape(n, -1), b], axis=1))


def layers_of(network: Network, start: Floats, n: int, rate: float) -> list[Layer]:
    """Return the layers of `n` devices that all start from `start`."""
    step = np.float32(rate)
    layers = []
    for (name, layer), shape in zip(network.layers, network.shapes, strict=False):
        match layer:
            case Dense():
                layers.append(dense(network.parts[name], start, n, step))
            case Conv2d(_, kernel, stride, padding):
                window = slide(shape, kernel, stride, padding)
                layers.append(conv2d(network.parts[name], start, n, step, shape, window))
            case DepthwiseConv2d(kernel, stride, padding):
                window = slide(shape, kernel, stride, padding)
                layers.append(depthwise_conv2d(network.parts[name], start, n, step, shape, window))
            case Relu():
                layers.append(relu())
            case Flatten():
                layers.append(flatten(shape))
            case _:
                raise NetworkError(f"{network.name}: the numpy peer has no layer like {name}")
    return layers


def loss_delta(network: Network, y: Floats, target: Floats) -> Floats:
    """Return the loss's derivative by the outputs, `(outputs, n)`."""
    if network.loss == "mean-square":
        return np.asarray(np.float32(2 / network.outputs) * (y - target))
    if network.loss == "softmax-cross-entropy":
        e = np.exp(y - y.max(axis=0))
        return np.asarray(e / e.sum(axis=0) - target)
    raise NetworkError(f"{network.name}: the numpy peer has no loss {network.loss}")


def learn_block(network: Network, start: Floats, rate: float, tasks: TaskBatch) -> Floats:
    """Train the devices of `tasks` side by side; return their weights, `(n, parameters)`."""
    layers = layers_of(network, start, len(tasks), rate)
    x, y = tasks.support_x, tasks.support_y
    for t in range(x.shape[1]):
        value: Floats = np.ascontiguousarray(x[:, t].T if x.ndim == 3 else x[:, t])
        for layer in layers:
            value = layer.forward(value)
        delta = loss_delta(network, value, y[:, t].T)
        for layer in reversed(layers):
            delta = layer.backward(delta)
    found = [layer.vectors() for layer in layers]
    return np.concatenate([vector for vector in found if vector.size], axis=1)


def learn(workload: Workload, tasks: TaskBatch, block: int, workers: int) -> Floats:
    """Train the devices of `tasks`, `block` at a time on `workers` threads; `(n, parameters)`."""
    start = workload.start

    def work(first: int) -> Floats:
        at = slice(first, first + block)
        part = TaskBatch(
            tasks.support_x[at],
            tasks.support_y[at],
            tasks.query_x[at],
            tasks.query_y[at],
            tasks.counts[at],
        )
        return learn_block(workload.network, start, workload.rate, part)

    with ThreadPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(work, range(0, len(tasks), block))))


BLOCKS = {"sine": (256, 512, 1024), "characters": (8, 16, 32)}


def contend(settings: Settings, gate: Gate) -> None:
    """Measure batched numpy on every core with the block of devices that suits it best."""

    def way(workload: Workload, block: int) -> Way:
        def train(tasks: TaskBatch) -> None:
            learn(workload, tasks, block, settings.workers)

        how = f"{block} devices at a time on each of {settings.workers} threads"
        return Way(how, block * settings.workers, train)

    compete(settings, gate, lambda w: [way(w, block) for block in BLOCKS[w.name]])
