"""A graph's way into a file and out of one: Turtle, TriG, N-Quads, JSON-LD."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyoxigraph as ox
from rdflib import RDF

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.contexts import inlined
from tinyfleet.ontology.store import Store
from tinyfleet.ontology.things_rdf import read_json
from tinyfleet.ontology.vocabulary import FITS, INDEX, NNET, PREFIXES, S3N, SUMMARY, TD

MOST_BYTES: Final = 2 * 2**30
"""Bytes of a file that is imported, at most."""

FORMATS: Final = {
    ".ttl": ox.RdfFormat.TURTLE,
    ".trig": ox.RdfFormat.TRIG,
    ".nq": ox.RdfFormat.N_QUADS,
    ".jsonld": ox.RdfFormat.JSON_LD,
}
"""What can be read and written, by the end of a file's name."""

DERIVED: Final = frozenset(map(str, (INDEX, FITS, SUMMARY)))
"""Graphs that are made anew from the others."""

_TYPE = ox.NamedNode(str(RDF.type))
_DESCRIBED = {str(TD.Thing), str(S3N.SmartSensor), str(NNET.NeuralNetwork)}


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


def read_quads(path: Path, base: str | None = None) -> list[ox.Quad]:
    """Read a whole file, before anything of it is used; nothing is fetched.

    Args:
        path: the file.
        base: what relative IRIs in it are relative to.

    Raises:
        DescriptionError: it cannot be read, is too large, or is not in its format.
    """
    form = format_of(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DescriptionError(f"{path}: expected at most {MOST_BYTES:,} B, got more")
        data = path.read_bytes()
    except OSError as error:
        raise DescriptionError(f"{path}: expected a file, got {error.strerror}") from None
    try:
        if form == ox.RdfFormat.JSON_LD:
            data = json.dumps(inlined(_document(data))).encode()
        return list(ox.parse(data, format=form, base_iri=base, rename_blank_nodes=True))
    except DescriptionError as error:
        raise DescriptionError(f"{path}: {error}") from None
    except (SyntaxError, ValueError) as error:
        told = " ".join(str(error).split())[:300]
        raise DescriptionError(f"{path}: expected {form.name}, got {told}") from None


def _document(data: bytes) -> dict[str, Any]:
    """Return JSON-LD as one object; an array becomes its graph."""
    if data.lstrip()[:1] == b"[":
        return read_json(b'{"@graph": ' + data + b"}", limit=MOST_BYTES)
    return read_json(data, limit=MOST_BYTES)


def placed(quads: Iterable[ox.Quad]) -> dict[str, list[ox.Quad]]:
    """Return statements by the graph that each belongs to; derived graphs are left out.

    What a file says outside of any graph goes to the graphs of the devices and models that it
    describes: each with all that can be reached from it without passing another. What none
    reaches stays in the default graph, "".
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
    for top in tops:
        own = _reach(top, loose, set(tops))
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


def _reach(top: Any, loose: dict[Any, list[ox.Quad]], tops: set[Any]) -> set[Any]:
    found, waiting = {top}, [top]
    while waiting:
        for quad in loose.get(waiting.pop(), ()):
            if quad.object in loose and quad.object not in tops and quad.object not in found:
                found.add(quad.object)
                waiting.append(quad.object)
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
