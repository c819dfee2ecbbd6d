"""A graph behind a SPARQL 1.1 endpoint answers as one in this process does."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from directories import served
from directories import thing as plain_thing
from graph_things import MODEL, counts, fitting, iri, model, quads, thing, waiting
from needed import go_without

from tinyfleet.errors import QueryError
from tinyfleet.ontology.evaluate import Question
from tinyfleet.ontology.graph import FleetGraph, Status


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of Oxigraph's own server."""
    program = Path(sys.executable).with_name("oxigraph")
    if not program.is_file():
        go_without("Oxigraph's server: pip install oxigraph")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    server = subprocess.Popen(
        [program, "serve", "--location", tmp_path / "remote", "--bind", place],
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(place)
        yield f"http://{place}"
    finally:
        server.terminate()
        server.wait(10)


def _wait(place: str) -> None:
    host, _, port = place.partition(":")
    ends = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
        else:
            return


def fill(graph: FleetGraph) -> None:
    graph.add_model(model())
    graph.register(thing(1))
    graph.register(thing(2, ram=7))
    graph.register(thing(1, gateway="gw-2"))
    graph.set_status([Status(iri(1), True, datetime(2026, 5, 4, tzinfo=UTC))])


def test_it_holds_what_a_graph_in_memory_holds(address: str) -> None:
    with FleetGraph.open(address) as remote, FleetGraph.open() as memory:
        fill(remote)
        fill(memory)
        assert quads(remote) == quads(memory)
        assert counts(remote) == counts(memory) == {"devices": 2, "onlineDevices": 1, "models": 1}
        assert waiting(remote) == waiting(memory)
        assert fitting(remote, 1) == {MODEL}
        assert remote.thing(iri(1)) == memory.thing(iri(1))
        assert remote.retire(iri(1))
        assert remote.remove_model(MODEL)
        assert counts(remote) == {"devices": 1}


def test_questions_of_others_are_answered_and_cut(address: str) -> None:
    with FleetGraph.open(address) as graph:
        fill(graph)
        text = "SELECT ?d { GRAPH <urn:tinyfleet:graph:index> { ?d tf:profile ?p } }"
        answer = graph.answer(Question(text, results="text/csv", limit=1))
        assert answer.more
        assert answer.body.count(b"urn:tinyfleet:lab") == 1
        assert b"true" in graph.answer(Question("ASK {}")).body
        about = f"CONSTRUCT {{ ?s ?p ?o }} {{ GRAPH <{iri(1)}> {{ ?s ?p ?o }} }}"
        triples = graph.answer(Question(about))
        assert triples.kind == "construct"
        assert b"lab 1" in triples.body


def test_what_is_there_is_exported(address: str, tmp_path: Path) -> None:
    with FleetGraph.open(address) as graph:
        fill(graph)
        assert graph.export(tmp_path / "all.nq") == quads(graph)


def test_it_is_read_only_when_opened_so(address: str) -> None:
    with FleetGraph.open(address, read_only=True) as graph:
        with pytest.raises(QueryError, match="read only"):
            graph.register(thing(1))
        assert quads(graph) == 0


def test_what_the_endpoint_refuses_is_one_line(address: str) -> None:
    with FleetGraph.open(address) as graph:
        for ask in (graph.query, graph.record):
            with pytest.raises(QueryError) as refused:
                ask("SELECT * {")
            assert "\n" not in str(refused.value)


def test_a_directory_is_asked_at_its_sparql_address(tmp_path: Path) -> None:
    with FleetGraph.open(tmp_path / "fleet") as graph:
        graph.register(plain_thing())
        held = quads(graph)
    with served(tmp_path / "fleet") as (address, _):
        with FleetGraph.open(f"{address}/sparql", read_only=True) as graph:
            found = graph.select("SELECT ?title { ?device td:title ?title }")
            assert [str(title) for (title,) in found.rows] == ["thing 1"]
            assert graph.export(tmp_path / "all.nq") == held
        with (
            FleetGraph.open(address, read_only=True) as graph,
            pytest.raises(QueryError, match=f"of a directory, give {address}/sparql$"),
        ):
            graph.thing("urn:example:1")


def test_no_endpoint_is_told_in_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        with (
            FleetGraph.open(address) as graph,
            pytest.raises(QueryError, match="endpoint, got none"),
        ):
            graph.thing(iri(1))
