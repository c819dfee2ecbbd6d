"""Every build of the kernel computes the bits of the numpy reference."""

import numpy as np
import pytest
from drawn import Data, data_for, every_layer, frozen_sets, networks, same_bits
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyfleet import reference
from tinyfleet.binding import Program, Variant, variants
from tinyfleet.layers import Conv2d, Dense, DepthwiseConv2d, Flatten, MaxPool, Relu
from tinyfleet.messages import Floats, Training
from tinyfleet.network import LOSSES, Loss, Network, sequence
from tinyfleet.plan import Plan, plan

EVERY = variants()
DEVICES = st.integers(1, 33)  # two full groups of the sixteen widest lanes, and one device more
RATES = st.floats(2**-10, 2**-3)
ONLINE = st.builds(Training, RATES, passes=st.integers(1, 2))
BATCHED = st.builds(
    Training,
    RATES,
    passes=st.integers(1, 2),
    batch=st.integers(0, 4),
    optimizer=st.sampled_from(["sgd", "adam"]),
    proximal=st.sampled_from([0.0, 0.3]),
)


def learned_by_reference(lowered: Plan, training: Training, data: Data) -> tuple[Floats, Floats]:
    results = [
        reference.learn(lowered, training, start, x, y)
        for start, x, y in zip(data.start, data.x, data.y, strict=True)
    ]
    return np.stack([w for w, _ in results]), np.array([loss for _, loss in results], np.float32)


def check_equality(lowered: Plan, training: Training, data: Data, judged: list[int]) -> bool:
    """Compare all variants on all devices with one another, and on those `judged` with numpy.

    Return whether the judged devices stayed finite; otherwise nothing was compared.
    """
    some = Data(data.start[judged], data.x[judged], data.y[judged])
    with np.errstate(over="ignore", invalid="ignore"):
        expected, losses = learned_by_reference(lowered, training, some)
    if not (np.isfinite(expected).all() and np.isfinite(losses).all()):
        return False
    program = Program(lowered)
    first = program.learn(EVERY[0], training, data.start, data.x, data.y)
    finite = np.isfinite(first[0]).all(axis=1) & np.isfinite(first[1])
    for variant in EVERY:
        got = program.learn(variant, training, data.start, data.x, data.y)
        assert same_bits(got[0][judged], expected), variant
        assert same_bits(got[1][judged], losses), variant
        assert same_bits(got[0][finite], first[0][finite]), variant
        assert same_bits(got[1][finite], first[1][finite]), variant
    return True


@st.composite
def judged_among(draw: st.DrawFn, devices: int) -> list[int]:
    """Draw up to three devices, the first and the last among them: these lie in ragged groups."""
    return sorted({0, draw(st.integers(0, devices - 1)), devices - 1})


def test_this_processor_runs_the_scalar_kernel_and_lanes() -> None:
    assert {"scalar", "lanes4"} <= {variant.name for variant in EVERY}


@settings(deadline=None, max_examples=80)
@given(data=st.data(), network=networks(), training=ONLINE, seed=st.integers(0, 2**32 - 1))
def test_online_learning_equals_the_reference(
    data: st.DataObject, network: Network, training: Training, seed: int
) -> None:
    lowered = plan(network, data.draw(frozen_sets(network)))
    devices, samples = data.draw(DEVICES), data.draw(st.integers(1, 3))

    drawn = data_for(network, devices, samples, seed, coarse=data.draw(st.booleans()))

    assume(check_equality(lowered, training, drawn, data.draw(judged_among(devices))))


@settings(deadline=None, max_examples=50)
@given(data=st.data(), network=networks(4), training=BATCHED, seed=st.integers(0, 2**32 - 1))
def test_batches_adam_and_the_proximal_pull_equal_the_reference(
    data: st.DataObject, network: Network, training: Training, seed: int
) -> None:
    lowered = plan(network, data.draw(frozen_sets(network)))
    devices = data.draw(DEVICES)

    drawn = data_for(network, devices, data.draw(st.integers(1, 5)), seed, coarse=False)

    assume(check_equality(lowered, training, drawn, data.draw(judged_among(devices))))


def test_a_whole_stream_of_one_sample_is_an_online_step() -> None:
    network = every_layer("mean-square")[0]
    data = data_for(network, 3, 1, seed=6, coarse=False)
    lowered, whole = plan(network), Training(0.07, batch=0)

    expected, _ = learned_by_reference(lowered, Training(0.07), data)

    assert same_bits(learned_by_reference(lowered, whole, data)[0], expected)
    for variant in EVERY:
        learned, _ = Program(lowered).learn(variant, whole, data.start, data.x, data.y)
        assert same_bits(learned, expected), variant


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("number", [0, 1])
def test_512_steps_leave_every_bit_equal(loss: Loss, number: int) -> None:
    network = every_layer(loss)[number]
    lowered, training = plan(network), Training(rate=0.01)
    data = data_for(network, 33, 512, seed=number, coarse=False)

    assert check_equality(lowered, training, data, [number * 16])

    weights, _ = Program(lowered).learn(EVERY[-1], training, data.start, data.x, data.y)
    assert not (weights == data.start).all(axis=1).any()
    assert np.isfinite(weights).all()


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    network=networks(5, largest=(5, 6, 4)),
    rate=st.floats(2**-12, 2**-7),
    judged=judged_among(33),
    seed=st.integers(0, 2**32 - 1),
)
def test_512_steps_of_any_network_leave_every_bit_equal(
    network: Network, rate: float, judged: list[int], seed: int
) -> None:
    data = data_for(network, 33, 8, seed, coarse=False)

    assume(check_equality(plan(network), Training(rate, passes=64), data, judged))


WIDE = Network(
    "wide",
    (6, 19, 3),
    sequence(
        Conv2d(17, (3, 3), (1, 2)), Relu(), DepthwiseConv2d(), MaxPool((2, 3)), Flatten(), Dense(21)
    ),
    "softmax-cross-entropy",
)


@pytest.mark.parametrize(
    "training",
    [Training(0.05), Training(0.01, batch=3, optimizer="adam"), Training(0.05, 2, 2, "sgd", 0.1)],
)
@pytest.mark.parametrize("variant", EVERY, ids=lambda variant: str(variant.name))
def test_grouping_devices_changes_no_bit(variant: Variant, training: Training) -> None:
    program, data = Program(plan(WIDE)), data_for(WIDE, 37, 4, seed=3, coarse=False)

    whole = program.learn(variant, training, data.start, data.x, data.y)

    for chunk in (1, 5, 16, 36):
        parts = [
            program.learn(variant, training, data.start[at], data.x[at], data.y[at])
            for at in (slice(i, i + chunk) for i in range(0, 37, chunk))
        ]
        assert same_bits(np.concatenate([w for w, _ in parts]), whole[0])
        assert same_bits(np.concatenate([loss for _, loss in parts]), whole[1])
    scalar = program.learn(EVERY[0], training, data.start, data.x, data.y)
    assert same_bits(whole[0], scalar[0])
    assert same_bits(whole[1], scalar[1])


def test_one_vector_for_all_equals_a_copy_for_each() -> None:
    program, data = Program(plan(WIDE)), data_for(WIDE, 5, 2, seed=4, coarse=False)
    shared = data.start[0]

    for variant in EVERY:
        once = program.learn(variant, Training(0.05), shared, data.x, data.y)
        copied = np.tile(shared, (5, 1))
        each = program.learn(variant, Training(0.05), copied, data.x, data.y)
        assert same_bits(once[0], each[0])


@settings(deadline=None, max_examples=60)
@given(
    network=networks(),
    devices=DEVICES,
    seed=st.integers(0, 2**32 - 1),
    coarse=st.booleans(),
)
def test_predictions_equal_the_reference(
    network: Network, devices: int, seed: int, coarse: bool
) -> None:
    lowered, data = plan(network), data_for(network, devices, 2, seed, coarse=coarse)
    expected = np.array(
        [
            [reference.predict(lowered, w, x) for x in xs]
            for w, xs in zip(data.start, data.x, strict=True)
        ],
        np.float32,
    )

    for variant in EVERY:
        assert same_bits(Program(lowered).predict(variant, data.start, data.x), expected), variant


@settings(deadline=None, max_examples=30)
@given(data=st.data(), network=networks(), training=st.one_of(ONLINE, BATCHED), devices=DEVICES)
def test_frozen_layers_keep_every_bit(
    data: st.DataObject, network: Network, training: Training, devices: int
) -> None:
    frozen = data.draw(frozen_sets(network))
    drawn = data_for(network, devices, 3, seed=5, coarse=False)
    program = Program(plan(network, frozen))

    weights, _ = program.learn(EVERY[-1], training, drawn.start, drawn.x, drawn.y)

    for name in frozen:
        at = network.parts[name].slice
        assert same_bits(weights[:, at], drawn.start[:, at])
