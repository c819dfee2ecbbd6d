"""A graph goes to a file and comes back; what cannot be read to its end leaves no trace."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from graph_things import MODEL, counts, fitting, iri, model, quads, thing, waiting
from seloc import BASE
from typer.testing import CliRunner

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.graph import FleetGraph, Status
from tinyfleet.ontology.graph_command import graph as command
from tinyfleet.ontology.things_rdf import thing_graph


def fill(graph: FleetGraph) -> None:
    graph.add_model(model())
    graph.register(thing(1))
    graph.register(thing(2, ram=7))
    graph.set_status([Status(iri(1), True, datetime(2026, 5, 4, tzinfo=UTC))])


@pytest.mark.parametrize("name", ["fleet.nq", "fleet.trig", "fleet.jsonld"])
def test_what_is_exported_is_imported_as_it_was(tmp_path: Path, name: str) -> None:
    with FleetGraph.open() as graph, FleetGraph.open() as other:
        fill(graph)
        assert graph.export(tmp_path / name) == quads(graph)
        assert other.import_(tmp_path / name) == (2, 1)
        assert quads(other) == quads(graph)
        assert counts(other) == counts(graph)
        assert waiting(other) == waiting(graph)
        assert other.thing(iri(1)) == graph.thing(iri(1))
        assert fitting(other, 1) == fitting(graph, 1) == {MODEL}


def test_importing_again_multiplies_nothing(tmp_path: Path) -> None:
    with FleetGraph.open() as graph:
        fill(graph)
        graph.export(tmp_path / "fleet.trig")
        before = quads(graph)
        graph.import_(tmp_path / "fleet.trig")
        assert quads(graph) == before


def test_turtle_goes_to_the_graphs_of_what_it_describes(tmp_path: Path) -> None:
    described = thing_graph(thing(1)) + model()
    described.serialize(tmp_path / "all.ttl", format="turtle")
    with FleetGraph.open() as graph:
        assert graph.import_(tmp_path / "all.ttl") == (1, 1)
        assert fitting(graph, 1) == {MODEL}
        assert json.loads(graph.thing(iri(1)) or "")["id"] == iri(1)
        assert graph.retire(iri(1))
        assert graph.remove_model(MODEL)
        assert quads(graph) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cut.ttl", "<urn:a> <urn:b> 1 . <urn:c> <urn:d"),
        ("cut.nq", "<urn:a> <urn:b> <urn:c> <urn:g> .\n<urn:a> <urn:b>"),
        ("cut.jsonld", '{"@id": "urn:a", "urn:b": 1'),
        ("far.jsonld", '{"@context": "http://127.0.0.1:9/context", "@id": "urn:a", "urn:b": 1}'),
        ("file.jsonld", '{"@context": "file:///etc/passwd", "@id": "urn:a", "urn:b": 1}'),
        ("relative.ttl", "<a> <urn:b> 1 ."),
        ("unknown.txt", ""),
    ],
)
def test_a_broken_file_imports_nothing(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with FleetGraph.open() as graph:
        fill(graph)
        before = quads(graph)
        with pytest.raises(DescriptionError) as refused:
            graph.import_(tmp_path / name)
        assert name in str(refused.value)
        assert "\n" not in str(refused.value)
        assert quads(graph) == before


def test_reindexing_changes_nothing_that_was_right() -> None:
    with FleetGraph.open() as graph:
        fill(graph)
        named = "SELECT * { GRAPH ?g { ?s ?p ?o } FILTER (!ISBLANK(?s) && !ISBLANK(?o)) }"
        before = set(graph.select(named).rows)
        graph.reindex()
        assert set(graph.select(named).rows) == before


def test_reindexing_mends_an_index_that_was_lost() -> None:
    with FleetGraph.open() as graph:
        fill(graph)
        before, turns = counts(graph), waiting(graph)
        graph.record(
            "DROP GRAPH <urn:tinyfleet:graph:index> ; DROP GRAPH <urn:tinyfleet:graph:fits> ; "
            "DROP GRAPH <urn:tinyfleet:graph:summary>"
        )
        assert graph.reindex() == (2, 1)
        assert counts(graph) == before
        assert waiting(graph) == turns
        assert fitting(graph, 1) == {MODEL}


def test_the_published_boards_and_models_are_imported_unchanged(seloc: Path) -> None:
    with FleetGraph.open() as graph:
        for board in sorted((seloc / "things").glob("*.ttl")):
            devices, _ = graph.import_(board, base=BASE)
        assert devices == 9
        assert graph.import_(seloc / "tflite_models.ttl", base=BASE) == (9, 23)


def test_the_commands_import_export_and_mend(tmp_path: Path) -> None:
    run = CliRunner()
    thing_graph(thing(1)).serialize(tmp_path / "one.ttl", format="turtle")
    place = ["--graph", str(tmp_path / "fleet"), "--json"]
    done = run.invoke(command, ["import", str(tmp_path / "one.ttl"), *place])
    assert json.loads(done.stdout) == {"devices": 1, "models": 0}
    done = run.invoke(command, ["reindex", *place])
    assert json.loads(done.stdout) == {"devices": 1, "models": 0}
    done = run.invoke(command, ["export", str(tmp_path / "all.trig"), *place])
    assert json.loads(done.stdout)["statements"] > 10
    assert (tmp_path / "all.trig").is_file()
