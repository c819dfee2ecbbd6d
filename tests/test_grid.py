"""Any fleet is a Flower grid."""

import io
import tracemalloc
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import ONLINE, LineFleet, vector

from tinyfleet import envelope
from tinyfleet.errors import NetworkError, TrainingError
from tinyfleet.mean import Tally
from tinyfleet.messages import Assignment, Floats, Training, Update
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.strategy import from_arrays, to_arrays

PHI = vector(0, 0)
HINT = "each of another round, of another length or not finite"


def content(share: float = 1.0, weights: Floats = PHI, **more: str | float) -> RecordDict:
    config = envelope.assignment_to_config(Assignment(1, weights, ONLINE, share=share))
    return RecordDict({"arrays": to_arrays(weights), "config": ConfigRecord({**config, **more})})


def messages(grid: FleetGrid, record: RecordDict, *nodes: int) -> list[Message]:
    return [grid.create_message(record, MessageType.TRAIN, node, "1") for node in nodes]


def weights_of(reply: Message) -> Floats:
    return from_arrays(reply.content.array_records["arrays"])


def test_nodes_stand_for_the_devices_by_their_place() -> None:
    fleet = LineFleet(devices=(3, 5, 8, 13, 21))
    grid = FleetGrid(fleet, devices_per_node=2)
    assert list(grid.get_node_ids()) == [0, 1, 2]
    list(grid.send_and_receive(messages(grid, content(), 1, 2)))
    assert fleet.calls == [(8, 13, 21)]


def test_a_node_of_one_device_answers_with_its_weights() -> None:
    fleet = LineFleet(devices=range(4))
    grid = FleetGrid(fleet)
    [reply] = grid.send_and_receive(messages(grid, content(), 3))
    expected = fleet.learn(Assignment(1, PHI, ONLINE), 3)
    assert weights_of(reply).tobytes() == expected.values.tobytes()
    assert dict(reply.content.metric_records["metrics"]) == {
        "num-examples": 2,
        "devices": 1,
        "loss": expected.loss,
        "parameters-received": 2,
        "parameters-sent": 2,
        "refused": 0,
    }


def test_a_node_of_many_devices_answers_with_their_mean() -> None:
    fleet = LineFleet(devices=range(4), spread=3)
    grid = FleetGrid(fleet, devices_per_node=4)
    [reply] = grid.send_and_receive(messages(grid, content(), 0))
    learned = [fleet.learn(Assignment(1, PHI, ONLINE), d).values for d in range(4)]
    expected = np.mean(np.array(learned, np.float64), axis=0).astype(np.float32)
    assert weights_of(reply).tobytes() == expected.tobytes()
    assert reply.content.metric_records["metrics"]["num-examples"] == 2 + 3 + 4 + 2


def test_a_node_weights_its_devices_by_examples_when_told() -> None:
    fleet = LineFleet(devices=range(2), spread=2)
    grid = FleetGrid(fleet, devices_per_node=2)
    [reply] = grid.send_and_receive(messages(grid, content(weighting="examples"), 0))
    zero, one = (fleet.learn(Assignment(1, PHI, ONLINE), d).values for d in range(2))
    expected = (2 * zero.astype(np.float64) + 3 * one) / 5
    assert weights_of(reply).tobytes() == expected.astype(np.float32).tobytes()


def test_a_share_is_filled_up_and_tells_which_entries_came_back() -> None:
    start = vector(0.5, 0.25)
    grid = FleetGrid(LineFleet(devices=range(4)))
    [reply] = grid.send_and_receive(messages(grid, content(share=0.5, weights=start), 3))
    returned = reply.content.config_records["returned"]
    assert returned["indices"] == np.array([0], "<i4").tobytes()
    assert returned["entry-weights"] == np.array([1.0], "<f8").tobytes()
    assert weights_of(reply)[1] == start[1]
    assert weights_of(reply)[0] != start[0]


def test_messages_of_one_content_are_one_call_of_the_fleet() -> None:
    fleet = LineFleet(devices=range(6))
    grid = FleetGrid(fleet)
    one, other = content(), content()
    list(grid.send_and_receive(messages(grid, one, 0, 2) + messages(grid, other, 3, 1)))
    assert fleet.calls == [(0, 2), (3, 1)]


def test_a_node_asked_twice_answers_twice() -> None:
    grid = FleetGrid(LineFleet(devices=range(2)))
    replies = list(grid.send_and_receive(messages(grid, content(), 1, 0, 1)))
    assert [reply.metadata.src_node_id for reply in replies] == [1, 0, 1]
    assert weights_of(replies[0]).tobytes() == weights_of(replies[2]).tobytes()


def test_replies_follow_the_messages_whatever_their_order() -> None:
    grid = FleetGrid(LineFleet(devices=range(9), silent=frozenset({4, 5})), devices_per_node=2)
    replies = list(grid.send_and_receive(messages(grid, content(), 3, 0, 2, 1, 4)))
    assert [reply.metadata.src_node_id for reply in replies] == [3, 0, 2, 1, 4]
    assert [reply.has_error() for reply in replies] == [False, False, True, False, False]


def test_replies_stream_while_devices_still_learn() -> None:
    learned: list[int] = []

    def note(update: Update) -> Update:
        learned.append(update.device)
        return update

    grid = FleetGrid(LineFleet(devices=range(100), spoil=note))
    replies = iter(grid.send_and_receive(messages(grid, content(), *range(100))))
    next(replies)
    assert len(learned) < 4


def test_a_silent_device_is_absent_from_its_node() -> None:
    fleet = LineFleet(devices=range(3), silent=frozenset({1}))
    grid = FleetGrid(fleet, devices_per_node=3)
    [reply] = grid.send_and_receive(messages(grid, content(), 0))
    assert reply.content.metric_records["metrics"]["devices"] == 2


def test_a_silent_node_is_an_error_reply() -> None:
    grid = FleetGrid(LineFleet(devices=range(2), silent=frozenset({0, 1})))
    replies = list(grid.send_and_receive(messages(grid, content(), 0, 1, 7)))
    assert [reply.error.code for reply in replies] == [envelope.SILENT] * 3


def test_an_unsound_update_never_leaves_its_node() -> None:
    def spoil(update: Update) -> Update:
        return update._replace(values=update.values * np.float32(np.nan))

    grid = FleetGrid(LineFleet(devices=range(4), spoil=spoil), devices_per_node=4)
    [reply] = grid.send_and_receive(messages(grid, content(), 0))
    refusal = envelope.Refusal(reply.error.code, str(reply.error.reason))
    assert refusal.code == envelope.REFUSED
    assert envelope.refused_by(refusal) == Tally(refused=4, received=8, sent=8)


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "4",
        "updates refused: ",
        "updates refused: -4, parameters received: 0, sent: 0; " + HINT,
        "updates refused: 4, parameters received: ٣, sent: ²; " + HINT,
        f"updates refused: {'9' * 5000}, parameters received: 0, sent: 0; " + HINT,
        "updates refused: 4, parameters received: 8, sent: 8; " + HINT + " and more",
        "\0" * 100_000,
    ],
    ids=lambda reason: f"{reason:.30}",
)
def test_an_error_of_another_text_counts_as_one_refused_update(reason: str) -> None:
    refusal = envelope.Refusal(envelope.REFUSED, reason)
    assert envelope.refused_by(refusal) == Tally(refused=1)


def test_silence_is_no_refused_update() -> None:
    assert envelope.refused_by(envelope.NO_ANSWER) == Tally()


def test_an_answer_that_nobody_asked_for_is_dropped() -> None:
    fleet = LineFleet(devices=range(4), spoil=lambda update: update._replace(device=3))
    grid = FleetGrid(fleet)
    replies = list(grid.send_and_receive(messages(grid, content(), 0, 1)))
    assert [reply.error.code for reply in replies] == [envelope.SILENT] * 2


def test_a_fleet_is_not_asked_to_evaluate() -> None:
    fleet = LineFleet(devices=range(2))
    grid = FleetGrid(fleet)
    [reply] = grid.send_and_receive([grid.create_message(content(), "evaluate", 0, "1")])
    assert reply.error.code == envelope.UNSUPPORTED
    assert fleet.calls == []


def test_pushed_messages_are_pulled_once() -> None:
    grid = FleetGrid(LineFleet(devices=range(3)))
    first, second = grid.push_messages(messages(grid, content(), 0, 1))
    assert first != second
    [reply] = grid.pull_messages([second, "unknown"])
    assert reply.metadata.reply_to_message_id == second
    assert list(grid.pull_messages([second])) == []


def test_a_grid_keeps_the_run_it_is_given() -> None:
    grid = FleetGrid(LineFleet(devices=range(3)))
    run = replace(grid.run, run_id=12)
    grid.set_run(run)
    assert grid.run is run


def test_a_reply_survives_the_way_through_flower() -> None:
    grid = FleetGrid(LineFleet(devices=range(3)), devices_per_node=3)
    [reply] = grid.send_and_receive(messages(grid, content(share=0.5), 0))
    assert recorddict_from_proto(recorddict_to_proto(reply.content)) == reply.content


def test_a_message_of_other_arrays_is_refused() -> None:
    grid = FleetGrid(LineFleet(devices=range(3)))
    record = content()
    record.array_records["arrays"]["bias"] = record.array_records["arrays"]["weights"]
    with pytest.raises(NetworkError, match=r"expected the one key 'weights', got \['weights', 'b"):
        list(grid.send_and_receive(messages(grid, record, 0)))


def test_a_message_without_a_config_is_refused() -> None:
    grid = FleetGrid(LineFleet(devices=range(3)))
    record = RecordDict({"arrays": to_arrays(PHI)})
    with pytest.raises(TrainingError, match="expected an ArrayRecord 'arrays' and a ConfigRecord"):
        list(grid.send_and_receive(messages(grid, record, 0)))


def test_a_node_needs_a_device() -> None:
    with pytest.raises(TrainingError, match="devices_per_node: expected at least 1, got 0"):
        FleetGrid(LineFleet(devices=range(3)), devices_per_node=0)


ASSIGNMENTS = {
    "plain": Assignment(1, PHI, Training(rate=0.1)),
    "full": Assignment(
        round=30_001,
        weights=PHI,
        training=Training(rate=1 / 3, passes=4, batch=0, optimizer="adam", proximal=1e-9),
        frozen=("dense1",),
        local=("dense2", "dense3"),
        local_start="zeros",
        share=0.1,
        seed=2**62 + 1,
    ),
}


@pytest.mark.parametrize("assignment", ASSIGNMENTS.values(), ids=list(ASSIGNMENTS))
def test_an_assignment_comes_back_from_its_config(assignment: Assignment) -> None:
    record = RecordDict({"config": ConfigRecord({**envelope.assignment_to_config(assignment)})})
    config = recorddict_from_proto(recorddict_to_proto(record)).config_records["config"]
    assert envelope.assignment_from_config(config, PHI) == assignment


def test_what_a_config_leaves_out_has_a_default() -> None:
    got = envelope.assignment_from_config({"server-round": 3, "their-own": "key"}, PHI)
    assert got == Assignment(3, PHI, Training(rate=envelope.DEFAULT_RATE))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate", "fast"),
        ("rate", True),
        ("passes", 1.5),
        ("batch", "8"),
        ("optimizer", "lion"),
        ("proximal-mu", b"\0"),
        ("frozen", "dense1"),
        ("local", [1, 2]),
        ("local-start", "warm"),
        ("share", [1.0]),
        ("seed", 0.5),
        ("server-round", "first"),
    ],
)
def test_a_config_of_the_wrong_type_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(TrainingError, match=f"config.{key}: expected"):
        envelope.assignment_from_config({"server-round": 1, key: value}, PHI)


def test_a_config_without_a_round_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"config\.server-round: expected the number"):
        envelope.assignment_from_config({"rate": 0.1}, PHI)


@pytest.mark.parametrize("count", [0, 1, 7, 1153, 100_000])
def test_weights_travel_as_a_npy_file_that_numpy_writes_too(count: int) -> None:
    weights = np.arange(count, dtype=np.float32)
    record = to_arrays(weights)
    np.testing.assert_array_equal(record["weights"].numpy(), weights, strict=True)
    assert from_arrays(record).tobytes() == weights.tobytes()


def test_weights_of_another_float_are_taken_as_float32() -> None:
    record = to_arrays(PHI)
    record["weights"] = type(record["weights"])(np.array([0.1, 0.2]))
    np.testing.assert_array_equal(from_arrays(record), vector(0.1, 0.2), strict=True)


def saved(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def zipped(array: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, weights=np.asarray(array))
    return file.getvalue()


def headed(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


SOUND = saved(vector(1, 2, 3))
NO_WEIGHTS = {
    "nothing": b"",
    "magic alone": b"\x93NUMPY\x01\x00",
    "text": b"no numbers at all",
    "a zip": zipped(vector(1, 2)),
    "the start of a zip": b"PK\x03\x04",
    "a zip's end": zipped(vector(1, 2))[:40],
    "a cut header": SOUND[:60],
    "cut numbers": SOUND[:-1],
    "a number less": SOUND[:-4],
    "a byte more": SOUND + b"\0",
    "a number more": SOUND + b"\0" * 4,
    "a table": saved(np.zeros((2, 2), np.float32)),
    "one number": saved(np.float32(1)),
    "whole numbers": saved([1, 2]),
    "complex numbers": saved([1j]),
    "objects": saved(np.array([None, {}])),
    "structs": saved(np.zeros(2, [("a", "<f4")])),
    "another version": SOUND.replace(b"NUMPY\x01", b"NUMPY\x03"),
    "another length": SOUND.replace(b"NUMPY\x01\x00v", b"NUMPY\x01\x00w"),
    "numbers beyond memory": headed(
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999,), }\n"
    ),
    "many brackets": headed(b"(" * 60_000),
    "no dictionary": headed(b"[]  \n"),
    "an empty description": headed(b"{'descr': (), 'fortran_order': False, 'shape': (3,), }\n"),
    "no text": headed(b"\xff" * 118),
}


@pytest.mark.parametrize("data", NO_WEIGHTS.values(), ids=list(NO_WEIGHTS))
def test_bytes_that_are_no_weights_are_refused(data: bytes) -> None:
    with pytest.raises(NetworkError, match=r"weights: expected (a \.npy file of one|\d+ numbers)"):
        envelope.weights_from_npy(data)


@pytest.mark.parametrize("kind", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_any_float_of_numpy_is_taken(kind: str) -> None:
    got = envelope.weights_from_npy(saved(np.array([1, -2, 0.5], kind)))
    np.testing.assert_array_equal(got, vector(1, -2, 0.5), strict=True)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(SOUND)), st.integers(0, 20))
def test_whatever_bytes_come_a_vector_or_an_error_is_the_answer(
    noise: bytes, at: int, gone: int
) -> None:
    data = SOUND[:at] + noise + SOUND[at + gone :]
    try:
        got = envelope.weights_from_npy(data)
    except NetworkError:
        return
    assert got.dtype == np.float32
    assert got.ndim == 1


def test_a_million_devices_are_asked_without_a_list_of_them() -> None:
    class Counting:
        devices = range(1_000_000)

        def run(
            self, assignments: Mapping[int, Assignment], timeout: float | None = None
        ) -> Iterator[Update]:
            del timeout
            assert len(assignments) == 1_000_000
            assert assignments[999_999].weights.tobytes() == PHI.tobytes()
            assert 1_000_000 not in assignments
            return iter(())

    grid = FleetGrid(Counting(), devices_per_node=250_000)
    asked = messages(grid, content(), 0, 1, 2, 3)
    tracemalloc.start()
    try:
        replies = list(grid.send_and_receive(asked))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [reply.error.code for reply in replies] == [envelope.SILENT] * 4
    assert peak < 1_000_000
