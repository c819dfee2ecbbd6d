"""The reference: the kernel's arithmetic in numpy, one operation at a time, in the same order.

Numbers are float32 throughout and every sum is added up in the order that `core/kernel` documents,
so weights come out equal to the kernel's bit for bit. It is slow, and meant to be read.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfleet import elementary
from tinyfleet.messages import ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON, Training
from tinyfleet.plan import KINDS, Plan, Row

Floats = NDArray[np.float32]
F = np.float32
_BETA1, _BETA2, _EPSILON = F(ADAM_BETA1), F(ADAM_BETA2), F(ADAM_EPSILON)


@dataclass(frozen=True)
class Gradient:
    """What a layer's parameters receive: `weights` `(..., in, out)` and `biases` `(out,)`."""

    weights: Floats
    biases: Floats


def _tap(row: Row, ky: int, kx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the outputs that see a tap inside the input, and the inputs that they see."""
    outer, inner = [], []
    for k, pad, stride, size, outputs in (
        (ky, row.pad_top, row.stride_h, row.in_h, row.out_h),
        (kx, row.pad_left, row.stride_w, row.in_w, row.out_w),
    ):
        low = max(0, -((k - pad) // stride))
        high = max(min(outputs, -((k - pad - size) // stride)), low)
        first = low * stride - pad + k
        outer.append(slice(low, high))
        inner.append(
            slice(first, first + (high - low - 1) * stride + 1, stride)
            if high > low
            else slice(0, 0)
        )
    return (outer[0], outer[1]), (inner[0], inner[1])


def _parameters(row: Row, vector: Floats) -> tuple[Floats, Floats]:
    """Return views of a layer's weights, `(kh, kw, in, out)` or `(kh, kw, c)`, and biases."""
    shape: tuple[int, ...] = (row.kernel_h, row.kernel_w, row.in_c, row.out_c)
    if KINDS[row.kind] == "dense":
        shape = (1, 1, row.in_c, row.out_c)
    if KINDS[row.kind] == "depthwise-conv2d":
        shape = (row.kernel_h, row.kernel_w, row.in_c)
    stop = row.parameters + int(np.prod(shape))
    return vector[row.parameters : stop].reshape(shape), vector[stop : stop + row.out_c]


def _forward_weighted(row: Row, vector: Floats, x: Floats) -> Floats:
    weights, biases = _parameters(row, vector)
    depthwise = weights.ndim == 3
    y = np.broadcast_to(biases, (row.out_h, row.out_w, row.out_c)).copy()
    for ky in range(weights.shape[0]):
        for kx in range(weights.shape[1]):
            outer, inner = _tap(row, ky, kx)
            seen = x[inner]
            if depthwise:
                y[outer] += seen * weights[ky, kx]
                continue
            for i in range(row.in_c):
                y[outer] += seen[..., i : i + 1] * weights[ky, kx, i]
    return y


def _delta_weighted(row: Row, vector: Floats, dy: Floats) -> Floats:
    weights, _ = _parameters(row, vector)
    depthwise = weights.ndim == 3
    dx = np.zeros((row.in_h, row.in_w, row.in_c), F)
    for ky in range(weights.shape[0]):
        for kx in range(weights.shape[1]):
            outer, inner = _tap(row, ky, kx)
            if depthwise:
                dx[inner] += weights[ky, kx] * dy[outer]
                continue
            for o in range(row.out_c):
                dx[inner] += weights[ky, kx, :, o] * dy[outer][..., o : o + 1]
    return dx


def _gradient(row: Row, vector: Floats, x: Floats, dy: Floats) -> Gradient:
    """Sum the gradients over output rows, then columns, one position at a time."""
    weights, _ = _parameters(row, vector)
    depthwise = weights.ndim == 3
    total = np.zeros_like(weights)
    for ky in range(weights.shape[0]):
        for kx in range(weights.shape[1]):
            outer, inner = _tap(row, ky, kx)
            seen = x[inner].reshape(-1, row.in_c)
            deltas = dy[outer].reshape(-1, row.out_c)
            for a, d in zip(seen, deltas, strict=True):
                total[ky, kx] += a * d if depthwise else a[:, None] * d
    biases = np.zeros(row.out_c, F)
    for d in dy.reshape(-1, row.out_c):
        biases += d
    return Gradient(total, biases)


def _windows(row: Row, x: Floats) -> list[tuple[slice, slice]]:
    """Return, tap by tap, the inputs that all outputs of a pool see through it."""
    return [
        (
            slice(ky, ky + (row.out_h - 1) * row.stride_h + 1, row.stride_h),
            slice(kx, kx + (row.out_w - 1) * row.stride_w + 1, row.stride_w),
        )
        for ky in range(row.kernel_h)
        for kx in range(row.kernel_w)
        if x.size
    ]


def _average_pool(row: Row, x: Floats) -> Floats:
    y = np.zeros((row.out_h, row.out_w, row.out_c), F)
    for at in _windows(row, x):
        y += x[at]
    return y * (F(1) / F(row.kernel_h * row.kernel_w))


def _average_pool_delta(row: Row, x: Floats, dy: Floats) -> Floats:
    del x
    dx = np.zeros((row.in_h, row.in_w, row.in_c), F)
    share = F(1) / F(row.kernel_h * row.kernel_w)
    for oy in range(row.out_h):
        for ox in range(row.out_w):
            top, left = oy * row.stride_h, ox * row.stride_w
            dx[top : top + row.kernel_h, left : left + row.kernel_w] += dy[oy, ox] * share
    return dx


def _max_pool(row: Row, x: Floats) -> Floats:
    y = x[_windows(row, x)[0]].copy()
    for at in _windows(row, x):
        y = np.where(y < x[at], x[at], y)
    return y


def _max_pool_delta(row: Row, x: Floats, dy: Floats) -> Floats:
    dx = np.zeros_like(x)
    for oy in range(row.out_h):
        for ox in range(row.out_w):
            top, left = oy * row.stride_h, ox * row.stride_w
            seen = x[top : top + row.kernel_h, left : left + row.kernel_w]
            first = seen.reshape(-1, row.in_c).argmax(axis=0)
            ky, kx = np.divmod(first, row.kernel_w)
            dx[top + ky, left + kx, np.arange(row.in_c)] += dy[oy, ox]
    return dx


def _activate(kind: str, x: Floats) -> Floats:
    match kind:
        case "relu":
            return np.where(x > 0, x, F(0))
        case "relu6":
            return np.where(x > 0, np.where(x > 6, F(6), x), F(0))
        case "tanh":
            return elementary.tanh(x)
        case _:
            return elementary.sigmoid(x)


def _activation_delta(kind: str, y: Floats, d: Floats) -> Floats:
    match kind:
        case "relu":
            return np.where(y > 0, d, F(0))
        case "relu6":
            return np.where((y > 0) & (y < 6), d, F(0))
        case "tanh":
            return d * (F(1) - y * y)
        case _:
            return d * (y * (F(1) - y))


def _add_up(values: Floats) -> Floats:
    total = F(0)
    for value in values:
        total = total + value
    return np.asarray(total, F)


def _mean_square(y: Floats, t: Floats) -> tuple[Floats, Floats]:
    share, error = F(1) / F(len(y)), y - t
    return _add_up(error * error) * share, error * (F(2) * share)


def _softmax_cross_entropy(y: Floats, t: Floats) -> tuple[Floats, Floats]:
    shifted = y - y.max()
    powers = elementary.exp(shifted)
    total = _add_up(powers)
    return elementary.log(total) - _add_up(t * shifted), powers / total - t


def _sigmoid_cross_entropy(y: Floats, t: Floats) -> tuple[Floats, Floats]:
    share = F(1) / F(len(y))
    rest = elementary.log(F(1) + elementary.exp(-np.abs(y)))
    losses = (np.where(y < 0, F(0), y) - y * t) + rest
    return _add_up(losses) * share, (elementary.sigmoid(y) - t) * share


LOSS_FUNCTIONS: tuple[Callable[[Floats, Floats], tuple[Floats, Floats]], ...] = (
    _mean_square,
    _softmax_cross_entropy,
    _sigmoid_cross_entropy,
)


def _layer(row: Row, vector: Floats, x: Floats) -> Floats:
    x = x.reshape(row.in_h, row.in_w, row.in_c)
    match KINDS[row.kind]:
        case "dense" | "conv2d" | "depthwise-conv2d":
            return _forward_weighted(row, vector, x)
        case "average-pool":
            return _average_pool(row, x)
        case "max-pool":
            return _max_pool(row, x)
        case kind:
            return _activate(kind, x)


def predict(plan: Plan, vector: Floats, x: Floats) -> Floats:
    """Return the outputs `(outputs,)` for one sample."""
    for row in plan.rows:
        x = _layer(row, vector, x)
    return x.reshape(-1)


def _delta(row: Row, vector: Floats, x: Floats, y: Floats, dy: Floats) -> Floats:
    x = x.reshape(row.in_h, row.in_w, row.in_c)
    dy = dy.reshape(row.out_h, row.out_w, row.out_c)
    match KINDS[row.kind]:
        case "dense" | "conv2d" | "depthwise-conv2d":
            return _delta_weighted(row, vector, dy)
        case "average-pool":
            return _average_pool_delta(row, x, dy)
        case "max-pool":
            return _max_pool_delta(row, x, dy)
        case kind:
            return _activation_delta(kind, y.reshape(dy.shape), dy)


def backward(
    plan: Plan, vector: Floats, x: Floats, target: Floats
) -> tuple[Floats, dict[int, Gradient], dict[int, tuple[Floats, Floats]]]:
    """Return a sample's loss and, by row number, each trainable layer's gradient.

    The third result holds the input and the delta of every trainable dense layer, whose online step
    multiplies the rate into the delta before the input.
    """
    values = [x]
    for row in plan.rows:
        values.append(_layer(row, vector, values[-1]))
    loss, dy = LOSS_FUNCTIONS[plan.loss](values[-1].reshape(-1), target)
    gradients: dict[int, Gradient] = {}
    dense: dict[int, tuple[Floats, Floats]] = {}
    for i in range(len(plan.rows) - 1, plan.first_trainable - 1, -1):
        row = plan.rows[i]
        inputs = values[i].reshape(row.in_h, row.in_w, row.in_c)
        outer = dy.reshape(row.out_h, row.out_w, row.out_c)
        if row.trainable:
            gradients[i] = _gradient(row, vector, inputs, outer)
            if KINDS[row.kind] == "dense":
                dense[i] = (inputs.reshape(-1), outer.reshape(-1))
        if i > plan.first_trainable:
            dy = _delta(row, vector, inputs, values[i + 1], dy)
    return loss, gradients, dense


def _online_step(plan: Plan, vector: Floats, rate: np.float32, x: Floats, t: Floats) -> Floats:
    loss, gradients, dense = backward(plan, vector, x, t)
    for i, gradient in gradients.items():
        weights, biases = _parameters(plan.rows[i], vector)
        if i in dense:
            inputs, delta = dense[i]
            weights -= (inputs[:, None] * (rate * delta)).reshape(weights.shape)
        else:
            weights -= rate * gradient.weights
        biases -= rate * gradient.biases
    return loss


@dataclass
class _Moments:
    """Adam's running means and the powers of its betas."""

    first: Floats
    second: Floats
    power1: np.float32
    power2: np.float32


def _batch_step(
    plan: Plan, vector: Floats, start: Floats, total: Floats, training: Training, m: _Moments
) -> None:
    rate, pull = F(training.rate), F(training.proximal)
    m.power1, m.power2 = m.power1 * _BETA1, m.power2 * _BETA2
    for row in plan.rows:
        if not row.trainable:
            continue
        weights, biases = _parameters(row, vector)
        at = slice(row.parameters, row.parameters + weights.size + biases.size)
        g = total[at]
        if pull != 0:
            g = g + pull * (vector[at] - start[at])
        if training.optimizer == "adam":
            m.first[at] = _BETA1 * m.first[at] + (F(1) - _BETA1) * g
            m.second[at] = _BETA2 * m.second[at] + (F(1) - _BETA2) * (g * g)
            root = np.sqrt(m.second[at] / (F(1) - m.power2)) + _EPSILON
            vector[at] -= rate * ((m.first[at] / (F(1) - m.power1)) / root)
        else:
            vector[at] -= rate * g


def learn(
    plan: Plan, training: Training, start: Floats, x: Floats, y: Floats
) -> tuple[Floats, np.float32]:
    """Train one device from `start` on samples `x` `(s, inputs)`; return weights and mean loss."""
    vector, n = start.copy(), len(x)
    batch = training.batch or n
    online = batch == 1 and training.optimizer == "sgd" and training.proximal == 0
    moments = _Moments(np.zeros_like(vector), np.zeros_like(vector), F(1), F(1))
    total, losses = np.zeros_like(vector), np.zeros((), F)
    for _ in range(training.passes):
        for t in range(n):
            if online:
                losses = losses + _online_step(plan, vector, F(training.rate), x[t], y[t])
                continue
            loss, gradients, _dense = backward(plan, vector, x[t], y[t])
            losses = losses + loss
            for i, gradient in gradients.items():
                weights, biases = _parameters(plan.rows[i], total)
                weights += gradient.weights
                biases += gradient.biases
            done = t % batch + 1
            if done == batch or t + 1 == n:
                share = F(1) / F(done)
                _batch_step(plan, vector, start, total * share, training, moments)
                total[:] = 0
    return vector, np.float32(losses * (F(1) / F(n * training.passes)))
