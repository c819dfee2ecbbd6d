"""A node's client app answers as the grid does."""

from contextlib import nullcontext

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from lines import ONLINE, LineFleet, vector

from tinyfleet import envelope
from tinyfleet.client.app import client_app, partition
from tinyfleet.errors import NetworkError, TrainingError
from tinyfleet.messages import Assignment, Update
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


def message(grid: FleetGrid, kind: str = "train", share: float = 1.0) -> Message:
    config = envelope.assignment_to_config(Assignment(3, PHI, ONLINE, share=share))
    record = ConfigRecord({**config, "weighting": "examples"})
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
