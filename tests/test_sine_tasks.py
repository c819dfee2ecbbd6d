"""Sine tasks are what they say, and each device's curve is its own."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.simulations.tasks.sine import Sine, maml2017, tecs2024
from tinyfleet.task import TaskBatch

DEVICES = np.arange(200)


def fields(batch: TaskBatch) -> list[bytes]:
    return [getattr(batch, field.name).tobytes() for field in dataclasses.fields(batch)]


def test_targets_lie_on_the_devices_curve() -> None:
    family: TaskFamily = tecs2024(3, support=16, query=7)
    batch = family.batch(DEVICES, 1)
    a, b, c = tecs2024(3).curves(DEVICES).T[:, :, None]

    for x, y in ((batch.support_x, batch.support_y), (batch.query_x, batch.query_y)):
        np.testing.assert_allclose(y[..., 0], a * np.sin(b * x[..., 0] + c), atol=1e-5)
        assert x.dtype == y.dtype == np.float32
    assert batch.support_x.shape == batch.support_y.shape == (200, 16, 1)
    assert batch.query_x.shape == (200, 7, 1)
    assert batch.counts.tolist() == [16] * 200


@pytest.mark.parametrize(
    "family",
    [
        tecs2024(1, query=5),
        Sine(seed=1, support=7, query=3, query_at="random", noise=0.5, min_support=2),
    ],
)
def test_a_batch_is_the_same_bytes_however_devices_are_grouped(family: Sine) -> None:
    whole = family.batch(DEVICES, 4)
    order = np.array([150, 3, 4, 5, 199])

    part = family.batch(order, 4)

    for field in dataclasses.fields(TaskBatch):
        some, every = getattr(part, field.name), getattr(whole, field.name)
        assert some.tobytes() == every[order].tobytes(), field.name


def test_a_new_round_brings_new_points_of_the_same_curve() -> None:
    family = tecs2024(1, support=8)

    one, two = family.batch(DEVICES, 1), family.batch(DEVICES, 2)

    assert not np.isin(one.support_x, two.support_x).any()
    a, b, c = family.curves(DEVICES).T[:, :, None]
    np.testing.assert_allclose(
        two.support_y[..., 0], a * np.sin(b * two.support_x[..., 0] + c), atol=1e-5
    )


@pytest.mark.parametrize("change", [{"part": "test"}, {"part": "validation"}, {"seed": 2}])
def test_parts_and_seeds_are_populations_of_their_own(change: dict[str, Any]) -> None:
    ours = tecs2024(1)

    theirs = dataclasses.replace(ours, **change)

    assert not np.isin(theirs.curves(DEVICES), ours.curves(DEVICES)).any()
    assert fields(theirs.batch(DEVICES, 1)) != fields(ours.batch(DEVICES, 1))


def test_curves_of_tecs2024_cost_what_the_paper_starts_from() -> None:
    family = tecs2024(0, "test", query=100)

    batch = family.batch(np.arange(4000), 1)

    a, b, c = family.curves(np.arange(4000)).T
    assert 0.1 <= a.min() < 0.12 < 4.98 < a.max() <= 5.0
    assert 0.8 <= b.min() < 0.81 < 1.19 < b.max() <= 1.2
    assert 0.0 <= c.min() < 0.02 < 6.26 < c.max() <= 2 * math.pi
    assert np.mean(batch.query_y.astype(np.float64) ** 2) == pytest.approx(4.2, abs=0.15)


def test_maml2017_has_one_frequency_and_half_the_phases() -> None:
    a, b, c = maml2017(0).curves(np.arange(4000)).T

    assert set(b.tolist()) == {1.0}
    assert 3.13 < c.max() <= math.pi
    assert (a.min(), a.max()) == pytest.approx((0.1, 5.0), abs=0.01)
    assert maml2017(0).support == 10


def test_the_grid_is_even_and_covers_the_domain() -> None:
    batch = tecs2024(0, query=11).batch(DEVICES, 1)

    assert batch.query_x[7, :, 0].tolist() == list(range(-5, 6))


def test_noise_reaches_the_support_and_never_the_grid() -> None:
    clean = Sine(seed=1, support=64, query=9)

    noisy = dataclasses.replace(clean, noise=1.0)

    ours, theirs = clean.batch(np.arange(3000), 1), noisy.batch(np.arange(3000), 1)
    spread = (theirs.support_y - ours.support_y).std(axis=1)
    assert spread.mean() == pytest.approx(0.5, abs=0.02)  # levels are uniform in 0..1
    assert spread.max() > 0.8
    assert ours.support_x.tobytes() == theirs.support_x.tobytes()
    assert ours.query_y.tobytes() == theirs.query_y.tobytes()


def test_heterogeneous_devices_keep_their_count() -> None:
    family = Sine(seed=1, support=9, min_support=3)

    counts = family.batch(DEVICES, 1).counts

    assert set(counts.tolist()) == set(range(3, 10))
    np.testing.assert_array_equal(counts, family.batch(DEVICES, 2).counts)
    assert counts.dtype == np.int32


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"support": 0}, "sine.support"),
        ({"query": -1}, "sine.query"),
        ({"query_at": "nowhere"}, "sine.query_at"),
        ({"noise": float("nan")}, "sine.noise"),
        ({"min_support": 33}, "sine.min_support"),
        ({"amplitude": (2.0, 1.0)}, "sine.amplitude"),
        ({"domain": (float("-inf"), 1.0)}, "sine.domain"),
        ({"part": "tests"}, "part"),
    ],
)
def test_a_sine_that_cannot_be_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(DatasetError, match=f"^{told}: .*got"):
        Sine(**change)
