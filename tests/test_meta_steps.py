"""The server's steps, each against a round computed by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import update, vector

from tinyfleet.errors import TrainingError
from tinyfleet.mean import Mean, mean_of_means, mean_of_updates
from tinyfleet.messages import Update
from tinyfleet.server.meta import (
    MetaStep,
    Schedule,
    constant,
    fedavg,
    linear,
    reptile,
    tinymetafed,
    warm_restart,
)

PHI = vector(1, 2, 4)


def test_reptile_goes_part_of_the_way_to_the_mean_device() -> None:
    updates = [update(0, vector(3, 2, 4)), update(1, vector(1, 6, 0), examples=9)]
    weights, tally = reptile(0.5)(PHI, updates, 1)
    assert weights.tolist() == [1.5, 3.0, 3.0]
    assert weights.dtype == np.float32
    assert (tally.devices, tally.examples, tally.received, tally.sent) == (2, 10, 6, 6)


def test_reptile_takes_an_entry_that_did_not_return_for_one_that_stayed() -> None:
    updates = [update(0, vector(5), at=[0]), update(1, vector(3, 6, 4))]
    weights, _ = reptile(1.0)(PHI, updates, 1)
    assert weights.tolist() == [4.0, 4.0, 4.0]


def test_tinymetafed_moves_received_entries_only() -> None:
    weights, tally = tinymetafed(0.5)(PHI, [update(0, vector(3, 8), at=[0, 2])], 1)
    assert weights.tolist() == [2.0, 2.0, 6.0]
    assert tally.sent == 2


def test_tinymetafed_averages_each_entry_over_the_devices_that_returned_it() -> None:
    updates = [update(0, vector(3, 8), at=[0, 2]), update(1, vector(5), at=[0])]
    weights, _ = tinymetafed(1.0)(PHI, updates, 1)
    assert weights.tolist() == [4.0, 2.0, 8.0]


def test_fedavg_counts_a_device_once_for_each_example() -> None:
    updates = [update(0, vector(0, 0, 0), examples=1), update(1, vector(4, 8, 12), examples=3)]
    weights, _ = fedavg()(PHI, updates, 1)
    assert weights.tolist() == [3.0, 6.0, 9.0]


def test_fedavg_of_one_whole_batch_step_is_fedsgd() -> None:
    # With rate 0.5 these devices tell of the gradients (2, 0, 0) and (-2, 0, 4).
    updates = [update(0, vector(0, 2, 4), examples=3), update(1, vector(2, 2, 2), examples=1)]
    weights, _ = fedavg()(PHI, updates, 1)
    assert weights.tolist() == [1 - 0.5, 2.0, 4 - 0.5]


def test_a_step_of_one_gives_the_only_device_its_own_bytes() -> None:
    values = np.random.default_rng(0).normal(0, 1e-3, 1000).astype(np.float32)
    phi = np.random.default_rng(1).normal(0, 1e3, 1000).astype(np.float32)
    weights, _ = reptile(1.0)(phi, [update(0, values, examples=7)], 1)
    assert weights.tobytes() == values.tobytes()


BAD = {
    "nan": update(7, vector(1, np.nan, 1)),
    "infinity": update(7, vector(1, np.inf, 1)),
    "too short": update(7, vector(1, 2)),
    "another round": update(7, vector(9, 9, 9), round_number=2),
    "doubles": update(7, PHI)._replace(values=np.zeros(3)),  # type: ignore[arg-type]
    "a table": update(7, PHI)._replace(values=np.zeros((1, 3), np.float32)),
    "no examples": update(7, vector(9, 9, 9), examples=0),
    "loss not finite": update(7, vector(9, 9, 9))._replace(loss=np.nan),
    "index too high": update(7, vector(9, 9), at=[1, 3]),
    "index below zero": update(7, vector(9, 9), at=[-1, 1]),
    "indices twice": update(7, vector(9, 9), at=[1, 1]),
    "fewer indices": update(7, vector(9, 9), at=[1]),
    "wide indices": update(7, vector(9))._replace(indices=np.array([1])),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("step", [reptile(), tinymetafed(), fedavg()])
def test_an_unsound_update_is_counted_and_left_out(step: MetaStep, bad: Update) -> None:
    weights, tally = step(PHI, [bad, update(0, vector(2, 2, 2)), bad], 1)
    assert weights.tolist() == [2.0, 2.0, 2.0]
    assert (tally.devices, tally.refused) == (1, 2)


def test_what_travelled_for_a_refused_update_is_communicated() -> None:
    bad = update(7, vector(np.nan, 1), at=[0, 2])
    _, tally = reptile()(PHI, [bad, update(0, vector(2, 2, 2))], 1)
    assert (tally.devices, tally.refused) == (1, 1)
    assert (tally.received, tally.sent) == (2 + 3, 2 + 3)


def test_a_round_of_refused_updates_was_communicated() -> None:
    weights, tally = reptile()(PHI, [update(7, vector(1, 1, np.inf))], 1)
    assert weights.tobytes() == PHI.tobytes()
    assert tally == replace(tally, devices=0, refused=1, received=3, sent=3)
    nodes = [mean_of_updates(PHI, [update(7, vector(1, 1, np.inf))], 1) for _ in range(2)]
    both = mean_of_means(PHI, nodes).tally
    assert (both.devices, both.refused, both.received, both.sent) == (0, 2, 6, 6)


@pytest.mark.parametrize(
    "bad",
    [
        update(7, vector(1, 2, 3, 4)),
        update(7, vector(1, np.nan, 1))._replace(received=-1),
        update(7, vector(1, np.nan, 1))._replace(received=4),
        update(7, PHI)._replace(values=np.zeros((2, 3), np.float32)),
    ],
    ids=["too long", "below nothing", "more than there is", "a large table"],
)
def test_a_refused_update_of_no_sane_size_counts_for_nothing_communicated(bad: Update) -> None:
    _, tally = reptile()(PHI, [bad, update(0, PHI)], 1)
    assert (tally.refused, tally.received, tally.sent) == (1, 3, 3)


def test_no_update_leaves_the_weights_as_they_are() -> None:
    weights, tally = reptile()(PHI, [], 1)
    assert weights.tobytes() == PHI.tobytes()
    assert (tally.devices, tally.refused) == (0, 0)


def test_the_loss_is_the_mean_over_all_examples() -> None:
    updates = [
        update(0, PHI, examples=3)._replace(loss=1.0),
        update(1, PHI, examples=1)._replace(loss=3.0),
    ]
    assert reptile()(PHI, updates, 1)[1].loss == 1.5


def test_weights_that_leave_float32_are_an_error_that_says_what_to_do() -> None:
    with pytest.raises(TrainingError, match="round 1 leaves float32 with step 1e\\+39"):
        reptile(1e39)(PHI, [update(0, vector(9, 9, 9))], 1)


def test_a_schedule_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(TrainingError, match="step: expected a finite number in round 1, got nan"):
        reptile(lambda _: float("nan"))(PHI, [update(0, PHI)], 1)


def test_a_step_of_zero_is_refused_at_once() -> None:
    with pytest.raises(TrainingError, match="step: expected a finite number above 0, got 0"):
        constant(0.0)


@pytest.mark.parametrize(
    ("schedule", "name"),
    [
        (lambda: linear(0.0, 0.0, 4), "start"),
        (lambda: linear(-1.0, 0.0, 4), "start"),
        (lambda: linear(float("nan"), 0.0, 4), "start"),
        (lambda: linear(float("inf"), 0.0, 4), "start"),
        (lambda: linear(1.0, -0.5, 4), "end"),
        (lambda: linear(1.0, float("nan"), 4), "end"),
        (lambda: linear(1.0, float("inf"), 4), "end"),
        (lambda: linear(1.0, 0.0, 0), "rounds"),
        (lambda: warm_restart(0.1, 0.0, 4), "high"),
        (lambda: warm_restart(0.1, float("inf"), 4), "high"),
        (lambda: warm_restart(-0.1, 0.9, 4), "low"),
        (lambda: warm_restart(float("nan"), 0.9, 4), "low"),
        (lambda: warm_restart(0.1, 0.9, 4, decay=-1.0), "decay"),
        (lambda: warm_restart(0.1, 0.9, 4, decay=float("nan")), "decay"),
        (lambda: warm_restart(0.1, 0.9, 0), "period"),
    ],
)
def test_a_schedule_that_could_not_move_is_refused_at_once(
    schedule: Callable[[], Schedule], name: str
) -> None:
    with pytest.raises(TrainingError, match=f"^{name}: expected a finite number"):
        schedule()


def test_a_schedule_may_end_at_nothing() -> None:
    assert linear(1.0, 0.0, 1)(2) == 0.0
    assert warm_restart(0.0, 1.0, 2)(2) == pytest.approx(0.5)


def test_linear_decay_starts_at_its_start_and_ends_after_its_rounds() -> None:
    steps = [linear(1.0, 0.0, 4)(i) for i in (1, 2, 3, 4, 5, 100)]
    assert steps == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_the_warm_restart_follows_the_formula_of_the_paper() -> None:
    # a_min 0.1, a_max 0.9, I 4, decay 0.2; cos(pi/4) = 0.70710678, cos(3 pi/4) = -0.70710678.
    lr = warm_restart(0.1, 0.9, 4, decay=0.2)
    first = [0.9, 0.1 + 0.4 * 1.70710678, 0.5, 0.1 + 0.4 * 0.29289322]
    second = [0.7, 0.1 + 0.3 * 1.70710678, 0.4, 0.1 + 0.3 * 0.29289322]
    assert [lr(i) for i in range(1, 9)] == pytest.approx(first + second, abs=1e-8)


def test_many_warm_restarts_never_fall_below_the_low_end() -> None:
    lr = warm_restart(0.1, 0.9, 2, decay=0.3)
    assert min(lr(i) for i in range(1, 40)) == pytest.approx(0.1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_a_mean_of_means_is_the_mean(sizes: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    phi = generator.normal(size=6).astype(np.float32)

    def devices(count: int) -> list[Update]:
        made = []
        for _ in range(count):
            at = np.flatnonzero(generator.random(6) < 0.7)
            values = generator.normal(size=len(at)).astype(np.float32)
            examples = int(generator.integers(1, 9))
            made.append(update(0, values, at=at.tolist(), examples=examples))
        return made

    nodes = [devices(size) for size in sizes]
    flat = [u for node in nodes for u in node]
    means = [mean_of_updates(phi, node, 1, "examples") for node in nodes]
    expected = mean_of_updates(phi, flat, 1, "examples")
    got: Mean = mean_of_means(phi, means)
    np.testing.assert_allclose(got.values, expected.values, rtol=1e-12, atol=1e-12)
    assert got.total == expected.total
    assert got.tally == replace(expected.tally, loss=got.tally.loss)
    assert got.tally.loss == pytest.approx(expected.tally.loss)
