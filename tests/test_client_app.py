"""A node's client app answers as the grid does."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from brokers import running_mosquitto
from daemons import RunningDaemon, simulated, write_gateway
from flwr.app import ConfigRecord, Context, Message, RecordDict
from lines import ONLINE, LineFleet, vector

from tinyfleet import envelope
from tinyfleet.client.app import client_app, partition
from tinyfleet.client.flower_app import app as gateway_app
from tinyfleet.description import network_to_toml
from tinyfleet.errors import BrokerError, NetworkError, TrainingError
from tinyfleet.messages import Assignment, Training, Update
from tinyfleet.networks import named_network
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.strategy import to_arrays

PHI = vector(0.5, 0.25)


def broken(update: Update) -> Update:
    return update._replace(values=update.values * np.float32(np.inf))


FLEETS = {
    "one device": LineFleet(devices=(4,)),
    "three devices": LineFleet(devices=(4, 5, 9), spread=3),
    "one of them silent": LineFleet(devices=(4, 5, 9), silent=frozenset({4})),
    "all silent": LineFleet(devices=(4, 5), silent=frozenset({4, 5})),
    "all refused": LineFleet(devices=(4, 5), spoil=broken),
    "no devices": LineFleet(devices=()),
}


def context(**node_config: int | str) -> Context:
    return Context(1, 1, {**node_config}, RecordDict(), {})


def message(grid: FleetGrid, kind: str = "train", share: float = 1.0, **more: list[int]) -> Message:
    config = envelope.assignment_to_config(Assignment(3, PHI, ONLINE, share=share))
    record = ConfigRecord({**config, "weighting": "examples", **more})
    content = RecordDict({"arrays": to_arrays(PHI), "config": record})
    return grid.create_message(content, kind, 0, "3")


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("name", FLEETS)
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_client_app_answers_as_the_grid_does(name: str, kind: str, share: float) -> None:
    fleet = FLEETS[name]
    grid = FleetGrid(fleet, devices_per_node=max(1, len(fleet.devices)))
    [expected] = grid.send_and_receive([message(grid, kind, share)])
    got = client_app(lambda *_: nullcontext(fleet))(message(grid, kind, share), context())
    assert got.has_error() == expected.has_error()
    if got.has_error():
        assert got.error == expected.error
    else:
        assert got.content == expected.content


@pytest.mark.parametrize("chosen", [[9, 4, 77], [5], [], [6]])
def test_only_the_chosen_devices_of_a_node_learn(chosen: list[int]) -> None:
    fleet = LineFleet(devices=(4, 5, 9), spread=3)
    grid = FleetGrid(fleet, devices_per_node=3)
    [expected] = grid.send_and_receive([message(grid, devices=chosen)])
    asked = sorted({4, 5, 9} & set(chosen))

    got = client_app(lambda *_: nullcontext(fleet))(message(grid, devices=chosen), context())

    assert [sorted(call) for call in fleet.calls if call] == [asked] * (2 if asked else 0)
    assert got.has_error() == expected.has_error() == (not asked)
    assert asked == [] or got.content == expected.content


def test_a_node_knows_its_place() -> None:
    assert partition(context(**{"partition-id": 3})) == 3


def test_a_node_without_a_place_is_told_how_to_start() -> None:
    with pytest.raises(TrainingError, match=r"node_config\.partition-id: expected a whole number"):
        partition(context())


def test_a_message_that_lacks_a_part_is_refused() -> None:
    asked = message(FleetGrid(LineFleet(devices=(1,))))
    del asked.content["config"]
    with pytest.raises(TrainingError, match=r"and a ConfigRecord 'config', got \['arrays'\]"):
        client_app(lambda *_: nullcontext(LineFleet(devices=(1,))))(asked, context())


def test_arrays_of_another_name_are_refused() -> None:
    asked = message(FleetGrid(LineFleet(devices=(1,))))
    arrays = asked.content.array_records["arrays"]
    arrays["w"] = arrays.pop("weights")
    with pytest.raises(NetworkError, match=r"expected the one key 'weights', got \['w'\]"):
        client_app(lambda *_: nullcontext(LineFleet(devices=(1,))))(asked, context())


def test_a_gateway_that_trains_another_network_says_that_it_refused(tmp_path: Path) -> None:
    network = named_network("characters")
    weights = network.init(1)
    config = envelope.assignment_to_config(Assignment(1, weights, Training(rate=0.01)))
    record = ConfigRecord({**config, "network": network_to_toml(network), "timeout": 20.0})
    content = RecordDict({"arrays": to_arrays(weights), "config": record})
    asked = FleetGrid(LineFleet(devices=(0,))).create_message(content, "train", 0, "1")
    with running_mosquitto(tmp_path) as mosquitto:
        node = {"fleet": "lab", "gateway": "gw-1", "broker": f"127.0.0.1:{mosquitto.port}"}
        with RunningDaemon(write_gateway(tmp_path, mosquitto.port, simulated(0, 1))):
            answer = gateway_app(asked, context(**node, devices=2))

    assert answer.error.code == envelope.SILENT
    told = "expected 2 devices to train network characters, 2 refused"
    assert told in (answer.error.reason or "")


def test_what_keeps_a_fleet_from_opening_is_told_to_the_server() -> None:
    def closed(*_: object) -> nullcontext[LineFleet]:
        raise BrokerError("no broker here")

    answer = client_app(closed)(message(FleetGrid(LineFleet(devices=(1,)))), context())

    assert (answer.error.code, answer.error.reason) == (envelope.SILENT, "no broker here")
