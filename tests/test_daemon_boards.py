"""A board that vanishes or hangs is a board less, until it is back; nobody else notices."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from boards import firmware
from brokers import RunningMosquitto, running_mosquitto
from daemons import SINE, Listener, RunningDaemon, command, simulated, write_gateway
from served_board import ServedBoard

from tinyfleet import Assignment, KernelLearner, Training, named_network
from tinyfleet.broker import Broker
from tinyfleet.description import network_to_toml
from tinyfleet.layers import Dense
from tinyfleet.mqtt_fleet import MqttFleet
from tinyfleet.network import Network, sequence
from tinyfleet.payloads import Order, network_id
from tinyfleet.simulations.tasks.sources import sine

NETWORK = named_network("sine")
TASKS = sine({"seed": 1}, NETWORK)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[RunningMosquitto]:
    with running_mosquitto(tmp_path) as it:
        yield it


@pytest.fixture
def board() -> Iterator[ServedBoard]:
    with ServedBoard(firmware("unicorn", "zig")) as it:
        yield it


def fleet_at(mosquitto: RunningMosquitto) -> MqttFleet:
    return MqttFleet(Broker("127.0.0.1", mosquitto.port), "lab", NETWORK, run="test")


def serial(number: int, board: ServedBoard) -> str:
    return f'[[device]]\nnumber = {number}\nkind = "serial"\nport = "{board.url}"\n{SINE}'


def assignment(round_number: int) -> Assignment:
    return Assignment(round_number, NETWORK.init(seed=1), Training(rate=0.01))


def test_a_board_that_was_unplugged_learns_again_when_it_is_back(
    tmp_path: Path, mosquitto: RunningMosquitto, board: ServedBoard
) -> None:
    config = write_gateway(tmp_path, mosquitto.port, serial(3, board))
    order = Order.from_assignment("r/2", 3, network_id(NETWORK), assignment(2))

    with RunningDaemon(config), fleet_at(mosquitto) as fleet:
        fleet.wait_for(1, timeout=20)
        before = list(fleet.run({3: assignment(1)}, timeout=20))
        with Listener(mosquitto.port, "refusal") as heard:
            board.unplug()
            reason = heard.refusal_of(order, seconds=60)
        board.plug()
        fleet.wait_for(1, timeout=60)
        after = list(fleet.run({3: assignment(3)}, timeout=60))

    assert reason.startswith("absent: ")
    for update in (*before, *after):
        own = KernelLearner(NETWORK).learn(assignment(update.round), TASKS(3, update.round), 3)
        assert update.values.tobytes() == own.values.tobytes()
    assert [update.round for update in (*before, *after)] == [1, 3]


def test_a_board_that_hangs_keeps_nobody_waiting(
    tmp_path: Path, mosquitto: RunningMosquitto, board: ServedBoard
) -> None:
    config = write_gateway(tmp_path, mosquitto.port, serial(9, board) + simulated(0, 4))

    with RunningDaemon(config), fleet_at(mosquitto) as fleet:
        fleet.wait_for(6, timeout=20)
        board.stall()
        updates = list(fleet.run(dict.fromkeys(range(10), assignment(1)), timeout=2))

    assert [update.device for update in updates] == [*range(5)]


def test_a_board_too_small_for_the_network_is_told_when_it_comes(
    tmp_path: Path, mosquitto: RunningMosquitto, board: ServedBoard
) -> None:
    wide = Network("wide", (1,), sequence(Dense(400), Dense(400), Dense(1)), "mean-square")
    (tmp_path / "wide.toml").write_text(network_to_toml(wide))
    config = write_gateway(tmp_path, mosquitto.port, serial(9, board))
    config.write_text(config.read_text().replace('"sine"\n', '"wide.toml"\n', 1))

    checked = json.loads(command("check", config).stdout)["findings"][-1]
    with Listener(mosquitto.port, "log") as heard, RunningDaemon(config):
        told = heard.next(b"device 9: wide needs").decode(errors="replace")

    sentence = checked["text"].partition("RAM; ")[2]
    assert not checked["well"]
    assert sentence.startswith("wide needs ")
    assert sentence in told
