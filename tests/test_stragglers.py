"""Rounds in flight: what waits, what counts, and that every device learns what it would have."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tinyfleet.messages import Training
from tinyfleet.networks import named_network
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.stragglers import (
    Clock,
    Crowd,
    Moment,
    buffered,
    equal,
    polynomial,
    synchronous,
)
from tinyfleet.simulations.tasks.sine import tecs2024

SINE = named_network("sine")
FLEET = SimulatedFleet(SINE, tecs2024(1, support=4), 50, workers=1)
CROWD = Crowd(SINE, FLEET, Training(0.01), 0.5, turns=24, at_work=4, clock=Clock(seed=3), seed=2)


def ends(moments: list[Moment]) -> list[tuple[int, float]]:
    return [(moment.turns, moment.seconds) for moment in moments]


def test_a_round_ends_with_its_slowest_device() -> None:
    waits, goes_on = list(synchronous(CROWD)), list(synchronous(replace(CROWD, at_work=3), spare=1))
    assert [turns for turns, _ in ends(waits)] == [4, 8, 12, 16, 20, 24]
    assert [turns for turns, _ in ends(goes_on)] == [4, 8, 12, 16, 20, 24]
    assert waits[-1].seconds > goes_on[-1].seconds


def test_nobody_waits_where_several_rounds_are_in_flight() -> None:
    flows, waits = list(buffered(CROWD, 4)), list(synchronous(CROWD))
    assert flows[-1].turns == waits[-1].turns == 24
    assert flows[-1].seconds < waits[-1].seconds
    assert all(a.seconds <= b.seconds for a, b in pairwise(flows))


def test_one_device_at_a_time_is_never_stale() -> None:
    alone = replace(CROWD, at_work=1)
    flows, waits = list(buffered(alone, 1)), list(synchronous(alone))
    assert [m.turns for m in flows] == [m.turns for m in waits]
    assert [m.seconds for m in flows] == pytest.approx([m.seconds for m in waits])
    for a, b in zip(flows, waits, strict=True):
        np.testing.assert_allclose(a.weights, b.weights, rtol=1e-6, atol=1e-7)


def test_whoever_begins_before_a_step_is_stale_after_it() -> None:
    alike = replace(CROWD, clock=Clock(spread=0.0, jitter=0.0))
    discounted, whole = (list(buffered(alike, 4, d)) for d in (polynomial, equal))
    assert discounted[0].weights.tobytes() == whole[0].weights.tobytes()
    assert discounted[1].weights.tobytes() != whole[1].weights.tobytes()


def test_a_stale_update_counts_less() -> None:
    assert [polynomial(s) for s in (0, 3)] == [1.0, 0.5]
    assert [equal(s) for s in (0, 3)] == [1.0, 1.0]
    discounted, whole = (list(buffered(CROWD, 1, d))[-1].weights for d in (polynomial, equal))
    assert (discounted != whole).any()


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (list(buffered(CROWD, 2))[-1].weights for _ in range(2))
    assert first.tobytes() == second.tobytes()
