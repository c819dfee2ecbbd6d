"""A device that RDF alone describes, such as a published board, as the Thing that JSON would give.

It holds what a project is made of and no more: the title, the parts, and the properties' numbers.
RDF keeps no order, so that properties and parts come by their names.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from rdflib import RDF, RDFS, SSN, Graph, Literal, URIRef
from rdflib.term import Node

from tinyfleet.ontology.vocabulary import JSONSCHEMA, S3N, SCHEMA, TD

_KINDS: Final[Mapping[str, str]] = {
    str(JSONSCHEMA[f"{kind.capitalize()}Schema"]): kind
    for kind in ("array", "boolean", "integer", "null", "number", "object", "string")
}
_FIGURES: Final = ("minimum", "maximum", "minItems", "maxItems", "writeOnly", "const", "enum")
_NAMES: Final = (TD.name, JSONSCHEMA.propertyName, TD.title, TD.description)


def devices_in(graph: Graph) -> dict[str, str]:
    """Return what the devices of a graph are called, by IRI; their IRIs if nothing."""
    kinds = (S3N.SmartSensor, TD.Thing)
    found = {own for kind in kinds for own in graph.subjects(RDF.type, kind)}
    named = sorted(own for own in found if isinstance(own, URIRef))
    return {str(own): _text(graph, own, TD.title) or str(own) for own in named}


def part_of(graph: Graph, device: str) -> Graph:
    """Return what `graph` says of a device and of all that it leads to, other devices left out."""
    found, waiting = Graph(bind_namespaces="none"), list[Node]([URIRef(device)])
    seen: set[Node] = {*waiting, *map(URIRef, devices_in(graph))}
    while waiting:
        for triple in graph.triples((waiting.pop(), None, None)):
            found.add(triple)
            value = triple[2]
            if not isinstance(value, Literal) and value not in seen:
                seen.add(value)
                waiting.append(value)
    return found


def thing_from(graph: Graph, device: str) -> dict[str, Any]:
    """Return as much of a device's Thing Description as a project is made of.

    Published boards state schemas in the namespace td, as texts; Thing Descriptions in that of JSON
    Schema, as classes: both are read.
    """
    own = URIRef(device)
    parts = [
        {"@type": _kinds(graph, part), "schema:name": _text(graph, part, SCHEMA.name)}
        for part in _parts(graph, own)
    ]
    return {
        "id": device,
        "title": _text(graph, own, TD.title) or device,
        "ssn:hasSubSystem": sorted(parts, key=lambda part: (part["@type"], part["schema:name"])),
        "properties": _named(graph, graph.objects(own, TD.hasPropertyAffordance)),
    }


def board_in(graph: Graph, device: str) -> str:
    """Return what a device's microcontroller is called, or says of itself; "" where it does not."""
    parts = _parts(graph, URIRef(device))
    controllers = [part for part in parts if (part, RDF.type, S3N.MicroController) in graph]
    told = [_text(graph, part, SCHEMA.name, RDFS.comment) for part in controllers]
    return min(filter(None, told), default="").rstrip(". ")


def _parts(graph: Graph, own: URIRef) -> list[Node]:
    """Return a device's subsystems, and theirs, each once."""
    found = set(graph.transitive_objects(own, SSN.hasSubSystem))
    return [part for part in found if part is not None and part != own]


def _named(graph: Graph, nodes: Iterator[Node], *, inside: bool = False) -> dict[str, Any]:
    """Return schemas by their names; a name that comes again is numbered."""
    found = [(_text(graph, node, *_NAMES), _schema(graph, node, inside=inside)) for node in nodes]
    schemas: dict[str, Any] = {}
    for name, schema in sorted(found, key=str):
        place, times = name, 1
        while place in schemas:
            times += 1
            place = f"{name} {times}"
        if name:
            schemas[place] = schema
    return schemas


def _schema(graph: Graph, node: Node, *, inside: bool) -> dict[str, Any]:
    """Return a property's schema, with those of its parts unless it is one itself."""
    kinds = _kinds(graph, node)
    stated = next((_KINDS[kind] for kind in kinds if kind in _KINDS), "")
    schema: dict[str, Any] = {
        "@type": [kind for kind in kinds if kind not in _KINDS],
        "type": stated or _text(graph, node, JSONSCHEMA.type, TD.type),
        "title": _text(graph, node, TD.title),
    }
    if unit := _text(graph, node, SCHEMA.unitCode, TD.unit):
        schema["unit"] = unit
    for figure in _FIGURES:
        for namespace in (TD, JSONSCHEMA):
            for value in graph.objects(node, namespace[figure]):
                schema[figure] = _figure(value)
    if not inside:
        schema["properties"] = _named(
            graph, graph.objects(node, JSONSCHEMA.properties), inside=True
        )
        for items in graph.objects(node, JSONSCHEMA["items"]):
            schema["items"] = _schema(graph, items, inside=True)
    return schema


def _figure(value: Node) -> Any:
    known = value.toPython() if isinstance(value, Literal) else str(value)
    return float(known) if isinstance(known, Decimal) else known


def _kinds(graph: Graph, node: Node) -> list[str]:
    return sorted(map(str, graph.objects(node, RDF.type)))


def _text(graph: Graph, node: Node, *terms: URIRef) -> str:
    """Return the text of the first of `terms` that has any; of several the lowest."""
    for term in terms:
        if texts := sorted(map(str, graph.objects(node, term))):
            return texts[0]
    return ""
