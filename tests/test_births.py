"""What devices say of themselves reaches the graph, and nothing else does."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import RunningMosquitto, running_mosquitto
from small_graph import SMALL, SayingGateway, iri

from tinyfleet.broker import Broker
from tinyfleet.errors import BrokerError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.server.births import Births
from tinyfleet.server.select import Selector, read_selection


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[RunningMosquitto]:
    with running_mosquitto(tmp_path) as broker:
        yield broker


def online(graph: FleetGraph) -> list[int]:
    return sorted(Selector(graph, read_selection("available"), 0).choose(1, range(100)).numbers)


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_births_and_deaths_reach_the_graph(mosquitto: RunningMosquitto) -> None:
    broker = Broker("127.0.0.1", mosquitto.port)
    with (
        FleetGraph.open() as graph,
        SayingGateway(mosquitto.port) as one,
        SayingGateway(mosquitto.port, "gw-2") as two,
    ):
        one.birth(1)  # retained, before anybody listens
        with Births(graph, broker, "lab") as births:
            one.birth(2, SMALL)
            two.birth(3)
            births.wait_for(3, 20)
            assert online(graph) == [1, 2, 3]
            assert "BBC micro:bit v1" in (graph.thing(iri(2)) or "")

            one.state(1, "absent")
            two.death()
            births.wait_for(1, 20, offline=2)
            assert online(graph) == [2]
            assert graph.thing(iri(3)) is not None

            one.state(1, "idle")
            births.wait_for(2, 20, offline=1)
            assert online(graph) == [1, 2]
            assert births.counts == {"registered": 3}


def test_a_refused_description_leaves_the_old_one(mosquitto: RunningMosquitto) -> None:
    broker = Broker("127.0.0.1", mosquitto.port)
    with (
        FleetGraph.open() as graph,
        SayingGateway(mosquitto.port) as gateway,
        Births(graph, broker, "lab") as births,
    ):
        gateway.birth(1)
        births.wait_for(1, 20)
        before = graph.thing(iri(1))
        gateway.birth(1, title=7)
        gateway.birth(2, id=iri(1))
        gateway.raw(3, b"no birth")
        gateway.birth(4)
        births.wait_for(2, 20)

        assert graph.thing(iri(1)) == before
        assert births.counts == {"registered": 2, "refused": 2, "malformed": 1}
        assert "title" in births.refusals[1]
        assert births.refusals[2] == f"id: expected {iri(2)}, got '{iri(1)}'"
        assert online(graph) == [1, 4]


def test_a_description_that_was_mended_is_refused_no_longer(mosquitto: RunningMosquitto) -> None:
    broker = Broker("127.0.0.1", mosquitto.port)
    with (
        FleetGraph.open() as graph,
        SayingGateway(mosquitto.port) as gateway,
        Births(graph, broker, "lab") as births,
    ):
        gateway.birth(1, title=7)
        until(lambda: 1 in births.refusals)
        assert online(graph) == []
        gateway.birth(1)
        births.wait_for(1, 20)
        assert births.refusals == {}


def test_who_left_while_nobody_listened_is_offline_after_a_while(
    mosquitto: RunningMosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinyfleet.server.births.GRACE", 0.2)
    broker = Broker("127.0.0.1", mosquitto.port)
    with FleetGraph.open() as graph, SayingGateway(mosquitto.port) as gateway:
        with Births(graph, broker, "lab") as births:
            gateway.birth(1)
            gateway.birth(2)
            births.wait_for(2, 20)
        gateway.raw(1, b"")  # cleared, so nobody will ever hear of it

        with Births(graph, broker, "lab") as births:
            births.wait_for(1, 20, offline=1)
            assert online(graph) == [2]


def test_waiting_in_vain_says_why(mosquitto: RunningMosquitto) -> None:
    broker = Broker("127.0.0.1", mosquitto.port)
    with (
        FleetGraph.open() as graph,
        SayingGateway(mosquitto.port) as gateway,
        Births(graph, broker, "lab") as births,
    ):
        gateway.birth(1, title=7)
        until(lambda: 1 in births.refusals)
        with pytest.raises(BrokerError, match=r"of 2 devices, got 0 in 0\.1 s, 1 refused; dev"):
            births.wait_for(2, 0.1)


def test_a_description_comes_back_as_it_was_born(mosquitto: RunningMosquitto) -> None:
    writes: list[str] = []

    def write(call: Callable[[], None]) -> None:
        writes.append("write")
        call()

    with FleetGraph.open() as graph, SayingGateway(mosquitto.port) as gateway:
        broker = Broker("127.0.0.1", mosquitto.port)
        with Births(graph, broker, "lab", write=write) as births:
            gateway.birth(1, title="Bächle & Söhne")
            births.wait_for(1, 20)

        assert '"title": "Bächle & Söhne"' in (graph.thing(iri(1)) or "")
        assert writes
