"""A graph goes to a file and comes back; what cannot be read to its end leaves no trace."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from directories import thing as plain_thing
from graph_things import MODEL, counts, fitting, iri, model, quads, thing, waiting
from rdflib import SSN
from seloc import BASE
from typer.testing import CliRunner

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.graph import FleetGraph, Status
from tinyfleet.ontology.graph_command import graph as command
from tinyfleet.ontology.match_files import fill as fill_from_files
from tinyfleet.ontology.match_files import models_in, things_in
from tinyfleet.ontology.matching import match
from tinyfleet.ontology.things_rdf import thing_graph
from tinyfleet.ontology.transfer import read
from tinyfleet.ontology.vocabulary import NNET, SSN_EXTEND, TF

TD = '"@context": "https://www.w3.org/2022/wot/td/v1.1"'


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
        ("nameless.jsonld", f"{{{TD}}}"),
        ("wrong.json", f'{{{TD}, "id": "urn:example:1"}}'),
        (
            "figure.ttl",
            f"<urn:a> a <{NNET.NeuralNetwork}> ; <{TF.needsRam}> 'much' .",
        ),
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


def test_what_is_imported_matches_as_the_files_do(seloc: Path) -> None:
    boards = sorted((seloc / "things").glob("*.ttl"))
    models = seloc / "tflite_models.ttl"
    with FleetGraph.open() as files, FleetGraph.open() as each, FleetGraph.open() as whole:
        fill_from_files(files, things_in(seloc / "things"), models_in(models))
        for board in boards:
            each.import_(board)
        each.import_(models, base=BASE)
        whole.take_in(read([models, *boards]))
        pairs = set(match(files).pairs)
        assert len(pairs) == 89
        assert set(match(each).pairs) == set(match(whole).pairs) == pairs


def test_sensors_in_another_file_are_those_of_the_model(tmp_path: Path) -> None:
    needs = tmp_path / "model.ttl"
    needs.write_text(f"<urn:m> a <{NNET.NeuralNetwork}> ; <{SSN.hasInput}> <urn:in> .")
    gives = tmp_path / "sensors.ttl"
    gives.write_text(
        f"<urn:s> a <urn:Camera> ; <{SSN_EXTEND.provideInput}> <urn:in> . <urn:x> <urn:y> 1 ."
    )
    with FleetGraph.open() as graph:
        taken = read([gives, needs])
        assert taken.loose == 1
        graph.take_in(taken)
        needed = "SELECT ?class { GRAPH ?index { <urn:m> tf:needsSensor ?class } }"
        assert [str(row[0]) for row in graph.select(needed).rows] == ["urn:Camera"]


@pytest.mark.parametrize("many", [False, True])
def test_thing_descriptions_are_registered_as_they_came(tmp_path: Path, many: bool) -> None:
    text = json.dumps([plain_thing(1), plain_thing(2)] if many else plain_thing(1), indent=1)
    (tmp_path / "lamp.json").write_text(text)
    with FleetGraph.open() as graph:
        assert graph.import_(tmp_path / "lamp.json") == (2 if many else 1, 0)
        source = graph.thing("urn:example:1")
        assert source is not None
        assert source == text or many
        assert json.loads(source) == plain_thing(1)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)))


def test_what_is_of_no_device_or_model_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lamp.jsonld").write_text(json.dumps(plain_thing()))
    (tmp_path / "more.ttl").write_text("<a> <urn:b> 1, 2 .")
    files = [str(tmp_path / "lamp.jsonld"), str(tmp_path / "more.ttl")]
    command(["import", *files, "--graph", str(tmp_path / "fleet")], standalone_mode=False)
    said = capsys.readouterr()
    assert said.out == "the graph has 1 device (1 without a microcontroller) and 0 models\n"
    assert "2 statements of no device and no model" in said.err


def test_of_several_files_with_a_bad_one_none_is_taken_in(tmp_path: Path) -> None:
    thing_graph(thing(1)).serialize(tmp_path / "one.ttl", format="turtle")
    (tmp_path / "cut.ttl").write_text("<urn:a> <urn:b")
    place = tmp_path / "fleet"
    done = run("import", tmp_path / "one.ttl", tmp_path / "cut.ttl", "--graph", place)
    assert isinstance(done.exception, DescriptionError)
    assert "cut.ttl: expected Turtle" in str(done.exception)
    assert "none of the 2 files was taken in" in str(done.exception)
    assert not place.exists()


def test_a_folder_that_is_no_graph_is_told_in_one_line(tmp_path: Path) -> None:
    for place, got in ((tmp_path / "nofleet", "none"), (tmp_path, "one that holds none")):
        for asked in (["export", tmp_path / "all.trig"], ["reindex"]):
            done = run(*asked, "--graph", place)
            expected = f"{place}: expected the folder of a graph, got {got}"
            assert str(done.exception) == expected
    assert list(tmp_path.iterdir()) == []


def test_the_commands_import_export_and_mend(tmp_path: Path) -> None:
    thing_graph(thing(1)).serialize(tmp_path / "one.ttl", format="turtle")
    place = ["--graph", str(tmp_path / "fleet"), "--json"]
    done = run("import", tmp_path / "one.ttl", *place)
    assert json.loads(done.stdout) == {"devices": 1, "models": 0}
    done = run("reindex", *place)
    assert json.loads(done.stdout) == {"devices": 1, "models": 0}
    done = run("export", tmp_path / "all.trig", *place)
    assert json.loads(done.stdout)["statements"] > 10
    assert (tmp_path / "all.trig").is_file()
