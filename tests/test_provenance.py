"""Rounds are written back as PROV-O, so that who trained what is one query."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rdflib import Graph, URIRef
from small_graph import AT, iri, small_graph, tell

from tinyfleet.errors import DescriptionError, WireError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.provenance import (
    RoundRecord,
    RunRecord,
    UpdateRecord,
    begin_run,
    deploy,
    record_round,
    weights_iri,
)
from tinyfleet.ontology.queries import named_queries
from tinyfleet.ontology.shapes import problems

ROUND = RoundRecord(
    run="first",
    number=1,
    first=True,
    selected=[iri(0), iri(1), iri(2)],
    updates=[UpdateRecord(iri(0), 10, 0.5), UpdateRecord(iri(2), 7, 0.25, accuracy=0.75)],
    used="a" * 64,
    generated="b" * 64,
    started=AT,
    ended=AT + timedelta(seconds=3),
)
NEXT = replace(
    ROUND, number=2, first=False, used="b" * 64, generated="c" * 64, selected=[iri(2)],
    updates=[UpdateRecord(iri(2), 5, 0.125)],
)  # fmt: skip


@pytest.fixture
def fleet() -> Iterator[tuple[FleetGraph, str]]:
    graph, model = small_graph()
    with graph:
        graph.record(begin_run(RunRecord("first", "tinyreptile", 1, model, "fair", "SELECT ...")))
        yield graph, model


def content(graph: FleetGraph) -> set[tuple[str, ...]]:
    rows = graph.select("SELECT ?g ?s ?p ?o { GRAPH ?g { ?s ?p ?o } }", limit=100_000).rows
    return {tuple(map(str, row)) for row in rows if not any("_:" in str(t) for t in row)}


def named(graph: FleetGraph, name: str) -> Graph:
    """Return a named graph of a store by itself."""
    text = f"CONSTRUCT {{ ?s ?p ?o }} WHERE {{ GRAPH <{name}> {{ ?s ?p ?o }} }}"
    found = Graph()
    for triple in graph.query(text):
        found.add(triple)  # type: ignore[arg-type]
    return found


def who_trained(graph: FleetGraph, device: int) -> list[tuple[str, ...]]:
    text = named_queries()["who-trained"].text
    rows = graph.select(text, {"device": URIRef(iri(device))}).rows
    return [tuple(map(str, row)) for row in rows]


def measured(graph: FleetGraph, device: int) -> dict[str, str]:
    text = f"SELECT ?p ?o {{ GRAPH ?g {{ <{iri(device)}> ?p ?o }} }}"
    wanted = ("turn", "loss", "accuracy", "lastRound")
    found = {str(p).rpartition("#")[2]: str(o) for p, o in graph.select(text).rows}
    return {name: found[name] for name in wanted if name in found}


def test_who_trained_the_model_that_runs_on_a_device_is_one_query(
    fleet: tuple[FleetGraph, str],
) -> None:
    graph, model = fleet
    for record in (ROUND, NEXT, replace(NEXT, number=3, used="c" * 64, generated="d" * 64)):
        graph.record(record_round(record))
    graph.record(deploy(iri(5), model, NEXT.generated, "Running", AT))

    assert who_trained(graph, 5) == [
        (iri(2), "2", "12", "2", NEXT.generated),
        (iri(0), "1", "10", "1", NEXT.generated),
    ]
    assert who_trained(graph, 4) == []


def test_weights_that_replace_others_retire_them(fleet: tuple[FleetGraph, str]) -> None:
    graph, model = fleet
    graph.record(record_round(ROUND))
    graph.record(record_round(NEXT))
    for weights in (NEXT.generated, ROUND.generated):
        graph.record(deploy(iri(5), model, weights, "Running", AT))

    (state,) = {row for row in who_trained(graph, 5) if row[0] == iri(0)}
    assert state[3:] == ("1", ROUND.generated)
    assert [row[0] for row in who_trained(graph, 5)] == [iri(0), iri(2)]


@pytest.mark.parametrize("state", ["Planned", "Installed", "Failed", "Retired"])
def test_what_does_not_run_was_trained_by_nobody(fleet: tuple[FleetGraph, str], state: str) -> None:
    graph, model = fleet
    graph.record(record_round(ROUND))
    graph.record(deploy(iri(5), model, ROUND.generated, state, AT))  # type: ignore[arg-type]

    assert who_trained(graph, 5) == []


def test_a_round_that_is_written_again_is_the_same_round(fleet: tuple[FleetGraph, str]) -> None:
    graph, _ = fleet
    graph.record(record_round(ROUND))
    graph.record(record_round(NEXT))
    before = content(graph)

    graph.record(record_round(ROUND))
    graph.record(record_round(NEXT))

    assert content(graph) == before


@pytest.mark.parametrize(
    "record", [ROUND, NEXT, replace(ROUND, updates=None), replace(ROUND, updates=[], selected=[])]
)
def test_a_round_passes_the_shapes(fleet: tuple[FleetGraph, str], record: RoundRecord) -> None:
    graph, _ = fleet
    graph.record(record_round(record))
    written = named(graph, record.iri)

    assert len(written) > 5
    assert problems(written, kind="round") == []


def test_runs_and_deployments_pass_the_shapes(fleet: tuple[FleetGraph, str]) -> None:
    graph, model = fleet
    graph.record(deploy(iri(5), model, "b" * 64, "Installed", AT))
    ((place,),) = graph.select(
        "PREFIX tf: <https://w3id.org/tinyfleet/ontology#> "
        "SELECT ?g { GRAPH ?g { ?d a tf:Deployment } }"
    ).rows

    assert problems(named(graph, "urn:tinyfleet:run:first"), kind="round") == []
    assert problems(named(graph, str(place)), kind="deployment") == []


def test_only_who_took_part_moves_back_in_turn(fleet: tuple[FleetGraph, str]) -> None:
    graph, _ = fleet
    before = {device: int(measured(graph, device)["turn"]) for device in range(3)}
    graph.record(record_round(replace(ROUND, turns=4)))
    after = {device: measured(graph, device) for device in range(3)}

    moved = {device: int(after[device]["turn"]) - before[device] for device in range(3)}
    assert moved == {0: 6 * 2**32, 1: 0, 2: 6 * 2**32}
    assert (after[0]["lastRound"], after[0]["loss"]) == ("5", "0.5")
    assert (after[2]["accuracy"], after[2]["loss"]) == ("0.75", "0.25")
    assert set(after[1]) == {"turn"}


def test_what_a_device_gave_replaces_what_it_gave_before(fleet: tuple[FleetGraph, str]) -> None:
    graph, _ = fleet
    graph.record(record_round(ROUND))
    graph.record(record_round(NEXT))

    assert measured(graph, 2) == {**measured(graph, 2), "loss": "0.125", "lastRound": "2"}
    text = (
        f"SELECT ?o {{ GRAPH ?g {{ <{iri(2)}> <https://w3id.org/tinyfleet/ontology#loss> ?o }} }}"
    )
    assert len(graph.select(text).rows) == 1


def test_who_goes_offline_in_a_round_is_on_no_waiting_list_after_it(
    fleet: tuple[FleetGraph, str],
) -> None:
    graph, _ = fleet
    tell(graph, [0], online=False)
    graph.record(record_round(ROUND))

    assert measured(graph, 0) == {"lastRound": "1"}


def test_a_device_that_was_retired_is_still_in_the_rounds(fleet: tuple[FleetGraph, str]) -> None:
    graph, model = fleet
    graph.record(record_round(ROUND))
    graph.retire(iri(0))
    graph.record(record_round(NEXT))
    graph.record(deploy(iri(5), model, NEXT.generated, "Running", AT))

    assert iri(0) in {row[0] for row in who_trained(graph, 5)}
    assert measured(graph, 0) == {}


def test_weights_are_derived_from_weights(fleet: tuple[FleetGraph, str]) -> None:
    graph, _ = fleet
    graph.record(record_round(ROUND))
    graph.record(record_round(replace(NEXT, generated=NEXT.used)))
    text = (
        "PREFIX prov: <http://www.w3.org/ns/prov#> "
        "SELECT ?new ?old { GRAPH ?g { ?new prov:wasDerivedFrom ?old } }"
    )

    assert [tuple(map(str, row)) for row in graph.select(text).rows] == [
        (weights_iri("b" * 64), weights_iri("a" * 64))
    ]


@pytest.mark.parametrize("device", ["urn:x> } } ; DROP ALL #", "not an IRI", "", "<urn:x>"])
def test_what_is_no_iri_is_written_nowhere(device: str) -> None:
    with pytest.raises(DescriptionError, match="expected an absolute IRI"):
        record_round(replace(ROUND, selected=[device]))


def test_a_run_has_the_name_of_a_topic() -> None:
    with pytest.raises(WireError, match="run: expected"):
        RunRecord("a b", "tinyreptile", 1)


def test_moments_are_those_of_the_round(fleet: tuple[FleetGraph, str]) -> None:
    graph, _ = fleet
    graph.record(record_round(ROUND))
    text = "SELECT ?e { GRAPH ?g { ?r <http://www.w3.org/ns/prov#endedAtTime> ?e } }"

    ((ended,),) = graph.select(text).rows
    assert datetime.fromisoformat(str(ended)) == datetime(2026, 5, 4, 12, 0, 3, tzinfo=UTC)
