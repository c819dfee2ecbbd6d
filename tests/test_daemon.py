"""The daemon between a real broker and its devices: each round's work comes once, whatever dies."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from boards import firmware
from brokers import RunningMosquitto, free_port, running_mosquitto
from daemons import (
    SINE,
    Listener,
    RunningDaemon,
    command,
    settled_status,
    simulated,
    write_gateway,
)
from typer.testing import CliRunner

from tinyfleet import Assignment, KernelLearner, Training, Update, named_network
from tinyfleet.broker import Broker
from tinyfleet.client.commands import client
from tinyfleet.client.outbox import Answer, Asked, Outbox
from tinyfleet.mqtt_fleet import MqttFleet
from tinyfleet.payloads import Order, Report, network_id
from tinyfleet.simulations.tasks.sources import sine
from tinyfleet.task import Task

NETWORK = named_network("sine")
START = NETWORK.init(seed=1)
TASKS = sine({"seed": 1}, NETWORK)
QUICK = Training(rate=0.01)
LONG = Training(rate=0.001, passes=4000)  # about a tenth of a second of one device


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[RunningMosquitto]:
    with running_mosquitto(tmp_path, config="allow_anonymous true\nmax_queued_messages 5000") as it:
        yield it


def fleet_at(mosquitto: RunningMosquitto) -> MqttFleet:
    return MqttFleet(Broker("127.0.0.1", mosquitto.port), "lab", NETWORK, run="test")


def as_learned(update: Update, assignment: Assignment, task: Task) -> bool:
    """Tell whether `update` is, to the bit, what the kernel learns here."""
    own = KernelLearner(NETWORK).learn(assignment, task, update.device)
    return update.values.tobytes() == own.values.tobytes() and (update.loss, update.examples) == (
        own.loss,
        own.examples,
    )


def wait_for(devices: int, mosquitto: RunningMosquitto) -> None:
    with fleet_at(mosquitto) as fleet:
        fleet.wait_for(devices, timeout=20)


def wait_until_gone(fleet: MqttFleet) -> None:
    deadline = time.monotonic() + 20
    while len(fleet.devices):
        assert time.monotonic() < deadline, list(fleet.devices)
        time.sleep(0.05)


def all_as_learned(updates: list[Update], assignment: Assignment) -> bool:
    return all(as_learned(u, assignment, TASKS(u.device, assignment.round)) for u in updates)


def test_every_kind_of_device_learns_what_the_kernel_learns(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    firmware("unicorn", "zig")
    recorded = TASKS(7, 1)
    np.savez(tmp_path / "data.npz", x=recorded.support_x, y=recorded.support_y)
    devices = (
        f'[[device]]\nnumber = 0\nkind = "emulated"\n{SINE}'
        + simulated(1, 5)
        + '[[device]]\nnumber = 6\nkind = "in-process"\n'
        + 'source = { kind = "recorded", file = "data.npz", samples = 8 }\n'
    )
    asked = Assignment(2, START, QUICK, share=0.5)

    with (
        RunningDaemon(write_gateway(tmp_path, mosquitto.port, devices)),
        fleet_at(mosquitto) as fleet,
    ):
        fleet.wait_for(7, timeout=20)
        updates = list(fleet.run(dict.fromkeys(fleet.devices, asked), timeout=20))
        computed_by = fleet.computed_by

    assert [update.device for update in updates] == [*range(7)]
    assert all_as_learned(updates[:6], asked)
    second = slice(8, 16)  # the second round takes the second eight samples
    none = slice(0, 0)
    x, y = recorded.support_x, recorded.support_y
    assert as_learned(updates[6], asked, Task(x[second], y[second], x[none], y[none]))
    assert computed_by[0].startswith("firmware ")
    assert computed_by[1].startswith("tinyfleet ")


def test_a_daemon_killed_in_mid_round_gives_each_update_once(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    more = f'[status]\nlisten = "127.0.0.1:{free_port()}"\n'
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, 7), more=more)
    asked = Assignment(1, START, LONG)
    updates: list[Update] = []

    with RunningDaemon(config) as daemon, fleet_at(mosquitto) as fleet:
        fleet.wait_for(8, timeout=20)

        def run() -> None:
            updates.extend(fleet.run(dict.fromkeys(range(8), asked), timeout=60))

        with Listener(mosquitto.port, "update") as heard:
            round_ = threading.Thread(target=run)
            round_.start()
            heard.next()  # some have learned, others have not
            daemon.kill()
            daemon.start()
            round_.join()
            counts = dict(fleet.counts)
        settled_status(config)

    assert [update.device for update in updates] == [*range(8)]
    assert all_as_learned(updates, asked)
    assert set(counts) <= {"duplicate"}
    outbox = Outbox(tmp_path / "state" / "outbox.sqlite")
    assert (outbox.asked, outbox.answered) == (0, 0)
    outbox.close()


def test_what_a_killed_daemon_left_behind_is_sent_and_followed(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    more = f'[status]\nlisten = "127.0.0.1:{free_port()}"\n'
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, 1), more=more)
    asked = Assignment(1, START, QUICK)
    taken, committed = (
        Order.from_assignment(f"r/1/{device}", device, network_id(NETWORK), asked)
        for device in (0, 1)
    )
    outbox = Outbox(tmp_path / "state" / "outbox.sqlite")
    outbox.take(Asked(o.id, o.device, o.round, o.to_bytes()) for o in (taken, committed))
    outbox.answer([Answer(committed.id, 1, "update", b"committed, never published")])
    outbox.close()

    with Listener(mosquitto.port, "update") as heard, RunningDaemon(config):
        found = {heard.next(), heard.next()}
        waiting = settled_status(config, unacknowledged=2)["health"]["unacknowledged"]
        for order in (taken, committed):
            heard.acknowledge(order)
        settled_status(config)

    assert b"committed, never published" in found
    (learned,) = (Report.from_bytes(data).update() for data in found if b"committed" not in data)
    assert (learned.device, waiting) == (0, 2)
    assert all_as_learned([learned], asked)


def test_what_was_learned_without_a_broker_comes_when_it_is_back(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, 5))
    asked = Assignment(1, START, LONG)
    updates: list[Update] = []

    with RunningDaemon(config), fleet_at(mosquitto) as fleet:
        fleet.wait_for(6, timeout=20)

        def run() -> None:
            updates.extend(fleet.run(dict.fromkeys(range(6), asked), timeout=60))

        with Listener(mosquitto.port, "update") as heard:
            round_ = threading.Thread(target=run)
            round_.start()
            heard.next()
        mosquitto.kill()
        mosquitto.start()
        round_.join()

    assert [update.device for update in updates] == [*range(6)]
    assert all_as_learned(updates, asked)


def test_a_thousand_devices_behind_four_daemons_finish_a_round(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    asked = Assignment(1, START, QUICK)

    with ExitStack() as stack:
        for n in range(4):
            devices = simulated(250 * n, 250 * n + 249)
            config = write_gateway(tmp_path / str(n), mosquitto.port, devices, name=f"gw-{n}")
            stack.enter_context(RunningDaemon(config))
        fleet = stack.enter_context(fleet_at(mosquitto))
        fleet.wait_for(1000, timeout=60)
        updates = list(fleet.run(dict.fromkeys(range(1000), asked), timeout=60))

    assert [update.device for update in updates] == [*range(1000)]
    assert all_as_learned(updates[::100], asked)


def test_orders_that_cannot_be_followed_are_refused_by_name(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, 0))
    own, other = network_id(NETWORK), network_id(named_network("presence"))
    wild = Assignment(1, START, Training(rate=1e30))
    tame = Assignment(1, START, QUICK)
    strange = Assignment(1, START, QUICK, frozen=("dense-9",))
    short = Assignment(1, START[:10], QUICK)

    with RunningDaemon(config), Listener(mosquitto.port, "refusal") as heard:
        wait_for(1, mosquitto)
        reasons = [
            heard.refusal_of(Order.from_assignment(f"r/{n}", device, network, assignment))
            for n, (device, network, assignment) in enumerate(
                [
                    (0, own, wild),
                    (0, other, tame),
                    (5, own, tame),
                    (0, own, strange),
                    (0, own, short),
                ]
            )
        ]
        again = heard.refusal_of(Order.from_assignment("r/0", 0, own, wild))

    assert reasons[0].startswith("update.")
    assert "finite" in reasons[0]
    assert reasons[1].startswith(f"assignment.network: expected {own} (sine), got {other}")
    assert reasons[2] == "assignment.device: gateway has no device 5"
    assert "no trainable layer 'dense-9'" in reasons[3]
    assert "expected 1153 float32 of network sine" in reasons[4]
    assert again == reasons[0]


def test_who_asks_again_after_the_acknowledgement_is_told_so(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    more = f'[status]\nlisten = "127.0.0.1:{free_port()}"\n'
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, 0), more=more)
    order = Order.from_assignment("r/1/0", 0, network_id(NETWORK), Assignment(1, START, QUICK))

    with (
        RunningDaemon(config),
        Listener(mosquitto.port, "update") as updates,
        Listener(mosquitto.port, "refusal") as refusals,
    ):
        updates.send(0, order.to_bytes())
        updates.next(order.id.encode())
        updates.acknowledge(order)
        settled_status(config)
        reason = refusals.refusal_of(order)

    assert "acknowledged before" in reason


def test_malformed_orders_are_counted_and_change_nothing(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    more = f'[status]\nlisten = "127.0.0.1:{free_port()}"\n'
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, 1), more=more)
    wrong = Order.from_assignment("r/1", 1, network_id(NETWORK), Assignment(1, START, QUICK))

    with RunningDaemon(config), Listener(mosquitto.port, "log") as heard:
        wait_for(2, mosquitto)
        for payload in (b"", b"\xff\xff", b"not cbor at all", wrong.to_bytes()):
            heard.send(0, payload)
            heard.next()
        metrics = settled_status(config)["metrics"]
        with fleet_at(mosquitto) as fleet:
            fleet.wait_for(2, timeout=20)
            asked = Assignment(1, START, QUICK)
            updates = list(fleet.run(dict.fromkeys(range(2), asked), timeout=20))

    assert metrics["tinyfleet_malformed_total"] == 4
    assert metrics["tinyfleet_orders_total"] == 0
    assert all_as_learned(updates, asked)
    assert len(updates) == 2


def test_a_stopped_daemon_says_goodbye_and_a_killed_one_is_missed(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, 2))

    with RunningDaemon(config) as daemon:
        with fleet_at(mosquitto) as fleet:
            fleet.wait_for(3, timeout=20)
            daemon.kill()
            wait_until_gone(fleet)
            daemon.start()
            fleet.wait_for(3, timeout=20)
            assert daemon.stop() == 0
            wait_until_gone(fleet)
        with Listener(mosquitto.port, "birth") as late:
            assert late.is_quiet()


def test_a_device_that_is_configured_away_is_not_waited_for(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    with RunningDaemon(write_gateway(tmp_path, mosquitto.port, simulated(0, 2))) as daemon:
        with fleet_at(mosquitto) as fleet:
            fleet.wait_for(3, timeout=20)
        daemon.kill()
        write_gateway(tmp_path, mosquitto.port, simulated(0, 1))
        daemon.start()
        with fleet_at(mosquitto) as fleet:
            fleet.wait_for(2, timeout=20)
            asked = Assignment(1, START, QUICK)
            list(fleet.run(dict.fromkeys(range(2), asked), timeout=20))
            devices = list(fleet.devices)

    assert devices == [0, 1]


def test_status_and_check_tell_how_it_is(tmp_path: Path, mosquitto: RunningMosquitto) -> None:
    more = f'[status]\nlisten = "127.0.0.1:{free_port()}"\n'
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, 4), more=more)

    checked = command("check", config)
    with RunningDaemon(config), fleet_at(mosquitto) as fleet:
        fleet.wait_for(5, timeout=20)
        told = settled_status(config)
        shown = CliRunner().invoke(client, ["status", "--config", str(config)]).stdout
        mosquitto.kill()
        deadline = time.monotonic() + 20
        while (lost := command("status", config)).returncode == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        mosquitto.start()
    unreachable = command("status", config)

    for row in ("orders taken", "memory .* MB", "answers not acknowledged yet"):
        assert re.search(row, shown), shown
    assert "_total" not in shown
    assert checked.returncode == 0
    assert [f["what"] for f in json.loads(checked.stdout)["findings"]] == [
        "network",
        "broker",
        "devices 0..4",
    ]
    assert told["health"]["status"] == "ok"
    assert told["health"]["devices"] == {"idle": 5}
    assert 0 < told["metrics"]["process_resident_memory_bytes"] < 300e6
    assert (lost.returncode, json.loads(lost.stdout)["health"]["status"]) == (1, "disconnected")
    assert unreachable.returncode == 9
    assert "expected a running daemon" in unreachable.stderr


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    devices = (
        '[[device]]\nnumber = 0\nkind = "simulated"\nsource = { kind = "cosine" }\n'
        '[[device]]\nnumber = 1\nkind = "simulated"\nsource = { kind = "sensor" }\n'
        '[[device]]\nnumber = 2\nkind = "in-process"\n'
        'source = { kind = "recorded", file = "no.npz" }\n'
    )

    checked = command("check", write_gateway(tmp_path, free_port(), devices))

    failed = [f for f in json.loads(checked.stdout)["findings"] if not f["well"]]
    findings = [f["text"] for f in failed]
    assert checked.returncode == 1
    assert "expected a broker, got Connection refused" in findings[0]
    known = "recorded, sensor, characters, keywords, sine"
    assert f"kind: expected one of {known}, got 'cosine'" in findings[1]
    assert "a device of kind simulated has no sensor" in findings[2]
    assert "no.npz: expected a readable .npz archive" in findings[3]
    assert [f["what"] for f in failed] == ["broker", "[[device]] 1", "device 1", "[[device]] 3"]


def test_check_notices_an_account_of_another_gateway(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, 0))
    told = {}
    for account in ("gw-1", "gw-7"):
        text = config.read_text().replace("[broker]", f'[broker]\nusername = "{account}"', 1)
        (tmp_path / "other.toml").write_text(text)
        checked = command("check", tmp_path / "other.toml")
        told[account] = (checked.returncode, json.loads(checked.stdout)["findings"][2]["text"])

    assert told["gw-1"] == (0, "gw-1, as the gateway")
    assert told["gw-7"][0] == 1
    assert "username: expected gw-1, as the gateway, got gw-7" in told["gw-7"][1]
