"""exp, log, tanh and the sigmoid are close to the true functions and equal in numpy and kernel."""

from collections.abc import Callable

import numpy as np
import pytest
from drawn import same_bits
from numpy.typing import NDArray

from tinyfleet import elementary
from tinyfleet.binding import Program, variants
from tinyfleet.layers import Layer, Sigmoid, Tanh
from tinyfleet.network import Network, sequence
from tinyfleet.plan import plan

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def grid(low: float, high: float, count: int = 200_001) -> Floats:
    return np.linspace(low, high, count, dtype=np.float32)


def magnitudes(low: float, high: float) -> Floats:
    """Return float32 of both signs, evenly spread over the exponents of `low`..`high`."""
    sizes = np.geomspace(low, high, 100_000).astype(np.float32)
    return np.concatenate([-sizes[::-1], sizes])


def relative_error(got: Floats, true: Doubles) -> float:
    assert got.dtype == np.float32
    error: float = np.abs((got.astype(np.float64) - true) / true).max()
    return error


def true_sigmoid(x: Doubles) -> Doubles:
    return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-np.abs(x))))


def test_exp_is_exact_to_2e_7() -> None:
    x = np.concatenate([grid(-87, 88), grid(-1, 1), magnitudes(1e-30, 80)])

    assert relative_error(elementary.exp(x), np.exp(x.astype(np.float64))) < 2e-7


def test_exp_saturates_outside_its_range() -> None:
    x = np.array([-1e30, -88, -87, 88, 89, 1e30], np.float32)

    got = elementary.exp(x)

    assert np.isfinite(got).all()
    assert (got > 0).all()
    assert same_bits(got[:3], np.full(3, got[2], np.float32))
    assert same_bits(got[3:], np.full(3, got[3], np.float32))


def test_log_is_exact_to_2e_7() -> None:
    tiny, huge = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    x = np.concatenate([np.geomspace(tiny, huge, 400_001), grid(0.4, 3)]).astype(np.float32)
    x = x[x != 1]

    assert relative_error(elementary.log(x), np.log(x.astype(np.float64))) < 2e-7
    assert elementary.log(1.0) == 0


def test_tanh_is_exact_to_2e_7() -> None:
    x = np.concatenate([grid(-12, 12, 200_000), magnitudes(1e-15, 100)])

    assert relative_error(elementary.tanh(x), np.tanh(x.astype(np.float64))) < 2e-7


def test_sigmoid_is_exact_to_3e_7() -> None:
    x = np.concatenate([grid(-86, 86), magnitudes(1e-15, 86)])

    assert relative_error(elementary.sigmoid(x), true_sigmoid(x.astype(np.float64))) < 3e-7


def test_tanh_is_odd_and_bounded() -> None:
    x = magnitudes(1e-20, 1e20)

    got = elementary.tanh(x)

    assert same_bits(got, -got[::-1])
    assert np.abs(got).max() <= 1


@pytest.mark.parametrize(
    ("layer", "function"),
    [(Tanh(), elementary.tanh), (Sigmoid(), elementary.sigmoid)],
    ids=["tanh", "sigmoid"],
)
def test_the_kernel_computes_the_same_bits(
    layer: Layer, function: Callable[[Floats], Floats]
) -> None:
    x = np.concatenate([grid(-100, 100), grid(-1, 1), magnitudes(1e-30, 1e30)])
    x = np.append(x, np.array([0.0, -0.0], np.float32))
    network = Network("one", (100,), sequence(layer), "mean-square")
    x = x[: len(x) // 100 * 100].reshape(1, -1, 100)
    nothing = np.empty(0, np.float32)

    for variant in variants():
        got = Program(plan(network)).predict(variant, nothing, x)
        assert same_bits(got, function(x)), variant
