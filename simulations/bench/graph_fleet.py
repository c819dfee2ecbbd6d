"""A made-up fleet for the graph: real descriptions of devices and models, as many as asked for."""

from collections.abc import Iterator
from typing import Any

from rdflib import RDF, SSN, Graph, Literal, URIRef

from tinyfleet.ontology.vocabulary import NNET, PREFIXES, SCHEMA, SOSA_EXTEND, TF

KINDS = 25
"""Kinds of device."""

GATEWAY = 250
"""Devices behind one gateway."""

_SENSORS = ("Camera", "Microphone", "Accelerometer", "Thermometer", "Gyroscope")
_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX", "RESHAPE")
_CONTEXT = ("s3n", "s3n_extend", "schema", "sosa", "sosa_extend", "ssn", "ssn-system", "tf", "unit")


def kind(number: int) -> dict[str, Any]:
    """Return the Thing Model of kind `number` of `KINDS`; `{{NUMBER}}` and `{{GATEWAY}}` differ."""
    return {
        "@context": [
            "https://www.w3.org/2022/wot/td/v1.1",
            {prefix: PREFIXES[prefix] for prefix in _CONTEXT},
        ],
        "@type": ["s3n:SmartSensor"],
        "id": "urn:tinyfleet:bench:{{NUMBER}}",
        "title": "bench {{NUMBER}}",
        "description": f"board {number}, simulated",
        "securityDefinitions": {"broker": {"scheme": "auto"}},
        "security": "broker",
        "tf:runtime": "TFLite Micro",
        "tf:supportsType": ["int8", "float32"],
        "tf:supportsOperator": list(_OPERATORS[: 3 + number % 3]),
        "tf:trainingArena": 8_000 + 4_000 * number,
        "ssn:hasSubSystem": [
            _controller(number),
            *({"@type": ["sosa:Sensor", f"sosa_extend:{name}"]} for name in _sensors(number)),
        ],
        "properties": {
            "state": {
                "type": "object",
                "readOnly": True,
                "forms": [{"href": "mqtt://broker/tinyfleet/1/bench/{{GATEWAY}}/{{NUMBER}}/state"}],
            }
        },
    }


def _sensors(number: int) -> tuple[str, ...]:
    return tuple(_SENSORS[(number + place) % len(_SENSORS)] for place in range(1 + number % 3))


def _controller(number: int) -> dict[str, Any]:
    sizes = (("s3n_extend:RAM", 16_000 * (1 + number)), ("s3n_extend:Flash", 64_000 * (1 + number)))
    return {
        "@type": "s3n:MicroController",
        "schema:name": f"board {number}",
        "ssn-system:hasSystemCapability": {
            "@type": "ssn-system:SystemCapability",
            "ssn-system:hasSystemProperty": [
                {"@type": term, "schema:value": size, "schema:unitCode": {"@id": "unit:BYTE"}}
                for term, size in sizes
            ],
        },
    }


def placeholders(number: int, devices: int) -> Iterator[dict[str, str]]:
    """Yield what the devices of a kind put for the placeholders; kinds are mixed over gateways."""
    for device in range(number, devices, KINDS):
        yield {"NUMBER": str(device), "GATEWAY": f"gw{device // GATEWAY}"}


def device(number: int) -> str:
    """Return the IRI of a device."""
    return f"urn:tinyfleet:bench:{number}"


def model(number: int) -> Graph:
    """Return the description of model `number`."""
    graph = Graph(bind_namespaces="none")
    own = URIRef(f"urn:tinyfleet:model:bench-{number}:{number:016x}")
    graph.add((own, RDF.type, NNET.NeuralNetwork))
    graph.add((own, SCHEMA.name, Literal(f"bench-{number}")))
    graph.add((own, SSN.hasInput, URIRef(f"{own}#input")))
    graph.add((own, SSN.hasOutput, URIRef(f"{own}#output")))
    graph.add((own, TF.needsRam, Literal(4_000 * (1 + number))))
    graph.add((own, TF.needsFlash, Literal(15_000 * (1 + number))))
    graph.add((own, TF.needsSensor, SOSA_EXTEND[_SENSORS[number % len(_SENSORS)]]))
    graph.add((own, TF.needsRuntime, Literal("TFLite Micro")))
    graph.add((own, TF.needsType, Literal("int8")))
    graph.add((own, TF.trainingRam, Literal(2_000 * (1 + number % 40))))
    graph.add((own, TF.macs, Literal(10_000 * (1 + number))))
    for name in _OPERATORS[: 1 + number % 5]:
        graph.add((own, TF.needsOperator, Literal(name)))
    return graph
