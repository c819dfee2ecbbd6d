"""The fleet's graph remembers each device whole, and keeps beside it what must be found fast."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from graph_things import MODEL, counts, fitting, iri, model, quads, thing, waiting
from rdflib import BNode, Graph, Literal, URIRef

from tinyfleet.errors import DescriptionError, QueryError
from tinyfleet.ontology.graph import FleetGraph, Status
from tinyfleet.ontology.statements import triples_text, written
from tinyfleet.ontology.turns import turn
from tinyfleet.ontology.vocabulary import TF

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def tell(graph: FleetGraph, number: int, *, online: bool) -> None:
    graph.set_status([Status(iri(number), online, NOW)])


def test_what_was_registered_comes_back_as_it_was(tmp_path: Path) -> None:
    source = json.dumps(thing(1), indent=3)
    with FleetGraph.open(tmp_path / "fleet") as graph:
        assert graph.register(thing(1), source=source)
    with FleetGraph.open(tmp_path / "fleet") as graph:
        assert graph.thing(iri(1)) == source
        assert graph.thing(iri(2)) is None


def test_registering_again_replaces_and_multiplies_nothing() -> None:
    with FleetGraph.open() as graph:
        assert graph.register(thing(1))
        once = quads(graph)
        assert not graph.register(thing(1))
        assert quads(graph) == once
        assert counts(graph) == {"devices": 1}


def test_a_refused_description_leaves_the_old_one() -> None:
    with FleetGraph.open() as graph:
        graph.register(thing(1))
        before = quads(graph)
        with pytest.raises(DescriptionError):
            graph.register({**thing(1), "title": 7})
        assert quads(graph) == before
        assert json.loads(graph.thing(iri(1)) or "")["title"] == "lab 1"


def test_a_retired_device_leaves_nothing() -> None:
    with FleetGraph.open() as graph:
        graph.register(thing(1))
        tell(graph, 1, online=True)
        assert graph.retire(iri(1))
        assert not graph.retire(iri(1))
        assert quads(graph) == 0


@pytest.mark.parametrize("name", ["graph:index", "profile:0123", "model:m:1", "run:first"])
def test_a_device_cannot_take_the_name_of_another_graph(name: str) -> None:
    with FleetGraph.open() as graph, pytest.raises(DescriptionError, match="names a device"):
        graph.register({**thing(1), "id": f"urn:tinyfleet:{name}"})


def test_fits_are_kept_when_devices_and_models_come_and_go() -> None:
    with FleetGraph.open() as graph:
        graph.register(thing(1))
        graph.add_model(model())
        graph.register(thing(2, ram=10_000))
        assert fitting(graph, 1) == {MODEL}
        assert fitting(graph, 2) == set()
        graph.register(thing(2, ram=60_000))
        assert fitting(graph, 2) == {MODEL}
        graph.add_model(model(ram=80_000))
        assert fitting(graph, 2) == set()
        assert graph.remove_model(MODEL)
        assert fitting(graph, 1) == set()
        assert counts(graph) == {"devices": 2}


def test_a_profile_goes_with_its_last_device() -> None:
    with FleetGraph.open() as graph:
        graph.register(thing(1))
        graph.register(thing(2))
        graph.retire(iri(1))
        assert graph.query("ASK { GRAPH ?g { ?p a tf:Profile } }").askAnswer
        graph.retire(iri(2))
        assert not graph.query("ASK { GRAPH ?g { ?p a tf:Profile } }").askAnswer


def test_devices_wait_while_they_are_online() -> None:
    with FleetGraph.open() as graph:
        for number in (1, 2):
            graph.register(thing(number))
            tell(graph, number, online=True)
        tell(graph, 2, online=True)
        assert waiting(graph) == {iri(1): turn(iri(1), None), iri(2): turn(iri(2), None)}
        assert counts(graph) == {"devices": 2, "onlineDevices": 2}
        tell(graph, 1, online=False)
        assert waiting(graph) == {iri(2): turn(iri(2), None)}
        assert counts(graph) == {"devices": 2, "onlineDevices": 1}


def test_who_comes_back_waits_behind_its_last_round_and_keeps_its_accuracy() -> None:
    with FleetGraph.open() as graph:
        graph.register(thing(1))
        tell(graph, 1, online=True)
        own = URIRef(iri(1)).n3()
        graph.record(
            f"INSERT DATA {{ GRAPH <urn:tinyfleet:graph:status> {{ {own} tf:lastRound 4 }} }} ; "
            f"INSERT {{ GRAPH ?p {{ {own} tf:accuracy 0.5 }} }} "
            f"WHERE {{ GRAPH ?p {{ {own} tf:turn ?t }} }}"
        )
        tell(graph, 1, online=False)
        tell(graph, 1, online=True)
        assert waiting(graph) == {iri(1): turn(iri(1), 4)}
        assert graph.query(f"ASK {{ GRAPH ?p {{ {own} tf:turn ?t ; tf:accuracy 0.5 }} }}").askAnswer


def test_a_device_that_changes_its_kind_changes_its_waiting_list() -> None:
    with FleetGraph.open() as graph:
        graph.register(thing(1))
        tell(graph, 1, online=True)
        graph.register(thing(1, ram=7000))
        rows = graph.select(
            "SELECT ?list { GRAPH <urn:tinyfleet:graph:index> { ?d tf:profile ?list } "
            "GRAPH ?list { ?d tf:turn ?turn } }"
        ).rows
        assert len(rows) == len(waiting(graph)) == 1


def test_the_status_of_a_stranger_changes_nothing() -> None:
    with FleetGraph.open() as graph:
        assert graph.set_status([Status(iri(9), True, NOW)]) == 0
        assert quads(graph) == 0


def test_an_update_happens_whole_or_not_at_all() -> None:
    with FleetGraph.open() as graph:
        with pytest.raises(QueryError):
            graph.record("INSERT DATA { GRAPH <urn:a> { <urn:b> <urn:c> 1 } } ; nonsense")
        with pytest.raises(QueryError):
            graph.record(
                "INSERT DATA { GRAPH <urn:a> { <urn:b> <urn:c> 1 } } ; LOAD <file:///etc/passwd>"
            )
        assert quads(graph) == 0


def test_rows_end_at_the_limit_and_say_so() -> None:
    with FleetGraph.open() as graph:
        for number in range(3):
            graph.register(thing(number), check=False)
        found = graph.select("SELECT ?d { GRAPH ?g { ?d tf:profile ?p } } ORDER BY ?d", limit=2)
        assert [str(row[0]) for row in found.rows] == [iri(0), iri(1)]
        assert found.more
        assert not graph.select("SELECT ?d { GRAPH ?g { ?d tf:profile ?p } }", limit=3).more


def test_no_term_ends_the_statement_that_it_stands_in() -> None:
    attack = "x> <urn:y> 1 } } ; DROP ALL ; INSERT DATA { GRAPH <urn:z> { <urn:a"
    for term in (URIRef(attack), Literal("1", datatype=URIRef(attack)), URIRef("relative")):
        with pytest.raises(DescriptionError):
            written(term)
    graph = Graph()
    graph.add((BNode(attack), TF.name, Literal('a "quoted"\n} ; DROP ALL')))
    (line,) = triples_text(graph)
    with FleetGraph.open() as fleet:
        fleet.record("INSERT DATA { GRAPH <urn:kept> { <urn:a> <urn:b> 1 } }")
        fleet.record(f"INSERT DATA {{ GRAPH <urn:new> {{ {line} }} }}")
        assert quads(fleet) == 2
