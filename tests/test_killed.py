"""Broker, daemon or board killed in mid-round: the round ends, nothing is applied twice or lost."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from boards import firmware
from brokers import RunningMosquitto, running_mosquitto
from daemons import SINE, Listener, RunningDaemon, simulated, write_gateway

from tinyfleet import Assignment, KernelLearner, Training, Update, named_network
from tinyfleet.broker import Broker
from tinyfleet.mqtt_fleet import MqttFleet
from tinyfleet.simulations.tasks.sources import sine

NETWORK = named_network("sine")
TASKS = sine({"seed": 1}, NETWORK)
START = NETWORK.init(seed=1)
BOARD = 6
LONG = {
    **dict.fromkeys(range(BOARD), Assignment(1, START, Training(rate=0.001, passes=4000))),
    BOARD: Assignment(1, START, Training(rate=0.001, passes=150)),
}
QUICK = dict.fromkeys(range(BOARD + 1), Assignment(2, START, Training(rate=0.01)))
TIMEOUT = 90.0


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[RunningMosquitto]:
    with running_mosquitto(tmp_path) as it:
        yield it


def fleet_at(mosquitto: RunningMosquitto, inbox: Path) -> MqttFleet:
    broker = Broker("127.0.0.1", mosquitto.port)
    return MqttFleet(broker, "lab", NETWORK, run="killed", inbox=inbox)


def kill_the_board() -> None:
    """End the emulator that a daemon of this test runs, as a loss of power would."""
    emulators = [
        child
        for child in psutil.Process().children(recursive=True)
        if child.name().startswith("qemu-system")
    ]
    assert len(emulators) == 1, emulators
    emulators[0].kill()


def is_as_learned(update: Update, assignment: Assignment) -> bool:
    task = TASKS(update.device, assignment.round)
    own = KernelLearner(NETWORK).learn(assignment, task, update.device)
    return update.values.tobytes() == own.values.tobytes() and update.loss == own.loss


@pytest.mark.parametrize("victim", ["broker", "daemon", "board"])
def test_a_round_outlives_what_is_killed_in_its_middle(
    tmp_path: Path, mosquitto: RunningMosquitto, victim: str
) -> None:
    firmware("qemu", "gcc")
    board = f'[[device]]\nnumber = {BOARD}\nkind = "emulated"\nengine = "qemu"\n{SINE}'
    config = write_gateway(tmp_path, mosquitto.port, simulated(0, BOARD - 1) + board)
    inbox, updates = tmp_path / "inbox.sqlite", list[Update]()

    with RunningDaemon(config) as daemon, fleet_at(mosquitto, inbox) as fleet:
        fleet.wait_for(len(LONG), timeout=30)
        round_ = threading.Thread(target=lambda: updates.extend(fleet.run(LONG, TIMEOUT)))
        with Listener(mosquitto.port, "update") as heard:
            round_.start()
            heard.next()  # some have learned, others have not
            if victim == "broker":
                mosquitto.kill()
                mosquitto.start()
            elif victim == "daemon":
                daemon.kill()
                daemon.start()
            else:
                kill_the_board()
            round_.join(2 * TIMEOUT)
        assert not round_.is_alive()
        fleet.wait_for(len(QUICK), timeout=60)
        after = list(fleet.run(QUICK, TIMEOUT))
    with fleet_at(mosquitto, inbox) as again:
        kept = list(again.run({u.device: LONG[u.device] for u in updates}, timeout=5))

    simulated_ones = [u.device for u in updates if u.device != BOARD]
    assert simulated_ones == [*range(BOARD)]
    assert victim == "board" or updates[-1].device == BOARD  # a dead board may be absent
    assert all(is_as_learned(u, LONG[u.device]) for u in updates)
    assert [u.device for u in after] == [*QUICK]
    assert all(is_as_learned(u, QUICK[u.device]) for u in after)
    assert [(u.device, u.values.tobytes()) for u in kept] == [
        (u.device, u.values.tobytes()) for u in updates
    ]
