"""A device's description, read: its triples, what the device offers, and whom it is behind."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rdflib import Graph, URIRef

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.profile import Profile, profile_of
from tinyfleet.ontology.shapes import check as check_shapes
from tinyfleet.ontology.shapes import check_thing
from tinyfleet.ontology.statements import triples_text
from tinyfleet.ontology.things_rdf import thing_graph
from tinyfleet.ontology.vocabulary import HCTL, TF

RESERVED = tuple(f"urn:tinyfleet:{kind}:" for kind in ("graph", "profile", "model", "run"))
"""What the IRI of a device never begins with: these name graphs of their own."""

_TOPIC = re.compile(r"/tinyfleet/1/(?P<fleet>[\w.-]{1,64})/(?P<gateway>[\w.-]{1,64})/")


@dataclass(frozen=True)
class Entry:
    """A device's description, ready to be written.

    Attributes:
        device: its IRI.
        source: the description as it came.
        statements: its triples as text.
        profile: what it offers; None where it describes no microcontroller.
        gateway: IRI of the gateway that it is behind; None where it names none.
    """

    device: str
    source: str = field(repr=False)
    statements: tuple[str, ...] = field(repr=False)
    profile: Profile | None
    gateway: str | None


def read_entry(thing: Mapping[str, Any], source: str | None, *, check: bool) -> Entry:
    """Read a Thing Description.

    Raises:
        DescriptionError: it breaks a shape, or its id is none that a device may have.
    """
    if check:
        check_thing(thing)
    if "id" not in thing:
        raise DescriptionError("id: expected an IRI that names the device, got none")
    graph = thing_graph(thing)
    device = str(thing["id"])
    if device.startswith(RESERVED):
        raise DescriptionError(f"id: expected an IRI that names a device, got {device!r:.120}")
    if check:
        check_shapes(graph)
    text = json.dumps(thing, ensure_ascii=False) if source is None else source
    statements = tuple(triples_text(graph))
    return Entry(device, text, statements, profile_of(graph, device), gateway_of(graph, device))


def gateway_of(graph: Graph, device: str) -> str | None:
    """Return the gateway that a description names, or that its topics go through."""
    named = graph.value(URIRef(device), TF.gateway)
    if isinstance(named, URIRef):
        return str(named)
    for target in graph.objects(None, HCTL.hasTarget):
        if found := _TOPIC.search(str(target)):
            return f"urn:tinyfleet:{found['fleet']}:gateway:{found['gateway']}"
    return None
