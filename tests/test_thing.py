"""A device describes itself as a Thing Description 1.1 with what the graph asks for."""

import json
import re
from typing import Any

import cbor2

from tinyfleet import named_network
from tinyfleet.client.thing import CONTEXT, SENSORS, Facts, thing
from tinyfleet.ontology import meta
from tinyfleet.ontology.vocabulary import PREFIXES
from tinyfleet.payloads import network_id
from tinyfleet.topics import Topic

NETWORK = named_network("presence")
BOARD = Facts(
    board="nrf52840", software="firmware 0.1.0", ram=262_144, flash=1_048_576, sensors=("pir",)
)
DESCRIBED = thing(
    BOARD, "serial", NETWORK, Topic("lab", "gw-1", "7", "birth"), "mqtts://broker.lan:8883"
)


def forms(described: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        form
        for kind in ("properties", "actions", "events")
        for affordance in described[kind].values()
        for form in affordance["forms"]
    ]


def test_a_description_has_every_mandatory_term() -> None:
    assert DESCRIBED["@context"][0] == "https://www.w3.org/2022/wot/td/v1.1"
    assert DESCRIBED["title"]
    assert DESCRIBED["security"] in DESCRIBED["securityDefinitions"]
    assert all(form["href"] and form["op"] for form in forms(DESCRIBED))


def test_every_prefix_that_is_used_is_declared() -> None:
    described = json.dumps({key: value for key, value in DESCRIBED.items() if key != "@context"})

    used = set(re.findall(r'"([\w-]+):[\w-]+"', described))

    assert used <= set(DESCRIBED["@context"][1])
    assert {"s3n", "schema", "unit"} <= used


def test_board_memory_sensors_and_network_are_told() -> None:
    controller, sensor = DESCRIBED["ssn:hasSubSystem"]
    memory = controller["ssn-system:hasSystemCapability"]["ssn-system:hasSystemProperty"]

    assert controller["schema:name"] == "nrf52840"
    assert {part["@type"]: part["schema:value"] for part in memory} == {
        "s3n_extend:RAM": 262_144,
        "s3n_extend:Flash": 1_048_576,
    }
    assert sensor == {
        "@type": ["sosa:Sensor", "urn:tinyfleet:sensor:pir"],
        "schema:name": "pir",
    }
    assert DESCRIBED["properties"]["network"]["const"] == network_id(NETWORK)
    assert DESCRIBED["schema:softwareVersion"] == "firmware 0.1.0"


def test_forms_lead_to_the_devices_own_topics() -> None:
    hrefs = {form["op"]: form["href"] for form in forms(DESCRIBED)}

    assert hrefs["invokeaction"] == "mqtts://broker.lan:8883/tinyfleet/1/lab/gw-1/7/assignment"
    assert hrefs["subscribeevent"].endswith("/7/update")


def test_a_device_in_a_process_tells_no_memory() -> None:
    facts = Facts(board="x86_64 process", software="tinyfleet 0.1.0")

    described = thing(facts, "simulated", NETWORK, Topic("l", "g", "0", "birth"), "mqtt://h:1883")

    assert described["ssn:hasSubSystem"] == [
        {"@type": "s3n:MicroController", "schema:name": "x86_64 process"}
    ]


def test_what_firmware_keeps_for_itself_is_not_told_as_free() -> None:
    facts = Facts(board="b", software="s", ram=262_144, arena=240_000, sensors=("microphone",))

    described = thing(facts, "serial", NETWORK, Topic("l", "g", "3", "birth"), "mqtt://h:1883")

    controller, sensor = described["ssn:hasSubSystem"]
    (ram,) = controller["ssn-system:hasSystemCapability"]["ssn-system:hasSystemProperty"]
    assert (ram["schema:value"], controller["tf:trainingArena"]) == (240_000, 240_000)
    assert sensor["@type"] == ["sosa:Sensor", "sosa_extend:Microphone"]
    assert described["tf:gateway"] == {"@id": "urn:tinyfleet:l:gateway:g"}


def test_a_description_travels_unchanged() -> None:
    assert cbor2.loads(cbor2.dumps(DESCRIBED)) == json.loads(json.dumps(DESCRIBED))


def test_prefixes_and_sensors_are_those_of_the_graph() -> None:
    _, prefixes = CONTEXT

    assert isinstance(prefixes, dict)
    assert {name: PREFIXES[name] for name in prefixes} == prefixes
    assert SENSORS == meta.SENSORS
