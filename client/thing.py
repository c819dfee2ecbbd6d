"""A device as a W3C Thing Description 1.1: what it is, what it holds, what can be asked of it.

The terms beyond the recommendation's own are S3N, SSN-System, schema.org and QUDT units, as
Thing Descriptions of TinyML boards use them (Ren, Anicic & Runkler 2022, SeLoC-ML).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinyfleet.network import Network
from tinyfleet.payloads import network_id
from tinyfleet.topics import Topic

CONTEXT = (
    "https://www.w3.org/2022/wot/td/v1.1",
    {
        "s3n": "http://w3id.org/s3n/",
        "s3n_extend": ("https://w3id.org/tinyml-schema/neural-network-schema/s3n_extend/"),
        "schema": "https://schema.org/",
        "sosa": "http://www.w3.org/ns/sosa/",
        "ssn": "http://www.w3.org/ns/ssn/",
        "ssn-system": "http://www.w3.org/ns/ssn/systems/",
        "unit": "http://qudt.org/vocab/unit/",
    },
)


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
    """

    board: str
    software: str
    ram: int = 0
    flash: int = 0
    arena: int = 0
    sensors: tuple[str, ...] = ()


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
        **_affordances(network, topic, broker),
    }


def _controller(facts: Facts) -> Mapping[str, Any]:
    controller: dict[str, Any] = {"@type": "s3n:MicroController", "schema:name": facts.board}
    memory = [
        {"@type": term, "schema:value": size, "schema:unitCode": {"@id": "unit:BYTE"}}
        for term, size in (("s3n_extend:RAM", facts.ram), ("s3n_extend:Flash", facts.flash))
        if size
    ]
    if memory:
        controller["ssn-system:hasSystemCapability"] = {"ssn-system:hasSystemProperty": memory}
    return controller


def _sensor(name: str) -> Mapping[str, Any]:
    return {"@type": "sosa:Sensor", "schema:name": name}


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
