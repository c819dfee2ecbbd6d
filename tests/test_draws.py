"""A device's random numbers are its own, and they are what they claim to be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.draws import Stream, distinct, integers, normals, uniforms

KEY = (11, Stream.SINE_SUPPORT, 3)
EVERYBODY = np.arange(2000)


@settings(deadline=None, max_examples=60)
@given(
    devices=st.lists(st.integers(0, 1999), min_size=0, max_size=40),
    count=st.integers(1, 9),
)
def test_grouping_devices_changes_no_number(devices: list[int], count: int) -> None:
    every = uniforms(KEY, EVERYBODY, count)

    some = uniforms(KEY, np.array(devices, np.int64), count)

    np.testing.assert_array_equal(some, every[devices])


def test_a_device_far_away_has_numbers_of_its_own() -> None:
    far = 10**12

    numbers = uniforms(KEY, np.array([0, far, far + 1]), 4)

    assert len(np.unique(numbers)) == 12
    np.testing.assert_array_equal(numbers[2], uniforms(KEY, np.array([far + 1]), 4)[0])


def test_the_numbers_are_those_of_numpys_philox() -> None:
    words = np.random.SeedSequence([3, 11, 0, int(Stream.SINE_SUPPORT), 0, 3, 0])
    philox = np.random.Philox(key=words.generate_state(2, np.uint64))
    expected = np.random.Generator(philox).random((5, 8))[:, :6]  # 6 numbers fill two blocks of 4

    np.testing.assert_array_equal(uniforms(KEY, np.arange(5), 6), expected)


@pytest.mark.parametrize(
    ("one", "other"),
    [((1,), (2,)), ((1,), (1, 0)), ((2**32,), (0, 1)), ((2**32 + 1,), (1,)), ((1, 2), (2, 1))],
)
def test_different_keys_draw_differently(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert not np.isin(uniforms(one, np.arange(50), 4), uniforms(other, np.arange(50), 4)).any()


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_outside_its_range_is_refused(seed: int) -> None:
    with pytest.raises(DatasetError, match=f"seed: expected .*, got {seed}"):
        uniforms((seed, 1), np.arange(3), 4)


def test_uniforms_are_uniform() -> None:
    numbers = uniforms(KEY, np.arange(50_000), 4)

    counts, _ = np.histogram(numbers, bins=20, range=(0.0, 1.0))

    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    assert abs(counts / numbers.size * 20 - 1.0).max() < 0.05
    assert abs(np.corrcoef(numbers.T) - np.eye(4)).max() < 0.02


@settings(deadline=None, max_examples=60)
@given(
    population=st.integers(1, 60),
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 1000),
)
def test_chosen_integers_are_distinct_and_in_range(
    population: int, share: float, seed: int
) -> None:
    k = max(1, round(share * population))

    chosen = distinct(uniforms((seed,), np.arange(30), k), population)

    assert chosen.min() >= 0
    assert chosen.max() < population
    assert all(len(set(row)) == k for row in chosen.tolist())


def test_every_ordered_choice_is_equally_likely() -> None:
    chosen = distinct(uniforms((5,), np.arange(120_000), 3), 5)

    orders, counts = np.unique(chosen, axis=0, return_counts=True)

    assert len(orders) == 5 * 4 * 3
    assert abs(counts / 2000 - 1.0).max() < 0.1  # 4.5 standard deviations


def test_integers_reach_both_ends() -> None:
    u = np.array([0.0, 0.25, 0.5, 0.75, 1.0 - 2.0**-53])

    assert integers(u, 3, 6).tolist() == [3, 4, 5, 6, 6]


def test_normals_have_mean_0_variance_1_and_no_correlation() -> None:
    values = normals(uniforms((6,), np.arange(100_000), 2))

    assert np.isfinite(values).all()
    np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(np.cov(values.T), np.eye(2), atol=0.03)
    assert np.mean(abs(values) < 1.0) == pytest.approx(0.6827, abs=0.005)


def test_the_edges_of_the_unit_interval_give_finite_normals() -> None:
    assert np.isfinite(normals(np.array([[0.0, 0.0], [1.0 - 2.0**-53, 0.5]]))).all()
