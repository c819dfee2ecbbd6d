"""A graph's way into a file and out of one: Turtle, TriG, N-Quads, JSON-LD."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyoxigraph as ox
from rdflib import RDF

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.contexts import TD_1_0, TD_1_1, inlined
from tinyfleet.ontology.entry import read_entry
from tinyfleet.ontology.reindex import reindexed
from tinyfleet.ontology.store import Local, Store
from tinyfleet.ontology.things_rdf import check_iri, read_json
from tinyfleet.ontology.vocabulary import (
    FITS,
    INDEX,
    NNET,
    PREFIXES,
    S3N,
    SSN_EXTEND,
    SUMMARY,
    TD,
)

BASE: Final = "https://w3id.org/tinyfleet/file/"
"""What a relative IRI in a file is relative to, with the file's name behind it."""

MOST_BYTES: Final = 2 * 2**30
"""Bytes of a file that is imported, at most."""

FORMATS: Final = {
    ".ttl": ox.RdfFormat.TURTLE,
    ".trig": ox.RdfFormat.TRIG,
    ".nq": ox.RdfFormat.N_QUADS,
    ".jsonld": ox.RdfFormat.JSON_LD,
    ".json": ox.RdfFormat.JSON_LD,
}
"""What can be read and written, by the end of a file's name."""

DERIVED: Final = frozenset(map(str, (INDEX, FITS, SUMMARY)))
"""Graphs that are made anew from the others."""

_TYPE = ox.NamedNode(str(RDF.type))
_PROVIDES = ox.NamedNode(str(SSN_EXTEND.provideInput))
_DESCRIBED = {str(TD.Thing), str(S3N.SmartSensor), str(NNET.NeuralNetwork)}

Described = tuple[Mapping[str, Any], str]
"""A Thing Description, and its text as it came."""


@dataclass(frozen=True)
class Taken:
    """What files say, ready to be written.

    Attributes:
        graphs: statements by graph, see `placed`.
        things: Thing Descriptions that passed the schema and the shapes.
    """

    graphs: dict[str, list[ox.Quad]]
    things: list[Described]

    @property
    def loose(self) -> int:
        """How many statements belong to no device and no model."""
        return len(self.graphs.get("", ()))


def base_of(path: Path) -> str:
    """Return what relative IRIs in a file are relative to when nobody says it."""
    return f"{BASE}{quote(os.fsencode(path.name))}/"


def format_of(path: Path) -> ox.RdfFormat:
    """Return the format that a file's name says.

    Raises:
        DescriptionError: it is none of `FORMATS`.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise DescriptionError(
            f"{path}: expected a name that ends with {', '.join(FORMATS)}, got {path.name!r:.80}"
        )
    return form


def read(
    paths: Sequence[Path], base: str | None = None, watch: Callable[[Path], object] = str
) -> Taken:
    """Read whole files, before anything of them is used; nothing is fetched.

    Args:
        paths: the files; what several say of one device or model is taken together.
        base: what relative IRIs in them are relative to; None for `base_of` each.
        watch: is told each file before it is read.

    Raises:
        DescriptionError: one cannot be read, is too large, is not in its format, or describes a
            device or a model with a figure that is none.
    """
    if base is not None:
        check_iri(base, "--base")
    quads: list[ox.Quad] = []
    things: list[Described] = []
    for path in paths:
        watch(path)
        try:
            of_graph, described = _read(path, base)
            things += described
            _check(placed(of_graph))
        except DescriptionError as error:
            told = str(error).removeprefix(f"{path}: ")
            none = "" if len(paths) == 1 else f"; none of the {len(paths)} files was taken in"
            raise DescriptionError(f"{path}: {told}{none}") from None
        quads += of_graph
    return Taken(placed(quads), things)


def _read(path: Path, base: str | None) -> tuple[list[ox.Quad], list[Described]]:
    """Read a file of RDF, or of Thing Descriptions."""
    form = format_of(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DescriptionError(f"expected at most {MOST_BYTES:,} B, got more")
        data = path.read_bytes()
    except OSError as error:
        raise DescriptionError(f"expected a file, got {error.strerror}") from None
    if form == ox.RdfFormat.JSON_LD:
        document = _document(data)
        if things := _things(document, data):
            return [], things
        data = json.dumps(inlined(document)).encode()
    try:
        place = base_of(path) if base is None else base
        return list(ox.parse(data, format=form, base_iri=place, rename_blank_nodes=True)), []
    except (SyntaxError, ValueError) as error:
        told = " ".join(str(error).split())[:300]
        raise DescriptionError(f"expected {form.name}, got {told}") from None


def _document(data: bytes) -> dict[str, Any]:
    """Return JSON-LD as one object; an array becomes its graph."""
    if data.lstrip()[:1] == b"[":
        return read_json(b'{"@graph": ' + data + b"}", limit=MOST_BYTES)
    return read_json(data, limit=MOST_BYTES)


def _things(document: dict[str, Any], data: bytes) -> list[Described]:
    """Return the Thing Descriptions that a document is, or is an array of; none for other RDF.

    Raises:
        DescriptionError: one breaks a shape, or names no device.
    """
    found: list[Described]
    if _is_thing(document):
        found = [(document, data.decode())]
    else:
        listed = document.get("@graph") if document.keys() == {"@graph"} else None
        if not isinstance(listed, list) or not listed or not all(map(_is_thing, listed)):
            return []
        found = [(one, json.dumps(one, ensure_ascii=False)) for one in listed]
    for thing, source in found:
        read_entry(thing, source, check=True)
    return found


def _is_thing(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    context = document.get("@context")
    names = context if isinstance(context, list) else [context]
    return TD_1_0 in names or TD_1_1 in names


def _check(graphs: Mapping[str, Sequence[ox.Quad]]) -> None:
    """Refuse figures that are none, which would leave the graph without an index."""
    alone = ox.Store()
    for name, quads in graphs.items():
        if name.startswith("<"):
            graph = ox.NamedNode(name[1:-1])
            alone.extend(ox.Quad(q.subject, q.predicate, q.object, graph) for q in quads)
    reindexed(Local(alone, None))


def placed(quads: Iterable[ox.Quad]) -> dict[str, list[ox.Quad]]:
    """Return statements by the graph that each belongs to; derived graphs are left out.

    What a file says outside of any graph goes to the graphs of the devices and models that it
    describes: each with all that can be reached from it without passing another, and with the
    sensors that provide what is reached. What none reaches stays in the default graph, "".
    """
    graphs: dict[str, list[ox.Quad]] = defaultdict(list)
    loose: dict[Any, list[ox.Quad]] = defaultdict(list)
    for quad in quads:
        if isinstance(quad.graph_name, ox.DefaultGraph):
            loose[quad.subject].append(quad)
        elif quad.graph_name.value not in DERIVED:
            graphs[str(quad.graph_name)].append(quad)
    tops = [subject for subject, about in loose.items() if _described(subject, about)]
    reached: set[Any] = set()
    providers: dict[Any, list[Any]] = defaultdict(list)
    for subject, about in loose.items():
        for quad in about:
            if quad.predicate == _PROVIDES:
                providers[quad.object].append(subject)
    for top in tops:
        own = _reach(top, loose, providers, set(tops))
        reached |= own
        for subject in own:
            graphs[str(top)] += loose[subject]
    graphs[""] += [quad for subject in loose if subject not in reached for quad in loose[subject]]
    return {graph: found for graph, found in graphs.items() if found}


def _described(subject: Any, about: Sequence[ox.Quad]) -> bool:
    return isinstance(subject, ox.NamedNode) and any(
        quad.predicate == _TYPE
        and isinstance(quad.object, ox.NamedNode)
        and quad.object.value in _DESCRIBED
        for quad in about
    )


def _reach(
    top: Any,
    loose: Mapping[Any, Sequence[ox.Quad]],
    providers: Mapping[Any, Sequence[Any]],
    tops: set[Any],
) -> set[Any]:
    """Return what is described and can be reached; sensors point at the input they provide."""
    found, waiting = {top}, [top]
    while waiting:
        node = waiting.pop()
        objects = [quad.object for quad in loose.get(node, ())]
        for reached in objects:
            new = [one for one in (reached, *providers.get(reached, ())) if one not in found]
            for one in new:
                if one in loose and one not in tops:
                    found.add(one)
                    waiting.append(one)
    return found


def inserted(graphs: dict[str, list[ox.Quad]]) -> str:
    """Return the update that writes graphs over those of the same names."""
    drops = [f"DROP SILENT GRAPH {graph} ;" for graph in graphs if graph]
    blocks = []
    for graph, quads in graphs.items():
        lines = " .\n".join(f"{q.subject} {q.predicate} {q.object}" for q in quads)
        blocks.append(f"GRAPH {graph} {{ {lines} }}" if graph else lines)
    return f"{' '.join(drops)} INSERT DATA {{ {' '.join(blocks)} }}"


def export(store: Store, path: Path) -> int:
    """Write all graphs to a file, whole or not at all; return how many statements.

    Raises:
        DescriptionError: the file's name says no format, or it cannot be written.
    """
    form = format_of(path)
    part = path.with_name(f".{path.name}.part")
    count = 0

    def counted() -> Iterator[ox.Quad]:
        nonlocal count
        for quad in store.quads():
            count += 1
            yield quad

    statements: Any = counted()
    if not form.supports_datasets:
        statements = sorted({quad.triple for quad in statements}, key=str)
    try:
        ox.serialize(statements, str(part), format=form, prefixes=dict(PREFIXES))
        part.replace(path)
    except OSError as error:
        raise DescriptionError(f"{path}: expected to write, got {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return count
