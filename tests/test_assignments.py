"""What a device is asked can be followed, and what it answers hides nothing."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lines import vector

from tinyfleet import (
    Assignment,
    DatasetError,
    Dense,
    KernelLearner,
    Network,
    ReferenceLearner,
    Task,
    Training,
    TrainingError,
    named_network,
    sequence,
)
from tinyfleet.binding import Program
from tinyfleet.follow import to_update
from tinyfleet.mean import refusal
from tinyfleet.messages import CommonAssignment, Floats
from tinyfleet.plan import plan
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.tasks.sine import tecs2024

ONLINE = Training(rate=0.1)
SINE = named_network("sine")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", 0.0),
        ("rate", -0.1),
        ("rate", float("nan")),
        ("rate", float("inf")),
        ("rate", 1e39),
        ("rate", 1e-300),
        ("rate", 10**400),
        ("passes", 0),
        ("passes", -1),
        ("passes", 2**31),
        ("batch", -1),
        ("batch", 2**31),
        ("optimizer", "lion"),
        ("proximal", -0.1),
        ("proximal", float("nan")),
        ("proximal", float("inf")),
        ("proximal", 1e39),
        ("proximal", 1e-300),
    ],
)
def test_a_setting_that_no_device_can_hold_is_refused_by_name(name: str, value: object) -> None:
    settings = {"rate": 0.1, name: value}
    with pytest.raises(TrainingError, match=rf"^training\.{name}: expected .+, got "):
        Training(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "training",
    [
        Training(rate=float(np.finfo(np.float32).max), proximal=1e-45),
        Training(rate=1e-45, batch=2**31 - 1),
        Training(rate=0.1, batch=0, passes=2**31 - 1),
    ],
    ids=str,
)
def test_the_kernel_takes_the_outermost_settings(training: Training) -> None:
    assert Program(plan(SINE)).memory_bytes(training, 1) >= 4 * SINE.parameters


def learned(weights: Floats, share: float, places: Sequence[int] | None = None) -> list[int] | None:
    """Return the places that a device of 4 parameters returns."""
    assignment = Assignment(1, np.zeros(4, np.float32), ONLINE, share=share)
    returnable = None if places is None else np.array(places, np.int32)
    update = to_update(0, assignment, (weights, np.float32(0.5), 1), returnable, 4)
    return None if update.indices is None else update.indices.tolist()


def test_a_share_returns_what_moved_most() -> None:
    assert learned(vector(3, 1, -4, 2), 0.5) == [0, 2]
    assert learned(vector(3, 1, -4, 2), 0.5, [1, 3]) == [3]
    assert learned(vector(1, 1, 1, 1), 0.5) == [0, 1]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", range(4))
def test_a_share_never_hides_that_a_device_diverged(broken: float, at: int) -> None:
    weights = vector(3, 1, -4, 2)
    weights[at] = broken
    assignment = Assignment(1, np.zeros(4, np.float32), ONLINE, share=0.25)
    update = to_update(0, assignment, (weights, np.float32(0.5), 1), None, 4)
    assert update.values.tobytes() == weights.tobytes()
    assert update.indices is None
    assert refusal(update, 4, 1) == "values: expected finite numbers, got NaN or infinity"


def test_a_diverged_device_still_keeps_its_local_layers() -> None:
    assert learned(vector(np.nan, 1, 5, 2), 0.5, [0, 1]) == [0, 1]


@pytest.mark.parametrize("learner", [KernelLearner, ReferenceLearner])
def test_a_diverged_training_is_refused_whatever_its_share(
    learner: type[KernelLearner | ReferenceLearner],
) -> None:
    network = Network("n", (2,), sequence(Dense(3), Dense(2)), "mean-square")
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    assignment = Assignment(1, network.init(0), Training(rate=50.0, passes=2), share=0.1)
    with np.errstate(over="ignore", invalid="ignore"):
        update = learner(network).learn(assignment, Task(x, x, x[:0], x[:0]))
    assert refusal(update, network.parameters, 1) is not None


def test_a_learner_says_what_it_cannot_follow() -> None:
    x, y = np.ones((3, 1), np.float32), np.ones((3, 1), np.float32)
    learner, local = KernelLearner(SINE), ("dense-3",)
    with pytest.raises(TrainingError, match="expected a query to learn from, got none"):
        learner.learn(Assignment(1, SINE.init(0), ONLINE, local=local), Task(x, y, x[:0], y[:0]))
    with pytest.raises(DatasetError, match="support_x: expected finite numbers, got nan"):
        learner.learn(Assignment(1, SINE.init(0), ONLINE), Task(x * np.nan, y, x, y))


def test_a_task_alone_is_a_batch_of_one() -> None:
    x, y = np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32)
    task = Task(x, y, x[:2], y[:2])
    batch = task.alone()
    assert len(batch) == 1
    assert batch.counts.tolist() == [3]
    for name, array in vars(batch.task(0)).items():
        np.testing.assert_array_equal(array, getattr(task, name), strict=True)


def groups_of(sizes: list[int], apart: int, order: list[int]) -> list[Sequence[int]]:
    """Return ascending groups in one piece, as ranges or, where there are gaps, spelled out."""
    starts = np.concatenate([[0], np.cumsum(sizes)]) * apart
    made = [range(starts[i], starts[i + 1], apart) for i in range(len(sizes))]
    return [made[i] if apart == 1 else tuple(made[i]) for i in order]


@given(
    st.lists(st.integers(0, 4), max_size=5).flatmap(
        lambda sizes: st.tuples(st.just(sizes), st.permutations(range(len(sizes))))
    ),
    st.sampled_from([1, 3]),
)
def test_a_common_assignment_is_the_dictionary_it_stands_for(
    drawn: tuple[list[int], list[int]], apart: int
) -> None:
    sizes, order = drawn
    groups = groups_of(sizes, apart, list(order))
    assignment = Assignment(1, vector(0), ONLINE)
    asked = CommonAssignment(assignment, groups)
    plain = dict.fromkeys((d for group in groups for d in group), assignment)
    assert list(asked) == list(plain)
    assert list(asked.items()) == list(plain.items())
    assert len(asked) == len(plain)
    for device in range(-2, 70):
        assert (device in asked) == (device in plain)
        assert asked.get(device) is plain.get(device)
        place = asked.group_of(device)
        assert (place is not None) == (device in plain)
        assert place is None or device in groups[place]


def test_a_fleet_takes_devices_as_it_goes() -> None:
    fleet = SimulatedFleet(SINE, tecs2024(1, support=4), 10**9, workers=1, chunk=16)
    asked = CommonAssignment(Assignment(1, SINE.init(0), ONLINE), (fleet.devices,))
    updates = fleet.run(asked)
    assert [next(updates).device for _ in range(40)] == list(range(40))
