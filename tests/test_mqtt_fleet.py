"""A fleet behind a broker answers as a local one does, whatever happens on the way."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cbor2
import numpy as np
import pytest
from brokers import RunningMosquitto, mortal, running_mosquitto
from small_gateway import TASKS, Memory, SmallGateway

from tinyfleet import Assignment, BrokerError, FleetError, KernelLearner, Training, named_network
from tinyfleet.broker import Broker
from tinyfleet.client.devices import LocalFleet
from tinyfleet.inbox import Inbox
from tinyfleet.messages import Update
from tinyfleet.mqtt_fleet import GRACE, MqttFleet
from tinyfleet.payloads import Birth, Death, Manifest, Refused, Report, State, network_id
from tinyfleet.session import LAST_DELAY, Message, Session
from tinyfleet.topics import Topic, topic_filter

SINE = named_network("sine")
WEIGHTS = SINE.init(0)
Answer = Callable[[Report], list[bytes]]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[RunningMosquitto]:
    with running_mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def broker(mosquitto: RunningMosquitto) -> Broker:
    return Broker("127.0.0.1", mosquitto.port)


def fleet_of(broker: Broker, *, inbox: Path | None = None, run: str = "run") -> MqttFleet:
    return MqttFleet(broker, "lab", SINE, run=run, inbox=inbox)


def ask(round_number: int = 1, *, share: float = 1.0, frozen: tuple[str, ...] = ()) -> Assignment:
    training = Training(rate=0.01)
    return Assignment(round_number, WEIGHTS, training, frozen=frozen, share=share)


def locally(asked: Mapping[int, Assignment]) -> list[Update]:
    """Return what the same devices learn without any network between."""
    local = LocalFleet(
        KernelLearner(SINE),
        lambda device, round_: TASKS.batch(np.array([device]), round_).task(0),
        sorted(asked),
    )
    return list(local.run(asked))


def as_bytes(updates: list[Update]) -> list[bytes]:
    """Return updates so that they compare bit for bit."""
    return [Report.from_update("a", "b" * 16, u, "kernel").to_bytes() for u in updates]


@pytest.mark.parametrize(
    "assignment",
    [ask(), ask(share=0.25), ask(share=0.5, frozen=("dense-1",)), ask(frozen=("dense-1",))],
    ids=["whole", "share", "share of a part", "part"],
)
def test_a_broker_changes_nothing(broker: Broker, assignment: Assignment) -> None:
    asked = dict.fromkeys([4, 0, 5, 1, 3, 2], assignment)
    with (
        fleet_of(broker) as fleet,
        SmallGateway(broker, range(3), SINE, name="gw-1"),
        SmallGateway(broker, range(3, 6), SINE, name="gw-2"),
    ):
        fleet.wait_for(6, 20.0)
        assert list(fleet.devices) == [0, 1, 2, 3, 4, 5]

        assert as_bytes(list(fleet.run(asked, 20.0))) == as_bytes(locally(asked))
        assert fleet.counts == {}
        assert fleet.computed_by == dict.fromkeys(range(6), "kernel")


def test_only_one_gateway_counts_where_it_is_named(broker: Broker) -> None:
    with (
        MqttFleet(broker, "lab", SINE, run="run", gateway="gw-2") as fleet,
        SmallGateway(broker, [0], SINE, name="gw-1"),
        SmallGateway(broker, [1], SINE, name="gw-2"),
    ):
        fleet.wait_for(1, 20.0)

        assert [u.device for u in fleet.run({1: ask()}, 20.0)] == [1]
        assert list(fleet.devices) == [1]


def test_a_silent_device_is_an_absent_update(broker: Broker) -> None:
    silent: dict[int, Answer] = {1: lambda _: []}
    with fleet_of(broker) as fleet, SmallGateway(broker, range(3), SINE, answer=silent):
        fleet.wait_for(3, 20.0)

        updates = fleet.run(dict.fromkeys(range(3), ask()), 1.0)

        assert [u.device for u in updates] == [0, 2]


def test_an_update_is_yielded_as_soon_as_all_before_it_are(broker: Broker) -> None:
    silent: dict[int, Answer] = {1: lambda _: []}
    with fleet_of(broker) as fleet, SmallGateway(broker, range(2), SINE, answer=silent):
        fleet.wait_for(2, 20.0)

        updates = fleet.run(dict.fromkeys(range(2), ask()), None)

        assert next(updates).device == 0


def broken(**fields: object) -> Answer:
    def answer(report: Report) -> list[bytes]:
        return [replace(report, **fields).to_bytes()]  # type: ignore[arg-type]

    return answer


NAN = np.full(SINE.parameters, np.nan, np.float32).tobytes()
INFINITE = np.full(SINE.parameters, np.inf, np.float32).tobytes()
SHORT = np.zeros(SINE.parameters - 1, np.float32).tobytes()
FIRST = np.arange(SINE.parameters, dtype=np.int32).tobytes()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (broken(values=NAN), "not-finite"),
        (broken(values=INFINITE), "not-finite"),
        (broken(loss=float("nan")), "not-finite"),
        (broken(network="0" * 16), "wrong-network"),
        (broken(values=SHORT), "wrong-length"),
        (broken(indices=FIRST), "bad-indices"),
    ],
    ids=["nan", "infinity", "loss", "network", "length", "indices"],
)
def test_what_is_unsound_never_reaches_an_aggregate(
    broker: Broker, answer: Answer, reason: str
) -> None:
    with fleet_of(broker) as fleet, SmallGateway(broker, range(3), SINE, answer={1: answer}) as gw:
        fleet.wait_for(3, 20.0)

        updates = fleet.run(dict.fromkeys(range(3), ask()))

        assert [u.device for u in updates] == [0, 2]
        assert fleet.counts == {reason: 1}
        assert gw.statuses(1) == ["refused"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (broken(round=0), "old-round"),
        (broken(id="run/1/1/guessed"), "wrong-id"),
        (broken(device=2), "malformed"),
        (lambda _: [b"\x00"], "malformed"),
    ],
    ids=["round", "id", "device", "bytes"],
)
def test_what_is_no_answer_to_the_order_settles_nothing(
    broker: Broker, answer: Answer, reason: str
) -> None:
    def both(report: Report) -> list[bytes]:
        return [*answer(report), report.to_bytes()]

    with fleet_of(broker) as fleet, SmallGateway(broker, range(3), SINE, answer={1: both}):
        fleet.wait_for(3, 20.0)

        updates = fleet.run(dict.fromkeys(range(3), ask()))

        assert [u.device for u in updates] == [0, 1, 2]
        assert fleet.counts == {reason: 1}


@pytest.mark.parametrize(
    "indices",
    [[5, 4], [4, 4], [-1, 4], [4, SINE.parameters], [0, 1]],
    ids=["descending", "twice", "below", "above", "frozen"],
)
def test_entries_that_were_not_asked_for_are_refused(broker: Broker, indices: list[int]) -> None:
    share = 2 / (SINE.parameters - 64)
    places = np.array(indices, np.int32).tobytes()
    answer = {1: broken(indices=places)}
    with fleet_of(broker) as fleet, SmallGateway(broker, [1], SINE, answer=answer):
        fleet.wait_for(1, 20.0)

        updates = fleet.run({1: ask(share=share, frozen=("dense-1",))})

        assert list(updates) == []
        assert fleet.counts == {"bad-indices": 1}


def test_a_copy_is_acknowledged_and_not_applied(broker: Broker) -> None:
    twice: dict[int, Answer] = {0: lambda report: [report.to_bytes(), report.to_bytes()]}
    asked = dict.fromkeys(range(2), ask())
    with fleet_of(broker) as fleet, SmallGateway(broker, range(2), SINE, answer=twice) as gateway:
        fleet.wait_for(2, 20.0)

        assert [u.device for u in fleet.run(asked, 20.0)] == [0, 1]
        assert fleet.counts == {"duplicate": 1}
        assert gateway.statuses(0, 2) == ["accepted", "accepted"]


def test_a_copy_that_comes_a_round_later_is_acknowledged_again(broker: Broker) -> None:
    sent: list[bytes] = []

    def again(report: Report) -> list[bytes]:
        sent.append(report.to_bytes())
        return list(sent)

    with fleet_of(broker) as fleet, SmallGateway(broker, [0], SINE, answer={0: again}) as gateway:
        fleet.wait_for(1, 20.0)

        assert [len(list(fleet.run({0: ask(r)}, 20.0))) for r in (1, 2)] == [1, 1]
        assert fleet.counts == {"duplicate": 1}
        assert gateway.statuses(0, 3) == ["accepted"] * 3


def test_an_update_of_a_round_that_is_over_is_late(broker: Broker) -> None:
    first: list[bytes] = []

    def late(report: Report) -> list[bytes]:
        first.append(report.to_bytes())
        return [] if report.round == 1 else [*first]

    asked = dict.fromkeys(range(2), ask())
    with fleet_of(broker) as fleet, SmallGateway(broker, range(2), SINE, answer={0: late}) as gw:
        fleet.wait_for(2, 20.0)
        assert [u.device for u in fleet.run(asked, 1.0)] == [1]

        updates = list(fleet.run(dict.fromkeys(range(2), ask(2)), 20.0))

        assert [(u.device, u.round) for u in updates] == [(0, 2), (1, 2)]
        assert fleet.counts == {"old-round": 1}
        assert sorted(gw.statuses(0, 2)) == ["accepted", "late"]


def test_a_device_that_was_not_asked_is_not_heard(broker: Broker) -> None:
    with (
        fleet_of(broker) as fleet,
        SmallGateway(broker, [0], SINE),
        closing(Session(broker, "intruder", clean=True)) as intruder,
    ):
        fleet.wait_for(1, 20.0)
        intruder.start(10.0)
        update = Update(7, 1, WEIGHTS, None, 32, 0.5, SINE.parameters)
        report = Report.from_update("run/1/7/a", network_id(SINE), update, "kernel")
        updates = fleet.run({0: ask(), 8: ask()}, 1.0)
        assert next(updates).device == 0

        intruder.publish(str(Topic("lab", "gw-1", "7", "update")), report.to_bytes())

        assert list(updates) == []
        assert fleet.counts == {"not-asked": 1}


def test_another_gateway_cannot_answer_for_a_device(broker: Broker) -> None:
    with (
        fleet_of(broker) as fleet,
        SmallGateway(broker, [0], SINE, answer={0: lambda _: []}) as gateway,
        closing(Session(broker, "intruder", clean=True)) as intruder,
    ):
        fleet.wait_for(1, 20.0)
        intruder.start(10.0)
        asked = threading.Timer(
            0.5,
            lambda: intruder.publish(
                str(Topic("lab", "gw-2", "0", "update")),
                Report.from_update(
                    gateway.memory.learned[0], network_id(SINE), locally({0: ask()})[0], "kernel"
                ).to_bytes(),
            ),
        )
        asked.start()

        assert list(fleet.run({0: ask()}, 2.0)) == []
        assert fleet.counts == {"not-asked": 1}
        asked.join()


def test_nobody_waits_for_a_device_whose_gateway_refuses(broker: Broker) -> None:
    with (
        fleet_of(broker) as fleet,
        closing(Session(broker, "refuser", clean=True)) as refuser,
        SmallGateway(broker, [1], SINE),
    ):
        refuser.subscribe(topic_filter("lab", "gw-2", topic="assignment"))
        refuser.start(10.0)
        birth = Birth(0, "s1", "serial", {})
        refuser.publish(str(Topic("lab", "gw-2", "0", "birth")), birth.to_bytes(), retain=True)

        def refuse() -> None:
            while not isinstance(event := refuser.events.get(), Message):
                pass
            id_ = cbor2.loads(event.payload)["id"]
            refused = Refused(id_, 0, 1, "the network is too large")
            refuser.publish(str(Topic("lab", "gw-2", "0", "refusal")), refused.to_bytes())

        thread = threading.Thread(target=refuse)
        thread.start()
        fleet.wait_for(2, 20.0)

        # Without a timeout, the round would never end if it waited.
        assert [u.device for u in fleet.run({0: ask(), 1: ask()})] == [1]
        assert fleet.counts == {"refused-by-gateway": 1}
        thread.join()


def test_nobody_waits_for_long_for_who_is_gone(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyfleet.mqtt_fleet.GRACE", 0.2)
    with fleet_of(broker) as fleet, SmallGateway(broker, [1], SINE):
        fleet.wait_for(1, 20.0)

        assert [u.device for u in fleet.run({0: ask(), 1: ask()})] == [1]


def test_a_gateway_that_vanishes_takes_its_devices_along(broker: Broker) -> None:
    will = (str(Topic("lab", "gw-1", "_", "death")), Death("s1", "vanished").to_bytes())
    births = [
        (str(Topic("lab", "gw-1", str(d), "birth")), Birth(d, "s1", "serial", {}).to_bytes())
        for d in range(2)
    ]
    with fleet_of(broker) as fleet, mortal(broker.port, will, *births) as gateway:
        fleet.wait_for(2, 20.0)
        gateway.kill()
        while list(fleet.devices):
            time.sleep(0.01)

    # Its births are still retained, but so is its will.
    with fleet_of(broker) as later, pytest.raises(BrokerError, match="expected 1 devices, got 0"):
        later.wait_for(1, 0.5)


def test_a_device_out_of_reach_is_not_among_the_living(broker: Broker) -> None:
    with (
        fleet_of(broker) as fleet,
        SmallGateway(broker, range(2), SINE) as gateway,
    ):
        fleet.wait_for(2, 20.0)
        state = Topic("lab", "gw-1", "0", "state")
        gateway.session.publish(str(state), State(0, "absent", 0, 1.0).to_bytes(), retain=True)
        while list(fleet.devices) != [1]:
            time.sleep(0.01)
        gateway.session.publish(str(state), State(0, "idle", 0, 2.0).to_bytes(), retain=True)
        fleet.wait_for(2, 20.0)


def test_a_round_survives_a_killed_broker(mosquitto: RunningMosquitto, broker: Broker) -> None:
    def pull_the_plug(report: Report) -> list[bytes]:
        mosquitto.kill()
        mosquitto.start()
        return [report.to_bytes()]

    asked = dict.fromkeys(range(6), ask())
    with (
        fleet_of(broker) as fleet,
        SmallGateway(broker, range(6), SINE, answer={2: pull_the_plug}) as gateway,
    ):
        fleet.wait_for(6, 20.0)

        assert as_bytes(list(fleet.run(asked, 30.0))) == as_bytes(locally(asked))
        assert len(gateway.memory.learned) == len(set(gateway.memory.learned)) == 6


def test_a_gateway_that_returns_is_asked_again(broker: Broker) -> None:
    memory, dead = Memory(), threading.Event()

    def die(_: Report) -> list[bytes]:
        dead.set()
        return []

    first = SmallGateway(broker, [0], SINE, answer={0: die})
    with fleet_of(broker) as fleet:
        first.start()
        fleet.wait_for(1, 20.0)
        second = SmallGateway(broker, [0], SINE, memory=memory)

        def replace_gateway() -> None:
            dead.wait()
            first.stop()
            second.start()

        thread = threading.Thread(target=replace_gateway)
        thread.start()

        assert [u.device for u in fleet.run({0: ask()}, 20.0)] == [0]
        thread.join()
        second.stop()


KILLED = """
import os, signal, sys
from pathlib import Path
from tinyfleet import Assignment, Training, named_network
from tinyfleet.mqtt_fleet import MqttFleet
from tinyfleet.broker import Broker

network = named_network("sine")
broker = Broker("127.0.0.1", int(sys.argv[1]))
with MqttFleet(broker, "lab", network, run="run", inbox=Path(sys.argv[2])) as fleet:
    fleet.wait_for(3, 20.0)
    asked = Assignment(1, network.init(0), Training(rate=0.01))
    for update in fleet.run(dict.fromkeys(range(6), asked), 30.0):
        if update.device == 2:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_server_asks_only_for_what_it_does_not_have(
    broker: Broker, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox.db"
    asked = dict.fromkeys(range(6), ask())
    with SmallGateway(broker, range(3), SINE, name="gw-1") as first:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(broker.port), inbox], check=False, timeout=60
        )
        assert killed.returncode == -9
        acknowledged = {ack.id for ack in first.memory.acks if ack.status == "accepted"}
        with Inbox(inbox) as kept:
            assert all(kept.get(id_) for id_ in acknowledged)
        with (
            fleet_of(broker, inbox=inbox) as fleet,
            SmallGateway(broker, range(3, 6), SINE, name="gw-2"),
        ):
            fleet.wait_for(6, 20.0)

            assert as_bytes(list(fleet.run(asked, 30.0))) == as_bytes(locally(asked))
            assert len(first.memory.learned) == 3
            assert fleet.computed_by == dict.fromkeys(range(6), "kernel")


def test_what_comes_between_rounds_waits_for_its_round(broker: Broker, tmp_path: Path) -> None:
    asked, memory = {0: ask()}, Memory()
    lost: dict[int, Answer] = {0: lambda _: []}
    inbox = tmp_path / "inbox.db"
    with (
        fleet_of(broker, inbox=inbox) as fleet,
        SmallGateway(broker, [0], SINE, answer=lost, memory=memory),
    ):
        fleet.wait_for(1, 20.0)
        assert list(fleet.run(asked, 0.5)) == []
    (id_,) = memory.learned
    report = Report.from_update(id_, network_id(SINE), locally(asked)[0], "kernel")
    memory.reports[id_] = (Topic("lab", "gw-1", "0", "update"), [report.to_bytes()])
    # A server that starts anew, and a gateway that sends what it has before anybody asks.
    with (
        fleet_of(broker, inbox=inbox) as fleet,
        SmallGateway(broker, [0], SINE, memory=memory) as gateway,
    ):
        fleet.wait_for(1, 20.0)

        assert as_bytes(list(fleet.run(asked, 20.0))) == as_bytes(locally(asked))
        assert "old-round" not in fleet.counts
        assert "late" not in gateway.statuses(0)


def test_the_same_round_can_be_asked_twice_without_an_inbox(broker: Broker) -> None:
    with fleet_of(broker) as fleet, SmallGateway(broker, [0], SINE):
        fleet.wait_for(1, 20.0)

        for _ in range(2):
            assert [u.device for u in fleet.run({0: ask()}, 20.0)] == [0]


def test_gateways_can_read_which_network_is_trained(broker: Broker) -> None:
    with fleet_of(broker), closing(Session(broker, "reader", clean=True)) as reader:
        reader.subscribe(topic_filter("lab", "_", "_", "model"))
        reader.start(10.0)
        while not isinstance(event := reader.events.get(timeout=20.0), Message):
            pass

        assert Manifest.from_bytes(event.payload).to_network() == SINE


def test_an_inbox_that_is_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "inbox.db"
    path.write_bytes(b"no database " * 100)

    with pytest.raises(FleetError, match=f"inbox {path}: expected a SQLite file"):
        Inbox(path)


def test_a_round_may_ask_for_more_than_may_wait_for_the_broker(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyfleet.session.MOST_QUEUED_BYTES", 10_000)  # two orders
    with fleet_of(broker) as fleet, SmallGateway(broker, range(12), SINE):
        fleet.wait_for(12, 20.0)

        assert len(list(fleet.run(dict.fromkeys(range(12), ask()), 20.0))) == 12


def test_what_could_not_be_kept_is_not_acknowledged(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "inbox.sqlite"
    with (
        fleet_of(broker, inbox=path) as fleet,
        SmallGateway(broker, [0], SINE) as gateway,
        closing(sqlite3.connect(path)) as saboteur,
    ):
        fleet.wait_for(1, 20.0)
        full = "CREATE TRIGGER full BEFORE INSERT ON report BEGIN SELECT RAISE(ABORT, 'full'); END"
        saboteur.execute(full)
        with pytest.raises(FleetError, match="full"):
            list(fleet.run({0: ask(1)}, 20.0))
        saboteur.execute("DROP TRIGGER full")
        ((topic, copies),) = gateway.memory.reports.values()
        gateway.session.publish(str(topic), copies[0])
        assert len(list(fleet.run({0: ask(2)}, 20.0))) == 1
        fleet.close()
        while len(gateway.memory.acks) < 2:
            time.sleep(0.01)

    assert [(ack.id[:6], ack.status) for ack in gateway.memory.acks] == [
        ("run/1/", "late"),
        ("run/2/", "accepted"),
    ]


def test_what_waits_for_its_round_is_bounded(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyfleet.mqtt_fleet._MOST_HELD_BYTES", 10_000)  # two reports
    asked = dict.fromkeys(range(4), ask())
    with fleet_of(broker) as fleet, SmallGateway(broker, range(4), SINE) as gateway:
        fleet.wait_for(4, 20.0)
        for update in locally(asked):
            report = Report.from_update("old", network_id(SINE), update, "kernel")
            topic = Topic("lab", "gw-1", str(update.device), "update")
            gateway.session.publish(str(topic), report.to_bytes())
        last = Birth(9, "s9", "serial", {}).to_bytes()
        gateway.session.publish(str(Topic("lab", "gw-1", "9", "birth")), last)
        while 9 not in fleet.devices:
            time.sleep(0.01)
        assert len(list(fleet.run(asked, 20.0))) == 4

        assert fleet.counts == {"wrong-id": 2}


def test_a_gateway_has_tried_again_before_it_is_given_up() -> None:
    assert LAST_DELAY < GRACE
