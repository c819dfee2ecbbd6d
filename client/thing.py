"""A device as a W3C Thing Description 1.1: what it is, what it holds, what can be asked of it.

The terms beyond the recommendation's own are S3N, SSN-System, schema.org and QUDT units, as
Thing Descriptions of TinyML boards use them (Ren, Anicic & Runkler 2022, SeLoC-ML).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tinyfleet.network import Network
from tinyfleet.operators import KERNEL, operators_of
from tinyfleet.payloads import network_id
from tinyfleet.topics import Topic

CONTEXT = (
    "https://www.w3.org/2022/wot/td/v1.1",
    {
        "s3n": "http://w3id.org/s3n/",
        "s3n_extend": ("https://w3id.org/tinyml-schema/neural-network-schema/s3n_extend/"),
        "schema": "https://schema.org/",
        "sosa": "http://www.w3.org/ns/sosa/",
        "sosa_extend": "https://w3id.org/tinyml-schema/neural-network-schema/sosa_extend/",
        "ssn": "http://www.w3.org/ns/ssn/",
        "ssn-system": "http://www.w3.org/ns/ssn/systems/",
        "tf": "https://w3id.org/tinyfleet/ontology#",
        "unit": "http://qudt.org/vocab/unit/",
    },
)

_DOUBLE = "http://www.w3.org/2001/XMLSchema#double"
SENSORS = ("Accelerometer", "Camera", "Gyroscope", "Magnetometer", "Microphone", "Thermometer")
"""Sensors that have a class of their own; others are told apart by their names."""


@dataclass(frozen=True)
class Facts:
    """What a device says of itself, or what is known of one that lives in this process.

    Attributes:
        board: name of the board.
        software: what computes there, and its version.
        ram: bytes of RAM; 0 where nobody counts them.
        flash: bytes of flash; 0 where nobody counts them.
        arena: bytes of RAM that a network's training may take; 0 where nobody counts them.
        sensors: names of its sensors.
        layers: kinds of layers that its kernel has, by the names that networks have for them.
        clock: Hz; 0 where nobody knows it.
        instruction_set: such as "Armv7E-M"; "" where nobody knows it.
        fpu: whether it computes float32 in hardware; None where nobody knows it.
        link: how the gateway reaches it; "" for one that lives in its process.
    """

    board: str
    software: str
    ram: int = 0
    flash: int = 0
    arena: int = 0
    sensors: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    clock: int = 0
    instruction_set: str = ""
    fpu: bool | None = None
    link: str = ""


def thing(facts: Facts, kind: str, network: Network, topic: Topic, broker: str) -> dict[str, Any]:
    """Return the Thing Description of a device.

    Args:
        facts: what is known of it.
        kind: "emulated", "serial", "in-process" or "simulated".
        network: what it trains.
        topic: any topic of the device.
        broker: URI of the broker that its topics are on, such as "mqtt://host:1883".
    """
    return {
        "@context": list(CONTEXT),
        "@type": ["s3n:SmartSensor"],
        "id": f"urn:tinyfleet:{topic.fleet}:{topic.device}",
        "title": f"{topic.fleet} {topic.device}",
        "description": f"{facts.board}, {kind}, {facts.software}",
        # whom the broker lets in, and how, is between it and the client
        "securityDefinitions": {"broker": {"scheme": "auto"}},
        "security": "broker",
        "schema:softwareVersion": facts.software,
        "schema:category": kind,
        "ssn:hasSubSystem": [_controller(facts), *map(_sensor, facts.sensors)],
        "tf:gateway": {"@id": f"urn:tinyfleet:{topic.fleet}:gateway:{topic.gateway}"},
        "tf:number": int(topic.device),
        **_abilities(facts),
        **_affordances(network, topic, broker),
    }


def _controller(facts: Facts) -> Mapping[str, Any]:
    controller: dict[str, Any] = {"@type": "s3n:MicroController", "schema:name": facts.board}
    free = facts.arena or facts.ram  # what the firmware leaves, where it says so
    memory = [
        {"@type": term, "schema:value": size, "schema:unitCode": {"@id": "unit:BYTE"}}
        for term, size in (("s3n_extend:RAM", free), ("s3n_extend:Flash", facts.flash))
        if size
    ]
    if memory:
        controller["ssn-system:hasSystemCapability"] = {"ssn-system:hasSystemProperty": memory}
    known = {
        "tf:trainingArena": facts.arena,
        "tf:clock": facts.clock and {"@value": str(facts.clock), "@type": _DOUBLE},
        "tf:instructionSet": facts.instruction_set,
    }
    controller |= {term: value for term, value in known.items() if value}
    if facts.fpu is not None:
        controller["tf:hasFpu"] = facts.fpu
    return controller


def _abilities(facts: Facts) -> Mapping[str, Any]:
    told = {
        "tf:runtime": KERNEL,
        "tf:supportsType": "float32",
        "tf:supportsOperator": list(operators_of(facts.layers)),
        "tf:link": facts.link,
    }
    return {term: value for term, value in told.items() if value}


def _sensor(name: str) -> Mapping[str, Any]:
    own = name.capitalize()
    kind = f"sosa_extend:{own}" if own in SENSORS else f"urn:tinyfleet:sensor:{quote(name)}"
    return {"@type": ["sosa:Sensor", kind], "schema:name": name}


def _affordances(network: Network, topic: Topic, broker: str) -> Mapping[str, Any]:
    return {
        "properties": {
            "state": {
                "title": "What the device does: idle, learning or absent",
                "type": "object",
                "readOnly": True,
                "observable": True,
                "forms": [_form(topic, "state", broker, "observeproperty")],
            },
            "network": {
                "title": "The network that the device trains",
                "type": "string",
                "const": network_id(network),
                "schema:name": network.name,
                "readOnly": True,
                "forms": [_form(topic, "birth", broker, "readproperty")],
            },
        },
        "actions": {
            "learn": {
                "title": "Start from the given weights and learn",
                "idempotent": True,
                "forms": [_form(topic, "assignment", broker, "invokeaction")],
            }
        },
        "events": {
            "update": {
                "title": "What the device learned",
                "forms": [_form(topic, "update", broker, "subscribeevent")],
            }
        },
    }


def _form(topic: Topic, name: str, broker: str, op: str) -> Mapping[str, Any]:
    place = Topic(topic.fleet, topic.gateway, topic.device, name)
    return {"href": f"{broker}/{place}", "contentType": "application/cbor", "op": op}
