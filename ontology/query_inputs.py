"""What a query is asked of and with: a text, a graph, and terms as people type them."""

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rdflib import XSD, Graph, Literal, URIRef

from tinyfleet.errors import QueryError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.guard import LONGEST_UPDATE
from tinyfleet.ontology.match_files import fill, known_boards, models_in, things_in
from tinyfleet.ontology.matching import names, titles
from tinyfleet.ontology.offered import offered
from tinyfleet.ontology.queries import Term, named_queries
from tinyfleet.ontology.registration import fit, load
from tinyfleet.ontology.statements import triples_text
from tinyfleet.ontology.vocabulary import PREFIXES

_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|^`\\]+")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_NUMBERS: Final = (
    (re.compile(r"[+-]?\d+"), XSD.integer),
    (re.compile(r"[+-]?\d*\.\d+"), XSD.decimal),
    (re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+"), XSD.double),
    (re.compile(r"true|false"), XSD.boolean),
    (_MOMENT, XSD.dateTime),
)
_NAMED: Final[Mapping[str, Callable[[FleetGraph], Mapping[str, str]]]] = {
    "device": titles,
    "model": names,
}
"""Parameters whose terms may be given by name, and what knows the names."""


def read_query(name: str) -> str:
    """Return the text of the question `name`, of the file at that path, or of stdin for `-`.

    Raises:
        QueryError: there is none, or it cannot be read.
    """
    known = named_queries()
    if name in known:
        return known[name].text
    path = Path(name)
    if name != "-" and path.suffix == "" and not path.is_file():
        close = ", ".join(difflib.get_close_matches(name, known, n=3)) or "tinyfleet query --list"
        raise QueryError(f"{name}: expected a question or a .rq file, got neither; try {close}")
    try:
        if name != "-" and path.stat().st_size > 4 * LONGEST_UPDATE:
            raise QueryError(f"{name}: expected at most {4 * LONGEST_UPDATE:,} bytes, got more")
        data = sys.stdin.buffer.read(4 * LONGEST_UPDATE) if name == "-" else path.read_bytes()
        return data.decode()
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())
        raise QueryError(f"{name}: expected a query that can be read, got {line}") from None


@dataclass(frozen=True)
class Files:
    """What is asked where there is no fleet's graph.

    Attributes:
        things: a file or a folder of descriptions of devices.
        models: a file or a folder of models, or of their descriptions.
        boards: whether the boards of this installation are devices, too.
    """

    things: Path | None = None
    models: Path | None = None
    boards: bool = False


def read_files(files: Files) -> FleetGraph:
    """Return a graph in memory of what files describe, with all that the questions ask.

    The descriptions as they are lie in the default graph, for queries without GRAPH.

    Raises:
        DescriptionError: a file cannot be read, or describes nothing.
    """
    devices = things_in(files.things) if files.things else Graph()
    if files.boards:
        devices += known_boards()
    networks = models_in(files.models) if files.models else Graph()
    graph = FleetGraph.open()
    fill(graph, devices, networks)
    for described in (devices, networks):
        graph.record(f"INSERT DATA {{ {' . '.join(triples_text(described))} }}")
    rows = graph.select(named_queries()["match-devices"].text, limit=sys.maxsize).rows
    if kinds := {str(profile): str(device) for device, profile in rows}:
        graph.record(fit(kinds.items()))
    graph.record(load("count"))
    return graph


def read_bindings(given: Iterable[str], graph: FleetGraph) -> dict[str, list[Term]]:
    """Return the terms that `NAME=VALUE` texts bind; a name given twice has two alternatives.

    A device or a model may be given by its title or name, if one alone has it.

    Raises:
        QueryError: a text is no binding, or a name means none or several.
    """
    bound: dict[str, list[Term]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip().lstrip("?$")
        if not equals or not name:
            raise QueryError(f"--bind {text}: expected NAME=VALUE, got no =; try device=urn:...")
        term = read_term(value)
        if name in _NAMED and isinstance(term, Literal):
            term = _called(name, str(term), _NAMED[name](graph))
        bound.setdefault(name, []).append(term)
    return bound


def read_term(text: str) -> Term:
    """Return the term that `text` means: an IRI, a prefixed name, a number, a moment, or a string.

    Whatever stands in double quotes is a string.

    >>> read_term("tf:Running")
    rdflib.term.URIRef('https://w3id.org/tinyfleet/ontology#Running')
    >>> [read_term(text).n3()[:5] for text in ("lab", "<urn:a>", "urn:a", '"12"')]
    ['"lab"', '<urn:', '<urn:', '"12"']
    >>> read_term("65536").datatype
    rdflib.term.URIRef('http://www.w3.org/2001/XMLSchema#integer')
    """
    if len(text) > 1 and text[0] == text[-1] == '"':
        return Literal(text[1:-1])
    if len(text) > 1 and text[0] == "<" and text[-1] == ">":
        return URIRef(text[1:-1])
    for pattern, datatype in _NUMBERS:
        if pattern.fullmatch(text):
            return Literal(text, datatype=datatype)
    if _IRI.fullmatch(text):
        prefix, _, local = text.partition(":")
        return URIRef(PREFIXES[prefix] + local if prefix in PREFIXES else text)
    return Literal(text)


def _called(kind: str, name: str, known: Mapping[str, str]) -> URIRef:
    found = sorted(iri for iri, called in known.items() if called == name)
    if len(found) != 1:
        some = offered(name, known.values())
        got = f"{len(found)} of that name; give the IRI of one" if found else "no such"
        raise QueryError(
            f"--bind {kind}={name}: expected the IRI or the name of a {kind} ({some}), got {got}"
        )
    return URIRef(found[0])
