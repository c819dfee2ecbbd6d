"""Boards come with sources, become Thing Descriptions that pass, and read back as they were."""

import pytest

from tinyfleet import named_network
from tinyfleet.client.thing import Facts, thing
from tinyfleet.errors import DescriptionError
from tinyfleet.layers import LAYERS
from tinyfleet.network import Network
from tinyfleet.ontology.boards import board_from_toml, boards
from tinyfleet.ontology.profile import profile_of
from tinyfleet.ontology.shapes import check_thing, problems
from tinyfleet.ontology.things import board_thing
from tinyfleet.ontology.things_rdf import thing_graph
from tinyfleet.topics import Topic

DEVICE = "urn:tinyfleet:lab:1"
each = pytest.mark.parametrize("name", boards())


def test_the_boards_of_the_library_are_there() -> None:
    assert len(boards()) == 8
    assert {"Arduino Nano 33 BLE Sense", "ESP32-S3", "nrf52840-emulated"} <= set(boards())


@each
def test_a_board_as_a_thing_passes_and_reads_back_as_it_was(name: str) -> None:
    board = boards()[name]
    told = board_thing(board, DEVICE)
    graph = thing_graph(told)
    profile = profile_of(graph, DEVICE)

    check_thing(told)
    assert [problem for problem in problems(graph, kind="device") if problem.grave] == []
    assert profile is not None
    assert profile.board == name
    assert profile.free_ram == board.value("free_ram", "ram")
    assert profile.clock == board.value("clock")
    assert profile.fpu == board.value("fpu")
    assert profile.runtimes == tuple(sorted(board.runtimes))
    assert len(profile.sensors) == len(board.sensors)


def test_two_devices_of_a_board_share_a_profile() -> None:
    board = boards()["nRF52840 DK"]
    one, two = (
        profile_of(thing_graph(board_thing(board, own, title=own)), own)
        for own in ("urn:tinyfleet:lab:1", "urn:tinyfleet:lab:2")
    )

    assert one is not None
    assert two is not None
    assert one.iri == two.iri


def test_a_figure_without_its_source_is_refused() -> None:
    with pytest.raises(DescriptionError, match=r"b\.toml: ram\.source: expected a text, got None"):
        board_from_toml(
            'name = "b"\nruntimes = []\nlink_source = "x"\n[ram]\nvalue = 1\n', "b.toml"
        )


def test_what_a_gateway_announces_becomes_a_full_profile() -> None:
    facts = Facts(
        board="nrf52840-emulated", software="firmware 1", ram=262_144, flash=1_048_576,
        arena=250_000, sensors=("microphone",), layers=tuple(LAYERS), link="emulated serial",
    )  # fmt: skip
    network: Network = named_network("sine")
    told = thing(facts, "emulated", network, Topic("lab", "gw", "1", "birth"), "mqtt://h:1883")

    profile = profile_of(thing_graph(told), DEVICE)

    assert profile is not None
    assert (profile.free_ram, profile.training_arena) == (250_000, 250_000)
    assert profile.runtimes == ("tinyfleet kernel",)
    assert "FULLY_CONNECTED" in profile.operators
    assert [sensor.rpartition("/")[2] for sensor in profile.sensors] == ["Microphone"]
