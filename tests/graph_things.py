"""Descriptions for the tests of the graph: small boards that differ by RAM, and a model."""

from typing import Any

from rdflib import RDF, SSN, Graph, Literal, URIRef

from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.vocabulary import NNET, PREFIXES, SCHEMA, TF

MODEL = "urn:tinyfleet:model:small:0123456789abcdef"


def iri(number: int | str) -> str:
    return f"urn:tinyfleet:lab:{number}"


def thing(number: int | str, *, ram: int = 100_000, gateway: str = "gw-1") -> dict[str, Any]:
    memory = {
        "@type": "s3n_extend:RAM",
        "schema:value": ram,
        "schema:unitCode": {"@id": "unit:BYTE"},
    }
    prefixes = ("s3n", "s3n_extend", "schema", "ssn", "ssn-system", "unit")
    return {
        "@context": [
            "https://www.w3.org/2022/wot/td/v1.1",
            {prefix: PREFIXES[prefix] for prefix in prefixes},
        ],
        "@type": ["s3n:SmartSensor"],
        "id": iri(number),
        "title": f"lab {number}",
        "securityDefinitions": {"broker": {"scheme": "auto"}},
        "security": "broker",
        "ssn:hasSubSystem": [
            {
                "@type": "s3n:MicroController",
                "schema:name": "a board",
                "ssn-system:hasSystemCapability": {
                    "@type": "ssn-system:SystemCapability",
                    "ssn-system:hasSystemProperty": [memory],
                },
            }
        ],
        "properties": {
            "state": {
                "type": "object",
                "forms": [{"href": f"mqtt://h/tinyfleet/1/lab/{gateway}/{number}/state"}],
            }
        },
    }


def model(ram: int = 50_000, name: str = MODEL) -> Graph:
    graph = Graph()
    own = URIRef(name)
    graph.add((own, RDF.type, NNET.NeuralNetwork))
    graph.add((own, SCHEMA.name, Literal("small")))
    graph.add((own, SSN.hasInput, URIRef(f"{name}#input")))
    graph.add((own, SSN.hasOutput, URIRef(f"{name}#output")))
    graph.add((own, TF.needsRam, Literal(ram)))
    graph.add((own, TF.needsFlash, Literal(9000)))
    return graph


def quads(graph: FleetGraph) -> int:
    rows = graph.select("SELECT (COUNT(*) AS ?n) { GRAPH ?g { ?s ?p ?o } }").rows
    return int(str(rows[0][0]))


def counts(graph: FleetGraph) -> dict[str, int]:
    """Return the counts of the summary's own node."""
    rows = graph.select(
        "SELECT ?count ?value { GRAPH <urn:tinyfleet:graph:summary> "
        "{ <urn:tinyfleet:graph:summary> ?count ?value } }"
    ).rows
    return {str(count).rpartition("#")[2]: int(str(value)) for count, value in rows}


def fitting(graph: FleetGraph, number: int) -> set[str]:
    """Return the models that fit a device."""
    rows = graph.select(
        "SELECT ?model { GRAPH <urn:tinyfleet:graph:index> { ?device tf:profile ?profile } "
        "GRAPH <urn:tinyfleet:graph:fits> { ?profile tf:fits ?model } }",
        {"device": URIRef(iri(number))},
    ).rows
    return {str(row[0]) for row in rows}


def waiting(graph: FleetGraph) -> dict[str, int]:
    """Return the turns of all devices that wait."""
    rows = graph.select("SELECT ?device ?turn { GRAPH ?profile { ?device tf:turn ?turn } }").rows
    return {str(device): int(str(turn)) for device, turn in rows}
