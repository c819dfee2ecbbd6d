"""The algorithms as Flower strategies, on a fleet whose rounds can be followed by hand."""

import io
import json
import logging
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from lines import ONLINE, LineFleet, vector

from tinyfleet import envelope
from tinyfleet.errors import NetworkError, TrainingError
from tinyfleet.messages import Assignment, Floats, Training, Update
from tinyfleet.server import meta
from tinyfleet.server.algorithms import ALGORITHMS, Knobs, build
from tinyfleet.server.app import Round, run
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.settings import Settings, choose
from tinyfleet.server.strategy import MetaStrategy, from_arrays, to_arrays

PHI = vector(0.5, 0.25)
BATCHES = Training(rate=0.1, passes=3, batch=8, optimizer="adam")

PULLED = replace(BATCHES, proximal=0.1)

NAMED = {
    "reptile": (Knobs(BATCHES, step=0.5), meta.reptile(0.5)),
    "tinyreptile": (Knobs(ONLINE, step=0.5), meta.reptile(0.5)),
    "tinymetafed": (Knobs(ONLINE, step=0.5, share=0.5), meta.tinymetafed(0.5)),
    "fomaml": (Knobs(BATCHES, step=0.5), meta.reptile(0.5)),
    "fedavg": (Knobs(BATCHES), meta.fedavg()),
    "fedsgd": (Knobs(BATCHES), meta.fedavg()),
    "fedprox": (Knobs(PULLED), meta.fedavg()),
    "fedrep": (Knobs(BATCHES, local=("dense-1",)), meta.reptile()),
    "ditto": (Knobs(PULLED), meta.fedavg()),
}


def named(name: str) -> MetaStrategy:
    return build(ALGORITHMS[name], NAMED[name][0])


def reptile(**changes: Any) -> MetaStrategy:
    return build(ALGORITHMS["reptile"], Knobs(BATCHES, **changes))


def tinyreptile(**changes: Any) -> MetaStrategy:
    return build(ALGORITHMS["tinyreptile"], Knobs(ONLINE, **{"per_round": 1, **changes}))


def test_every_algorithm_is_followed_by_hand() -> None:
    assert set(NAMED) == set(ALGORITHMS)


def test_every_algorithm_reads_knobs_or_samples_only() -> None:
    known = {field.name for field in fields(Knobs)} | {"query"}
    assert {name for one in ALGORITHMS.values() for name in one.reads} <= known


@pytest.mark.parametrize("name", NAMED)
def test_a_round_is_the_meta_step_over_all_updates(name: str) -> None:
    strategy, step = named(name), NAMED[name][1]
    fleet = LineFleet(devices=range(5), spread=3)
    weights = run(FleetGrid(fleet), strategy, PHI, 1)
    updates = [fleet.learn(fleet.assignments[d], d) for d in fleet.devices]
    expected, tally = step(PHI, updates, 1)
    assert weights.tobytes() == expected.tobytes()
    assert strategy.tally == tally
    assert tally.devices == 5


@pytest.mark.parametrize("name", NAMED)
def test_devices_are_told_what_the_strategy_was_told(name: str) -> None:
    strategy = named(name)
    fleet = LineFleet(devices=range(5))
    run(FleetGrid(fleet), strategy, PHI, 2)
    told = fleet.assignments[4]
    assert told == replace(strategy.settings.assignment(2, PHI), weights=told.weights)


@pytest.mark.parametrize("name", NAMED)
def test_nodes_of_several_devices_give_the_same_weights_but_for_rounding(name: str) -> None:
    strategy = named(name)
    fleet = LineFleet(devices=range(7), spread=3)
    single = run(FleetGrid(fleet), strategy, PHI, 1)
    grouped = run(FleetGrid(fleet, devices_per_node=3), strategy, PHI, 1)
    np.testing.assert_allclose(grouped, single, rtol=1e-6)


def test_tinyreptile_asks_one_device_a_round() -> None:
    fleet = LineFleet(devices=range(50))
    run(FleetGrid(fleet), tinyreptile(), PHI, 20)
    assert [len(call) for call in fleet.calls] == [1] * 20
    assert len({call[0] for call in fleet.calls}) > 10


def test_the_draw_follows_from_seed_and_round_alone() -> None:
    settings = Settings(ONLINE, per_round=3, seed=4)
    drawn = [choose(range(100), settings, r) for r in range(1, 30)]
    assert drawn == [choose(reversed(range(100)), settings, r) for r in range(1, 30)]
    assert drawn != [choose(range(100), replace(settings, seed=5), r) for r in range(1, 30)]
    assert all(list(nodes) == sorted(set(nodes)) and len(nodes) == 3 for nodes in drawn)
    assert len({tuple(nodes) for nodes in drawn}) == 29


def test_every_node_is_drawn_equally_often() -> None:
    settings = Settings(ONLINE, per_round=3)
    drawn = [node for r in range(1, 2001) for node in choose(range(6), settings, r)]
    assert np.bincount(drawn).tolist() == pytest.approx([1000] * 6, rel=0.1)


def test_a_run_that_goes_on_ends_with_the_same_bytes() -> None:
    going: dict[str, Any] = {"per_round": 2, "step": 1.0, "step_end": 0.0, "rounds": 9}
    whole = run(
        FleetGrid(LineFleet(devices=range(9))),
        tinyreptile(**going),
        PHI,
        9,
    )
    half = run(
        FleetGrid(LineFleet(devices=range(9))),
        tinyreptile(**going),
        PHI,
        4,
    )
    rest = tinyreptile(**going, first_round=5)
    got = run(FleetGrid(LineFleet(devices=range(9))), rest, half, 5)
    assert got.tobytes() == whole.tobytes()


def test_a_round_of_silence_changes_nothing() -> None:
    fleet = LineFleet(devices=range(3), silent=frozenset(range(3)))
    strategy = reptile()
    weights = run(FleetGrid(fleet), strategy, PHI, 3)
    assert weights.tobytes() == PHI.tobytes()
    assert strategy.tally is not None
    assert strategy.tally.devices == 0


def test_unsound_updates_are_counted_and_change_nothing() -> None:
    def spoil(update: Update) -> Update:
        return update._replace(round=update.round + update.device % 2)

    fleet = LineFleet(devices=range(4), spoil=spoil)
    sound = LineFleet(devices=(0, 2))
    for per_node in (1, 2, 4):
        strategy = reptile()
        weights = run(FleetGrid(fleet, per_node), strategy, PHI, 1)
        assert strategy.tally is not None
        assert (strategy.tally.devices, strategy.tally.refused) == (2, 2)
        assert (strategy.tally.received, strategy.tally.sent) == (8, 8)
        expected = run(FleetGrid(sound), reptile(), PHI, 1)
        np.testing.assert_allclose(weights, expected, rtol=1e-6)


def replies(strategy: MetaStrategy, grid: FleetGrid) -> list[Message]:
    asked = strategy.configure_train(1, to_arrays(PHI), ConfigRecord(), grid)
    return list(grid.send_and_receive(asked))


def test_replies_in_a_list_are_put_in_the_order_of_their_devices() -> None:
    # In doubles 1e30 + 1 - 1e30 is 0, but -1e30 + 1e30 + 1 is 1.
    values = (vector(1e30, 1e30), vector(1, 1), vector(-1e30, -1e30))

    def spoil(update: Update) -> Update:
        return update._replace(values=values[update.device])

    grid = FleetGrid(LineFleet(devices=range(3), spoil=spoil))
    strategy = reptile()
    answers = replies(strategy, grid)
    straight, _ = strategy.aggregate_train(1, iter(answers))
    turned, _ = strategy.aggregate_train(1, [answers[i] for i in (2, 0, 1)])
    assert straight is not None
    assert turned is not None
    assert from_arrays(turned).tobytes() == from_arrays(straight).tobytes()


@pytest.mark.parametrize("key", ["arrays", "metrics", "returned"])
def test_a_reply_that_lacks_a_part_is_left_out(key: str) -> None:
    grid = FleetGrid(LineFleet(devices=range(3)))
    strategy = reptile()
    answers = replies(strategy, grid)
    del answers[0].content[key]
    _, metrics = strategy.aggregate_train(1, answers)
    assert metrics is not None
    assert (metrics["devices"], metrics["refused"]) == (2, 1)


def damage_length(content: RecordDict) -> None:
    content["arrays"] = to_arrays(vector(1, 2, 3))


def damage_values(content: RecordDict) -> None:
    content["arrays"] = to_arrays(vector(1, np.nan))


def damage_round(content: RecordDict) -> None:
    content.config_records["returned"]["server-round"] = 2


def damage_count(content: RecordDict) -> None:
    content.metric_records["metrics"]["devices"] = -1


def damage_loss(content: RecordDict) -> None:
    content.metric_records["metrics"]["loss"] = float("inf")


def damage_indices(content: RecordDict) -> None:
    returned = content.config_records["returned"]
    returned["indices"] = np.array([0, 2], "<i4").tobytes()
    returned["entry-weights"] = np.array([1, 1], "<f8").tobytes()


def damage_entry_weights(content: RecordDict) -> None:
    returned = content.config_records["returned"]
    returned["indices"] = np.array([0, 1], "<i4").tobytes()
    returned["entry-weights"] = np.array([1, np.nan], "<f8").tobytes()


def damage_bytes(content: RecordDict) -> None:
    content.config_records["returned"]["indices"] = b"123"


def damage_indices_that_wrap(content: RecordDict) -> None:
    # Each difference of neighbours, taken in int32, is above 0.
    places = np.array([0, 2**31 - 1, -(2**31), -1, 1], "<i4")
    returned = content.config_records["returned"]
    returned["indices"] = places.tobytes()
    returned["entry-weights"] = np.ones(5, "<f8").tobytes()


def damage_data(content: RecordDict, data: bytes) -> None:
    content.array_records["arrays"]["weights"] = Array("float32", (2,), "numpy.ndarray", data)


def damage_zip(content: RecordDict) -> None:
    file = io.BytesIO()
    np.savez(file, weights=PHI)
    damage_data(content, file.getvalue())


def damage_start_of_zip(content: RecordDict) -> None:
    damage_data(content, b"PK\x03\x04")


def damage_empty(content: RecordDict) -> None:
    damage_data(content, b"")


def damage_cut(content: RecordDict) -> None:
    damage_data(content, content.array_records["arrays"]["weights"].data[:-3])


def damage_dtype(content: RecordDict) -> None:
    content.array_records["arrays"]["weights"] = Array(np.array([1, 2]))


DAMAGES = (
    damage_length,
    damage_values,
    damage_round,
    damage_count,
    damage_loss,
    damage_indices,
    damage_entry_weights,
    damage_bytes,
    damage_indices_that_wrap,
    damage_zip,
    damage_start_of_zip,
    damage_empty,
    damage_cut,
    damage_dtype,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.__name__ for damage in DAMAGES])
def test_a_damaged_reply_never_reaches_the_weights(damage: object) -> None:
    assert callable(damage)
    grid = FleetGrid(LineFleet(devices=range(2)))
    strategy = reptile()
    answers = replies(strategy, grid)
    damage(answers[0].content)
    arrays, metrics = strategy.aggregate_train(1, answers)
    assert metrics is not None
    assert (metrics["devices"], metrics["refused"]) == (1, 1)
    assert arrays is not None
    alone, _ = strategy.aggregate_train(1, answers[1:])
    assert alone is not None
    assert from_arrays(arrays).tobytes() == from_arrays(alone).tobytes()


@pytest.mark.parametrize("reason", ["", "9" * 5000 + " updates refused", "\0", None])
def test_an_error_reply_of_any_text_is_left_out(reason: str | None) -> None:
    grid = FleetGrid(LineFleet(devices=range(2)))
    strategy = reptile()
    answers = replies(strategy, grid)
    asked = grid.create_message(RecordDict(), "train", 0, "1")
    grid.push_messages([asked])
    broken = Message(Error(envelope.REFUSED, reason), reply_to=asked)
    _, metrics = strategy.aggregate_train(1, [broken, answers[1]])
    assert metrics is not None
    assert (metrics["devices"], metrics["refused"]) == (1, 1)


def test_evaluate_sees_every_round_by_its_own_number() -> None:
    seen: list[Round] = []
    strategy = tinyreptile(first_round=7)
    final = run(FleetGrid(LineFleet(devices=range(3))), strategy, PHI, 3, evaluate=seen.append)
    assert [end.number for end in seen] == [6, 7, 8, 9]
    assert seen[0].tally is None
    assert seen[0].weights.tobytes() == PHI.tobytes()
    assert all(end.tally is not None and end.tally.devices == 1 for end in seen[1:])
    assert seen[-1].weights.tobytes() == final.tobytes()


def test_the_tally_of_a_round_is_what_flower_gets_as_metrics() -> None:
    grid = FleetGrid(LineFleet(devices=range(4)))
    strategy = reptile()
    _, metrics = strategy.aggregate_train(1, replies(strategy, grid))
    assert metrics is not None
    numbers = json.loads(json.dumps(dict(metrics)))
    loss = np.mean([LineFleet(devices=range(4)).learn(assigned(), d).loss for d in range(4)])
    assert numbers.pop("loss") == pytest.approx(loss)
    assert numbers == {
        "num-examples": 8,
        "devices": 4,
        "parameters-received": 8,
        "parameters-sent": 8,
        "refused": 0,
    }


def assigned() -> Assignment:
    return Assignment(1, PHI, BATCHES)


def test_a_strategy_asks_nobody_to_evaluate() -> None:
    grid = FleetGrid(LineFleet(devices=range(4)))
    strategy = reptile()
    assert strategy.configure_evaluate(1, to_arrays(PHI), ConfigRecord(), grid) == []


def test_fewer_nodes_than_a_round_asks_are_refused() -> None:
    grid = FleetGrid(LineFleet(devices=range(4)))
    with pytest.raises(TrainingError, match="per_round: round 1 asks 5 nodes, got 4"):
        run(grid, reptile(per_round=5), PHI, 1)


def test_a_fleet_of_no_devices_is_refused() -> None:
    with pytest.raises(TrainingError, match="round 1 asks 1 nodes, got 0"):
        run(FleetGrid(LineFleet(devices=())), reptile(), PHI, 1)


def test_a_train_config_cannot_contradict_the_strategy() -> None:
    grid = FleetGrid(LineFleet(devices=range(4)))
    with pytest.raises(TrainingError, match=r"train_config\.rate: the strategy says 0\.125, got 1"):
        run(grid, tinyreptile(), PHI, 1, train_config={"rate": 1.0})


@pytest.mark.parametrize("start", [vector(1, np.nan), np.zeros(2), np.zeros((2, 2), np.float32)])
def test_a_run_starts_from_finite_float32_only(start: Floats) -> None:
    grid = FleetGrid(LineFleet(devices=range(4)))
    with pytest.raises(NetworkError, match="initial_weights: expected one vector of finite"):
        run(grid, tinyreptile(), start, 1)


def test_a_run_has_rounds() -> None:
    with pytest.raises(TrainingError, match="rounds: expected at least 1, got 0"):
        run(FleetGrid(LineFleet(devices=range(4))), tinyreptile(), PHI, 0)


def test_tinyreptile_and_tinymetafed_refuse_what_no_microcontroller_runs() -> None:
    for name in ("tinyreptile", "tinymetafed"):
        with pytest.raises(TrainingError, match="expects batch 1, sgd and no proximal pull"):
            build(ALGORITHMS[name], Knobs(BATCHES))


@pytest.mark.parametrize("name", ["fedprox", "ditto"])
def test_a_pull_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(TrainingError, match=rf"training\.proximal: {name} expects more than 0"):
        build(ALGORITHMS[name], Knobs(BATCHES))


def test_fedrep_without_a_head_is_refused() -> None:
    with pytest.raises(TrainingError, match="local: fedrep expects the layers that stay"):
        build(ALGORITHMS["fedrep"], Knobs(BATCHES))


def test_the_global_model_of_ditto_is_that_of_fedavg() -> None:
    asked = [named(name).settings for name in ("ditto", "fedavg")]
    assert asked[0] == asked[1]


def test_fedsgd_asks_for_one_step_over_everything() -> None:
    assert named("fedsgd").settings.training == Training(rate=0.1, passes=1, batch=0)


def test_arrays_of_another_name_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"expected the one key 'weights', got \['0'\]"):
        from_arrays(ArrayRecord([PHI]))


def test_a_run_leaves_the_log_as_it_found_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="flwr")
    run(FleetGrid(LineFleet(devices=range(4))), tinyreptile(), PHI, 2)
    assert logging.getLogger("flwr").level == logging.INFO
    assert caplog.records == []
