"""A graph of a small fleet for tests: devices of two kinds behind two gateways, and one model."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tinyfleet import named_network
from tinyfleet.broker import Broker
from tinyfleet.client.thing import Facts, thing
from tinyfleet.ontology.describe_network import describe_network
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.registration import Status
from tinyfleet.payloads import Birth, Death, DeviceState, State
from tinyfleet.session import Session
from tinyfleet.topics import GATEWAY, Topic

NETWORK = named_network("characters-mcu")
AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
BIG = Facts("Arduino Nano 33 BLE", "firmware 0.1.0", ram=262_144, flash=1_048_576, arena=196_608)
SMALL = Facts("BBC micro:bit v1", "firmware 0.1.0", ram=16_384, flash=262_144, arena=8192)


def iri(number: int) -> str:
    return f"urn:tinyfleet:lab:{number}"


def register(graph: FleetGraph, number: int, facts: Facts = BIG, gateway: str = "gw-1") -> None:
    topic = Topic("lab", gateway, str(number), "birth")
    graph.register(thing(facts, "simulated", NETWORK, topic, "mqtt://localhost:1883"))


def tell(graph: FleetGraph, numbers: Iterable[int], *, online: bool = True) -> None:
    graph.set_status([Status(iri(number), online, AT) for number in numbers])


def small_graph() -> tuple[FleetGraph, str]:
    """Return a graph and its model's IRI.

    Devices 0 to 3 are behind gw-1, 4 and 5 behind gw-2; 6 is small, 7 offline.
    """
    graph = FleetGraph.open()
    model = graph.add_model(describe_network(NETWORK).to_graph())
    for number in range(8):
        facts, gateway = SMALL if number == 6 else BIG, "gw-1" if number < 4 else "gw-2"
        register(graph, number, facts, gateway)
    tell(graph, range(7))
    return graph, model


class SayingGateway:
    """A gateway that says what a test has it say."""

    def __init__(self, port: int, name: str = "gw-1", session: str = "s1") -> None:
        self._name, self._own = name, session
        self._session = Session(Broker("127.0.0.1", port), f"{name}-{session}", clean=True)
        self._session.start(timeout=10)

    def _say(self, device: int | str, topic: str, payload: bytes) -> None:
        place = Topic("lab", self._name, str(device), topic)
        self._session.publish(str(place), payload, retain=True)

    def birth(self, device: int, facts: Facts = BIG, **changed: Any) -> None:
        topic = Topic("lab", self._name, str(device), "birth")
        described = {**thing(facts, "simulated", NETWORK, topic, "mqtt://localhost"), **changed}
        self._say(device, "birth", Birth(device, self._own, "simulated", described).to_bytes())

    def state(self, device: int, state: DeviceState) -> None:
        self._say(device, "state", State(device, state, 0, AT.timestamp()).to_bytes())

    def death(self) -> None:
        self._say(GATEWAY, "death", Death(self._own, "stopped").to_bytes())

    def raw(self, device: int, payload: bytes) -> None:
        self._say(device, "birth", payload)

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> "SayingGateway":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
