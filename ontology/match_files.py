"""A graph in memory of devices and models that lie in files, whoever wrote them.

A description that breaks a shape is read as far as it says what matching asks: boards that others
published shall be matched too.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rdflib import RDF, BNode, Graph, Literal, URIRef
from rdflib.term import Node

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.boards import boards
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.matching import facts
from tinyfleet.ontology.meta import read_meta
from tinyfleet.ontology.profile import needs_of, profile_of
from tinyfleet.ontology.statements import block, triples_text
from tinyfleet.ontology.things import board_iri, board_thing
from tinyfleet.ontology.things_rdf import read_json, thing_graph
from tinyfleet.ontology.transfer import base_of
from tinyfleet.ontology.vocabulary import INDEX, NNET, S3N, SCHEMA, TD, TF

THINGS = (".ttl", ".jsonld", ".json")
MODELS = (".ttl", ".tflite")
MAXIMUM_BYTES = 64 << 20

Triples = Iterable[tuple[Node, Node, Node]]
Watch = Callable[[Sequence[Path]], Iterable[Path]]
"""Passes files on one by one, and may show how far it has come."""


def things_in(place: Path) -> Graph:
    """Read the devices that a file or a folder's files describe.

    Args:
        place: a `.ttl` file, a `.jsonld` or `.json` file of one Thing Description, or a folder.

    Raises:
        DescriptionError: a file cannot be read, or none describes a device that has an IRI.
    """
    graph = _all(_thing(path) for path in _files(place, THINGS))
    if not _devices(graph):
        raise DescriptionError(f"{place}: expected a description of a device, got none")
    return graph


def known_boards() -> Graph:
    """Return the boards that this installation knows, as devices."""
    graph = Graph()
    for board in boards().values():
        graph += thing_graph(board_thing(board, board_iri(board)))
    return graph


def models_in(place: Path, watch: Watch = iter) -> Graph:
    """Read the models that a file or a folder's files hold or describe.

    Args:
        place: a `.ttl` file, a `.tflite` file with what `tinyfleet describe --meta` takes beside
            it as `.toml`, or a folder.
        watch: is given the files to read.

    Raises:
        DescriptionError: a file cannot be read, or none describes a model that has an IRI.
    """
    graph = _all(_model(path) for path in watch(_files(place, MODELS)))
    if not _models(graph):
        raise DescriptionError(f"{place}: expected a model or its description, got none")
    return graph


def fill(graph: FleetGraph, things: Graph | None, models: Graph | None) -> None:
    """Write what matching asks of devices and models into a graph.

    Raises:
        DescriptionError: a device has no microcontroller, or a figure is none.
    """
    blocks = []
    for device in _devices(things) if things is not None else ():
        blocks += _device_blocks(things or Graph(), device)
    for model in _models(models) if models is not None else ():
        blocks += _model_blocks(models or Graph(), model)
    graph.record(f"INSERT DATA {{ {' '.join(blocks)} }}")


def borrow(fleet: FleetGraph, graph: FleetGraph, *, devices: bool) -> None:
    """Copy what matching asks from the fleet's graph: of its devices, or else of its models."""
    blocks = []
    for subject, predicate, value in facts(fleet, devices=devices):
        named = predicate in (TD.title, SCHEMA.name)
        place = str(subject if named else INDEX)
        blocks.append(block(place, triples_text([(subject, predicate, value)])))
    graph.record(f"INSERT DATA {{ {' '.join(blocks)} }}")


def _device_blocks(things: Graph, device: str) -> list[str]:
    own = URIRef(device)
    profile = profile_of(things, device)
    if profile is None:
        raise DescriptionError(f"{device}: expected a microcontroller (s3n), got none")
    index: Triples = [(own, TF.profile, URIRef(profile.iri)), *profile.triples()]
    named = [(own, TD.title, Literal(str(title))) for title in things.objects(own, TD.title)]
    return [block(str(INDEX), triples_text(index)), block(device, triples_text(named[:1]))]


def _model_blocks(models: Graph, model: str) -> list[str]:
    own = URIRef(model)
    index = needs_of(models, model).triples()
    named = [(own, SCHEMA.name, Literal(str(name))) for name in models.objects(own, SCHEMA.name)]
    return [block(str(INDEX), triples_text(index)), block(model, triples_text(named[:1]))]


def _devices(graph: Graph) -> list[str]:
    kinds = (S3N.SmartSensor, TD.Thing)
    return _named("device", (own for kind in kinds for own in graph.subjects(RDF.type, kind)))


def _models(graph: Graph) -> list[str]:
    return _named("model", graph.subjects(RDF.type, NNET.NeuralNetwork))


def _named(kind: str, found: Iterable[Node]) -> list[str]:
    """Return IRIs, ascending, each once."""
    named = set(found)
    if any(isinstance(own, BNode) for own in named):
        raise DescriptionError(f"{kind}: expected an IRI of its own, got a blank node; give it one")
    return sorted(map(str, named))


def _files(place: Path, endings: tuple[str, ...]) -> list[Path]:
    if place.is_file():
        return [place]
    found = sorted(path for path in place.glob("*") if path.suffix in endings and path.is_file())
    if not found:
        expected = ", ".join(endings)
        raise DescriptionError(f"{place}: expected a file or a folder with {expected}, got none")
    return found


def _all(graphs: Iterator[Graph]) -> Graph:
    """Return all graphs in one; a label of a blank node is only its own graph's."""
    whole = Graph()
    for graph in graphs:
        fresh: dict[Node, BNode] = defaultdict(BNode)
        for triple in graph:
            s, p, o = (fresh[term] if isinstance(term, BNode) else term for term in triple)
            whole.add((s, p, o))
    return whole


def _thing(path: Path) -> Graph:
    return _turtle(path) if path.suffix == ".ttl" else _described(path)


def _described(path: Path) -> Graph:
    try:
        return thing_graph(read_json(_read(path)))
    except DescriptionError as error:
        raise DescriptionError(f"{path}: {error}") from None


def _model(path: Path) -> Graph:
    if path.suffix == ".ttl":
        return _turtle(path)
    from tinyfleet.ontology.describe import read_model  # its parser, for .tflite files alone

    meta = path.with_suffix(".toml")
    return read_model(path).to_graph(read_meta(meta) if meta.is_file() else None)


def _turtle(path: Path) -> Graph:
    graph = Graph()
    try:
        graph.parse(data=_read(path), format="ox-turtle", publicID=base_of(path))
    except (SyntaxError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise DescriptionError(f"{path}: expected Turtle, got {line}") from None
    return graph


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise DescriptionError(f"{path}: expected at most {MAXIMUM_BYTES:,} B, got more")
        return path.read_bytes()
    except OSError as error:
        raise DescriptionError(f"{path}: expected a file to read, got {error.strerror}") from None
