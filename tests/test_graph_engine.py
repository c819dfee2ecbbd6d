"""Every question goes to Oxigraph: rdflib's own engine is never asked."""

import warnings
from datetime import UTC, datetime
from typing import Any

import pytest
import rdflib.plugins.sparql.processor
from graph_things import MODEL, iri, model, thing
from rdflib import URIRef

from tinyfleet.ontology.evaluate import Question
from tinyfleet.ontology.graph import FleetGraph, Status
from tinyfleet.ontology.matching import match
from tinyfleet.ontology.queries import named_queries


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What rdflib's engine was asked, by the names of its functions."""
    heard: list[str] = []

    def listening(name: str) -> Any:
        def listen(*_: object, **__: object) -> None:
            heard.append(name)
            raise AssertionError(f"rdflib's engine was asked: {name}")

        return listen

    for module, name in (
        (rdflib.plugins.sparql.processor, "evalQuery"),
        (rdflib.plugins.sparql.processor, "evalUpdate"),
        (rdflib.plugins.sparql.processor, "parseQuery"),
        (rdflib.plugins.sparql.processor, "parseUpdate"),
    ):
        monkeypatch.setattr(module, name, listening(name))
    return heard


def test_the_spy_hears_rdflibs_engine(asked: list[str]) -> None:
    with pytest.raises(AssertionError, match="parseQuery"):
        rdflib.Graph().query("SELECT * { ?s ?p ?o }")
    assert asked == ["parseQuery"]


def test_no_call_of_the_graph_asks_rdflibs_engine(asked: list[str]) -> None:
    with FleetGraph.open() as graph:
        graph.register(thing(1))
        graph.register(thing(1, ram=9000))
        graph.add_model(model())
        graph.set_status([Status(iri(1), True, datetime.now(UTC))])
        assert len(list(match(graph).pairs)) + len(list(match(graph).refusals)) == 1
        graph.select("SELECT ?s { GRAPH ?g { ?s ?p ?o } }", {"s": URIRef(iri(1))})
        graph.query("CONSTRUCT WHERE { ?s ?p ?o }")
        graph.answer(Question("ASK { ?s ?p ?o }"))
        graph.record("INSERT DATA { GRAPH <urn:a> { <urn:b> <urn:c> 1 } }")
        with warnings.catch_warnings():  # rdflib's own, of a name that rdflib itself still uses
            warnings.simplefilter("ignore", DeprecationWarning)
            list(graph.dataset.query("SELECT * { ?s ?p ?o }"))
        graph.reindex()
        graph.remove_model(MODEL)
        graph.retire(iri(1))
    assert asked == []


def test_every_query_of_the_library_is_one_that_oxigraph_takes(asked: list[str]) -> None:
    with FleetGraph.open() as graph:
        for name, query in named_queries().items():
            if not any(parameter.required for parameter in query.parameters):
                assert graph.query(query.text) is not None, name
    assert asked == []
