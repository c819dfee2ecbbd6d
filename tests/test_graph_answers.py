"""What others ask is answered within limits, or refused in one line; nothing of it stays behind."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from graph_things import iri, thing
from rdflib import URIRef

from tinyfleet.errors import QueryError
from tinyfleet.ontology.evaluate import Question
from tinyfleet.ontology.graph import FleetGraph

SOURCES = "SELECT ?d { GRAPH <urn:tinyfleet:graph:sources> { ?d tf:source ?s } } ORDER BY ?d"
EVERYTHING = """SELECT (COUNT(*) AS ?n) { GRAPH ?g { ?a ?b ?c . ?a ?d ?e . ?a ?f ?g1 .
    ?h ?b ?i . ?h ?j ?k . ?h ?l ?m . ?o ?b ?p . ?o ?q ?r . ?o ?t ?u } }"""


@pytest.fixture(params=["memory", "disk"])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FleetGraph]:
    place = None if request.param == "memory" else tmp_path / "fleet"
    with FleetGraph.open(place) as opened:
        for number in range(3):
            opened.register(thing(number), check=False)
        yield opened


def found(graph: FleetGraph, question: Question) -> list[str]:
    told = json.loads(graph.answer(question).body)
    return [row["d"]["value"] for row in told["results"]["bindings"]]


def test_what_was_written_is_seen_by_the_next_question(graph: FleetGraph) -> None:
    assert found(graph, Question(SOURCES)) == [iri(0), iri(1), iri(2)]
    graph.register(thing(3), check=False)
    graph.retire(iri(0))
    assert found(graph, Question(SOURCES)) == [iri(1), iri(2), iri(3)]


def test_an_answer_is_cut_at_the_limit_and_says_so(graph: FleetGraph) -> None:
    for results in (
        "application/sparql-results+json",
        "text/csv",
        "application/sparql-results+xml",
    ):
        answer = graph.answer(Question(SOURCES, results=results, limit=2))
        assert answer.more
        assert answer.media_type == results
        assert answer.body.count(b"urn:tinyfleet:lab:") == 2
    assert not graph.answer(Question(SOURCES, limit=3)).more


def test_triples_come_in_the_format_asked_for(graph: FleetGraph) -> None:
    question = Question(f"DESCRIBE <{iri(1)}>", triples="application/n-triples", union=True)
    answer = graph.answer(question)
    assert answer.kind == "construct"
    assert all(line.startswith((b"<", b"_:")) for line in answer.body.splitlines())


def test_only_the_graphs_that_are_named_are_seen(graph: FleetGraph) -> None:
    text = "SELECT (COUNT(*) AS ?d) { ?s ?p ?o }"
    assert found(graph, Question(text)) == ["0"]
    assert found(graph, Question(text, default_graphs=(iri(1),))) != ["0"]
    assert found(graph, Question(text, default_graphs=("urn:none",))) == ["0"]


def test_terms_are_bound(graph: FleetGraph) -> None:
    text = SOURCES.replace("ORDER BY ?d", "")
    answer = graph.answer(Question(text), {"d": [URIRef(iri(2)), URIRef(iri(9))]})
    assert [iri(2)] == [row["d"]["value"] for row in json.loads(answer.body)["results"]["bindings"]]


def test_an_endless_query_ends_in_time_and_the_next_is_answered(graph: FleetGraph) -> None:
    began = time.monotonic()
    with pytest.raises(QueryError, match=r"within 0\.5 s"):
        graph.answer(Question(EVERYTHING, seconds=0.5))
    assert time.monotonic() - began < 30
    assert len(found(graph, Question(SOURCES))) == 3


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * {",
        "INSERT DATA { <urn:a> <urn:b> 1 }",
        "SELECT * { SERVICE <http://localhost/> { ?s ?p ?o } }",
        "SELECT * { FILTER(" + "(" * 40_000 + "1" + ")" * 40_000 + ") }",
        "SELECT * { ?s nothing:known ?o }",
    ],
    ids=["cut", "update", "service", "nested", "prefix"],
)
def test_a_query_that_cannot_be_answered_is_refused(graph: FleetGraph, text: str) -> None:
    with pytest.raises(QueryError) as refused:
        graph.answer(Question(text))
    assert "\n" not in str(refused.value)
    assert len(found(graph, Question(SOURCES))) == 3


def test_no_worker_outlives_its_graph(tmp_path: Path) -> None:
    before = set(children())
    with FleetGraph.open(tmp_path / "fleet") as graph:
        graph.answer(Question("ASK {}"))
        assert set(children()) - before
    assert set(children()) == before


def children() -> list[str]:
    """Return the processes that this one started and that still run."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
