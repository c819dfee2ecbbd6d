"""exp, log, tanh and the sigmoid as the kernel computes them: see `core/kernel/functions.h`.

Every function takes and returns float32 and equals the kernel's bit for bit.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
F = np.float32

_LN2_HIGH, _LN2_LOW = F(0.693359375), F(-2.12194440e-4)
_MAGIC = F(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer
_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_TANH = (
    -5.70498872745e-3,
    2.06390887954e-2,
    -5.37397155531e-2,
    1.33314422036e-1,
    -3.33332819422e-1,
)


def exp(x: ArrayLike) -> Floats:
    """exp(x) for x clamped to [-87, 88]; relative error below 2e-7."""
    x = np.asarray(x, F)
    x = np.where(x > F(88), F(88), x)
    x = np.where(x < F(-87), F(-87), x)
    shifted = x * F(1.44269504) + _MAGIC
    n = shifted - _MAGIC
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = np.full_like(r, F(1) / F(5040))
    for factor in (F(1) / F(720), F(1) / F(120), F(1) / F(24), F(1) / F(6), F(0.5), F(1), F(1)):
        p = p * r + factor
    power = shifted.view(np.int32) - _MAGIC.view(np.int32)
    return np.asarray(p * ((power + np.int32(127)) << np.int32(23)).view(F), F)


def log(x: ArrayLike) -> Floats:
    """log(x) for normal x > 0; relative error below 2e-7."""
    bits = np.asarray(x, F).view(np.int32)
    exponent = ((bits >> np.int32(23)) & np.int32(0xFF)) - np.int32(126)
    m = ((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000)).view(F)
    low = m < F(0.70710678)
    exponent = exponent - low.astype(np.int32)
    m = np.where(low, m + m, m) - F(1)
    n = (exponent + np.int32(0x4B400000)).view(F) - _MAGIC
    z = m * m
    p = np.full_like(m, F(_LOG[0]))
    for factor in _LOG[1:]:
        p = p * m + F(factor)
    y = p * m * z + n * _LN2_LOW - z * F(0.5)
    return np.asarray((m + y) + n * _LN2_HIGH, F)


def sigmoid(x: ArrayLike) -> Floats:
    """1 / (1 + exp(-x))."""
    return np.asarray(F(1) / (F(1) + exp(-np.asarray(x, F))), F)


def tanh(x: ArrayLike) -> Floats:
    """tanh(x): a polynomial near 0, by exp elsewhere."""
    x = np.asarray(x, F)
    size = np.abs(x)
    with np.errstate(over="ignore", invalid="ignore"):  # far from 0 the polynomial is not used
        z = x * x
        p = np.full_like(x, F(_TANH[0]))
        for factor in _TANH[1:]:
            p = p * z + F(factor)
        near = p * z * x + x
    far = F(1) - F(2) / (exp(size + size) + F(1))
    far = np.where(x < 0, -far, far)
    return np.asarray(np.where(size < F(0.625), near, far), F)
