"""What travels for an assignment: the device learns from what arrives, and so does the server."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import check_same, host, task_for

from tinyfleet import Assignment, KernelLearner, ReferenceLearner, Training, named_network
from tinyfleet.client.board import Board
from tinyfleet.client.link import Link
from tinyfleet.encoding import ENCODINGS, decode, encode, encoded_bytes
from tinyfleet.exchange import Exchange
from tinyfleet.follow import to_update
from tinyfleet.mean import refusal
from tinyfleet.messages import Floats, Update
from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.run import start
from tinyfleet.simulations.tasks.sine import tecs2024

SINE = named_network("sine")
WAYS = [(up, down) for up in ENCODINGS for down in ENCODINGS]
ASKED: dict[str, dict[str, Any]] = {
    "whole": {},
    "share": {"share": 0.3},
    "local": {"local": ("dense-3",), "local_start": "received"},
    "local, share": {"local": ("dense-1",), "share": 0.1},
    "frozen": {"frozen": ("dense-1",), "share": 0.5},
}


def asked(name: str, up: str = "float32", down: str = "float32", **more: Any) -> Assignment:
    values: dict[str, Any] = {**ASKED[name], "encoding": up, "encoding_down": down, **more}
    return Assignment(1, SINE.init(3), Training(rate=0.01), **values)


def sent_as_bytes(exchange: Exchange, learned: Floats) -> tuple[Update, int]:
    """Return what a server makes of the bytes that a device sends, and how many they are."""
    chosen = to_update(0, exchange.arrived, (learned, np.float32(0), 1), exchange.returns, 0)
    places = chosen.indices
    if places is not None and len(places) == exchange.up.entries:
        places = None
    elif places is not None and exchange.returns is not None:
        places = np.searchsorted(exchange.returns, places).astype(np.int32)
    at = slice(None) if chosen.indices is None else chosen.indices
    numbers = chosen.values
    if exchange.up.encoding != "float32":
        numbers = numbers - exchange.arrived.weights[at]
    data = encode(exchange.up, numbers, places)
    found, back, _ = decode(exchange.up, data)
    assert back is None or places is None or back.tolist() == places.tolist()
    if exchange.up.encoding != "float32":
        found = exchange.asked.weights[at] + found
    return chosen._replace(values=found), len(data)


@pytest.mark.parametrize(("up", "down"), WAYS, ids="/".join)
@pytest.mark.parametrize("name", ASKED)
def test_a_simulated_update_is_what_the_bytes_say(name: str, up: str, down: str) -> None:
    exchange = Exchange.of(SINE, asked(name, up, down))
    learned = exchange.arrived.weights + np.random.default_rng(0).normal(
        0, 0.1, SINE.parameters
    ).astype(np.float32)

    update = exchange.update(0, learned, 0.5, 1)

    expected, size = sent_as_bytes(exchange, learned)
    assert update.values.tobytes() == expected.values.tobytes()
    assert exchange.bytes_up(update) == size
    assert refusal(update, SINE.parameters, 1) is None


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("down", ENCODINGS)
def test_the_weights_arrive_as_their_bytes_say(name: str, down: str) -> None:
    exchange = Exchange.of(SINE, asked(name, down=down))
    local = set(ASKED[name].get("local", ()))
    parts = [np.arange(p.start, p.stop) for n, p in SINE.parts.items() if n not in local]
    travels = np.concatenate(parts)

    data = encode(exchange.down, exchange.asked.weights[travels])

    weights = exchange.arrived.weights
    assert decode(exchange.down, data)[0].tobytes() == weights[travels].tobytes()
    assert exchange.bytes_down == len(data)
    assert exchange.received == len(travels)
    stays = np.setdiff1d(np.arange(SINE.parameters), travels)
    assert (weights[stays] == exchange.asked.weights[stays]).all()


@pytest.mark.parametrize(("up", "down"), [("int8", "float16"), ("float16", "int8")])
def test_a_device_that_did_not_move_takes_nothing_from_the_server(up: str, down: str) -> None:
    exchange = Exchange.of(SINE, asked("whole", up, down))

    update = exchange.update(0, exchange.arrived.weights, 0.5, 1)

    assert update.values.tobytes() == exchange.asked.weights.tobytes()


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_diverged_device_hides_nothing_behind_its_encoding(share: float) -> None:
    exchange = Exchange.of(SINE, asked("whole", "int8", "float16", share=share))
    learned = exchange.arrived.weights.copy()
    learned[7] = np.nan

    update = exchange.update(0, learned, 0.5, 1)

    assert update.values.tobytes() == learned.tobytes()
    assert (
        refusal(update, SINE.parameters, 1)
        == "values: expected finite numbers, got NaN or infinity"
    )
    assert exchange.bytes_up(update) == encoded_bytes(exchange.up, encoding="float32")


def test_whole_vectors_of_floats_are_counted_as_they_were() -> None:
    exchange = Exchange.of(SINE, asked("whole"))

    update = exchange.update(0, exchange.arrived.weights, 0.5, 1)

    assert exchange.bytes_down == exchange.bytes_up(update) == 4 * SINE.parameters
    assert exchange.arrived is exchange.asked


@pytest.mark.parametrize("name", ["whole", "local, share"])
def test_every_learner_sends_the_same_bits(name: str) -> None:
    what, task = asked(name, "int8", "float16"), task_for(SINE, 9, query=5)

    expected = KernelLearner(SINE).learn(what, task, 4)

    check_same(ReferenceLearner(SINE).learn(what, task, 4), expected)
    with closing(host()) as port:
        check_same(Board(Link(port), SINE).learn(what, task, 4), expected)


@pytest.mark.parametrize(("workers", "chunk"), [(1, 1), (2, 7), (3, 1000)])
def test_workers_and_chunks_change_neither_update_nor_bytes(workers: int, chunk: int) -> None:
    what, tasks = asked("local, share", "int8", "float16"), tecs2024(5, support=9, query=4)

    found = []
    for fleet in (
        SimulatedFleet(SINE, tasks, 30),
        SimulatedFleet(SINE, tasks, 30, workers=workers, chunk=chunk),
    ):
        updates = list(fleet.run(dict.fromkeys(range(30), what)))
        found.append(([u.values.tobytes() for u in updates], fleet.bytes))

    assert found[0] == found[1]
    learner, exchange = KernelLearner(SINE), Exchange.of(SINE, what)
    alone = [learner.learn(what, tasks.batch(np.array([i]), 1).task(0), i) for i in range(30)]
    assert found[0][0] == [update.values.tobytes() for update in alone]
    assert found[0][1] == sum(exchange.bytes_down + exchange.bytes_up(u) for u in alone)


@pytest.mark.parametrize(("up", "down"), [("float32", "float32"), ("int8", "float16")])
def test_a_run_journals_the_bytes_of_its_messages(tmp_path: Path, up: str, down: str) -> None:
    few = {"rounds": 2, "devices": 6, "per_round": 3, "tasks": 2, "validation_tasks": 2}
    layers = {"local": ["dense-3"], "share": 0.5, "support": 8, "query": 8}
    study = complete(
        {
            "app": "sine",
            "strategy": "tinymetafed",
            "shots": [0],
            "encoding": up,
            "encoding_down": down,
            **few,
            **layers,
        },
        "test",
    )

    folder = start(study, tmp_path / "run", "", Machine(workers=1), lambda _: None)

    lines = [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]
    received, sent = SINE.parameters - 33, 560  # all but dense-3, and half of those
    places = -(-received // 8)  # as a bitmap
    downwards = 4 * received if down == "float32" else 12 + 2 * received
    upwards = 12 + places + (4 * sent if up == "float32" else 2 * 4 + sent)
    assert [line["bytes_communicated"] for line in lines] == [
        3 * n * (downwards + upwards) for n in (1, 2)
    ]
