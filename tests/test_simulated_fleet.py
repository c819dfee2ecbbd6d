"""The vectorised fleet: what it computes does not depend on how it is computed."""

import numpy as np
import pytest

from tinyfleet import (
    Assignment,
    DatasetError,
    KernelLearner,
    NetworkError,
    ReferenceLearner,
    Training,
    TrainingError,
    named_network,
)
from tinyfleet.binding import variants
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.tasks.sine import Sine, tecs2024

NETWORK = named_network("sine")
ONLINE = Training(rate=0.005)


def assignment(**changes: object) -> Assignment:
    values: dict[str, object] = {"round": 3, "weights": NETWORK.init(1), "training": ONLINE}
    return Assignment(**{**values, **changes})  # type: ignore[arg-type]


def learned(fleet: SimulatedFleet, what: Assignment, devices: range) -> list[bytes]:
    updates = fleet.run(dict.fromkeys(devices, what))
    return [
        u.values.tobytes() + repr((u.device, u.examples, u.loss, u.received)).encode()
        for u in updates
    ]


@pytest.mark.parametrize(("workers", "chunk"), [(1, 1), (2, 7), (8, 16), (3, 1000)])
def test_workers_and_chunks_change_nothing(workers: int, chunk: int) -> None:
    tasks = tecs2024(5, support=9)
    plain = SimulatedFleet(NETWORK, tasks, 50)
    other = SimulatedFleet(NETWORK, tasks, 50, workers=workers, chunk=chunk)

    assert learned(other, assignment(), range(50)) == learned(plain, assignment(), range(50))


def test_every_variant_of_the_kernel_gives_the_same_fleet() -> None:
    tasks = Sine(seed=5, support=9, min_support=4)
    fleets = [SimulatedFleet(NETWORK, tasks, 21, variant=v) for v in variants()]

    first, *others = (learned(fleet, assignment(), range(21)) for fleet in fleets)

    assert all(other == first for other in others)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training": Training(rate=0.01, batch=4, passes=2, optimizer="adam")},
        {"training": Training(rate=0.01, batch=0, proximal=0.1)},
        {"frozen": ("dense-1",)},
        {"local": ("dense-3",), "share": 0.3, "seed": 4},
        {"local": ("dense-3",), "local_start": "zeros"},
    ],
)
def test_a_device_of_the_fleet_is_the_device_of_a_gateway_and_of_numpy(
    changes: dict[str, object],
) -> None:
    tasks = Sine(seed=2, support=6, query=5, query_at="random")
    what = assignment(**changes)
    fleet = SimulatedFleet(NETWORK, tasks, 30)
    update = list(fleet.run(dict.fromkeys(range(30), what)))[17]
    task = tasks.batch(np.array([17]), 3).task(0)

    for learner in (KernelLearner(NETWORK), ReferenceLearner(NETWORK)):
        single = learner.learn(what, task, device=17)
        assert single.values.tobytes() == update.values.tobytes()
        assert (single.loss, single.examples) == (update.loss, update.examples)
        assert (single.sent, single.received) == (update.sent, update.received)


def test_updates_come_in_the_order_of_the_assignments() -> None:
    fleet = SimulatedFleet(NETWORK, tecs2024(1, support=4), 10, chunk=2)
    one, other = assignment(), assignment(frozen=("dense-1",))
    asked = {7: one, 2: one, 9: other, 0: one}

    assert [u.device for u in fleet.run(asked)] == [7, 2, 9, 0]


def test_a_top_share_is_what_moved_most() -> None:
    fleet = SimulatedFleet(NETWORK, tecs2024(1, support=20), 1)
    (whole,) = fleet.run({0: assignment()})
    (part,) = fleet.run({0: assignment(share=0.1)})
    assert part.indices is not None
    moved = np.abs(whole.values - NETWORK.init(1))
    left_out = np.delete(moved, part.indices)

    assert len(part.values) == round(0.1 * NETWORK.parameters)
    assert moved[part.indices].min() >= left_out.max()
    assert (part.values == whole.values[part.indices]).all()


@pytest.mark.parametrize("name", ["devices", "workers", "chunk"])
def test_none_of_something_is_refused_by_name(name: str) -> None:
    counts = {"devices": 3, "workers": 1, "chunk": 1, name: 0}
    with pytest.raises(TrainingError, match=f"{name}: expected 1 or more, got 0"):
        SimulatedFleet(
            NETWORK,
            tecs2024(1),
            counts["devices"],
            workers=counts["workers"],
            chunk=counts["chunk"],
        )


def test_weights_that_are_not_finite_never_reach_a_device() -> None:
    weights = NETWORK.init(1)
    weights[7] = np.nan
    fleet = SimulatedFleet(NETWORK, tecs2024(1), 3)

    with pytest.raises(NetworkError, match="finite numbers, got nan at 7"):
        list(fleet.run({0: assignment(weights=weights)}))


def test_data_that_are_not_finite_never_reach_a_device() -> None:
    class Broken(Sine):
        def batch(self, devices, round_number):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            tasks = super().batch(devices, round_number)
            tasks.support_x[0, 1] = np.inf
            return tasks

    fleet = SimulatedFleet(NETWORK, Broken(seed=1, support=4), 3)

    with pytest.raises(DatasetError, match="support_x: expected finite numbers, got inf"):
        list(fleet.run({0: assignment()}))
