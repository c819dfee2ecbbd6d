"""The boards and models that SeLoC-ML published match as counted by others, theirs and ours."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyoxigraph as ox
import pytest
from rdflib import RDF, Graph, URIRef
from seloc import BASE

from tinyfleet.ontology.boards import board_from_toml
from tinyfleet.ontology.describe import read_model
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.match_files import fill, models_in, things_in
from tinyfleet.ontology.matching import Matches, match, titles
from tinyfleet.ontology.meta import Meta
from tinyfleet.ontology.profile import needs_of
from tinyfleet.ontology.shapes import problems
from tinyfleet.ontology.things import board_thing
from tinyfleet.ontology.vocabulary import NNET, SCHEMA

OURS = Path(__file__).parent / "data" / "seloc-ml"
OTHER = "https://w3id.org/tinyml-schema/neural-network-schema/sosa_extend/OtherSensor"
UNDEFINED = {OTHER: URIRef("urn:tinyfleet:sensor:other")}
"""What we write for the one class of sensor that the published models use and nobody defines."""

COUNTS = {
    "Arduino-Nano-BLE-33-Tinyml-Kit_1": 21,
    "Arduino-Nano-BLE-33_1": 19,
    "Syntiant-TinyML-Board_1": 16,
    "adafruit_tflite_micro_kit_1": 12,
    "SSI-Web_1": 8,
    "MS200_1": 8,
    "npu_s7_realsense_1": 3,
    "Adafruit-Pybadge_1": 2,
}


def counted(graph: FleetGraph, found: Matches) -> dict[str, int]:
    called = titles(graph)
    return dict(Counter(called[pair.device] for pair in found.pairs))


@pytest.fixture(scope="module")
def published(seloc: Path) -> Iterator[FleetGraph]:
    with FleetGraph.open() as graph:
        fill(graph, things_in(seloc / "things"), models_in(seloc / "tflite_models.ttl"))
        yield graph


def test_published_boards_and_models_make_89_pairs_of_207(published: FleetGraph) -> None:
    found = match(published)

    assert len(found.pairs) == 89
    assert counted(published, found) == COUNTS


def test_every_other_pair_is_refused_for_a_reason_and_no_pair_is_both(
    published: FleetGraph,
) -> None:
    found = match(published)

    fits = {(pair.device, pair.model) for pair in found.pairs}
    refused = {(refusal.device, refusal.model) for refusal in found.refusals}

    assert fits.isdisjoint(refused)
    assert len(fits) + len(refused) == 9 * 23


def test_a_refusal_says_what_is_needed_and_what_is_there(published: FleetGraph) -> None:
    texts = {refusal.text for refusal in match(published).refusals}

    assert "needs 206,976 B RAM, has 172,000" in texts
    assert "needs sensor Microphone, has Camera" in texts


def described_by_us(seloc: Path) -> Iterator[Graph]:
    """Yield our descriptions of the published models, from their files."""
    theirs = models_in(seloc / "tflite_models.ttl")
    for model in theirs.subjects(RDF.type, NNET.NeuralNetwork):
        name = str(theirs.value(model, SCHEMA.name))
        needs = needs_of(theirs, str(model))
        meta = Meta(
            name=name,
            sensors=tuple(UNDEFINED.get(sensor, URIRef(sensor)) for sensor in needs.sensors),
            ram=needs.ram,
            ram_tool="TensorFlow Lite Micro of 2020, x86-64",
        )
        yield read_model(seloc / "models" / f"{name}.tflite", measured=False).to_graph(meta)


def test_our_descriptions_pass_every_shape_and_make_the_same_pairs(seloc: Path) -> None:
    with FleetGraph.open() as graph:
        for path in sorted(OURS.glob("*.toml")):
            board = board_from_toml(path.read_text("utf-8"), path.name)
            graph.register(board_thing(board, f"urn:tinyfleet:seloc:{path.stem}"))
        for model in described_by_us(seloc):
            assert problems(model, kind="model") == []
            graph.add_model(model)

        assert counted(graph, match(graph)) == COUNTS


def test_the_published_files_load_unchanged_and_their_defects_are_listed(seloc: Path) -> None:
    found = {path.name: problems(things_in(path)) for path in (seloc / "things").glob("*.ttl")}

    assert len(found) == 9
    assert any("Magnetometer" in str(p) for p in found["ms200.ttl"])


@pytest.fixture(scope="module")
def loaded(seloc: Path) -> ox.Store:
    """All that was published, in Oxigraph."""
    store = ox.Store()
    for path in [*(seloc / "things").iterdir(), *(seloc / "schema").iterdir()]:
        store.load(path=path, format=ox.RdfFormat.TURTLE, base_iri=BASE)
    store.load(path=seloc / "tflite_models.ttl", format=ox.RdfFormat.TURTLE, base_iri=BASE)
    return store


def mended(seloc: Path, number: int) -> str:
    """Return a published query with the namespaces that the published data have."""
    text = (seloc / "queries" / f"query_{number}.txt").read_text("utf-8")
    base = "https://w3id.org/tinyml-schema/neural-network-schema"
    text = text.replace("http://tinyml-schema.org/networkschema#", f"{base}#")
    text = re.sub(r"http://tinyml-schema.org/(\w+_extend)/", rf"{base}/\1/", text)
    lacking = {"s3n": "http://w3id.org/s3n/", "sosa": "http://www.w3.org/ns/sosa/"}
    declared = set(re.findall(r"PREFIX (\S+):", text))
    lines = [f"PREFIX {k}: <{iri}>\n" for k, iri in lacking.items() if k not in declared]
    text = text.replace("distinct ?SensorType", "distinct str(?SensorType)")
    return "".join(lines) + text


def answers(loaded: ox.Store, seloc: Path, number: int) -> list[dict[str, str]]:
    solutions = loaded.query(mended(seloc, number))
    assert isinstance(solutions, ox.QuerySolutions)
    names = [variable.value for variable in solutions.variables]
    return [{name: row[name].value for name in names} for row in solutions]


def test_published_query_1_finds_two_boards(loaded: ox.Store, seloc: Path) -> None:
    found = [(row["RAM"], row["Flash"]) for row in answers(loaded, seloc, 1)]

    assert found == [("172", "628"), ("187", "785")]


def test_published_query_2_finds_two_models(loaded: ox.Store, seloc: Path) -> None:
    theirs = models_in(seloc / "tflite_models.ttl")
    names = {
        str(own): str(theirs.value(model, SCHEMA.name))
        for model, own in theirs.subject_objects(SCHEMA.identifier)
    }

    found = {names[row["uuid"]] for row in answers(loaded, seloc, 2)}

    assert found == {"Visual_Alarm_Clock", "Person_Detection"}


def test_published_query_3_orders_four_models_by_accuracy(loaded: ox.Store, seloc: Path) -> None:
    found = [float(row["Acc"]) for row in answers(loaded, seloc, 3)]

    assert found == [82.3, 83.0, 92.1, 93.2]


def test_published_query_4_lists_nine_boards(loaded: ox.Store, seloc: Path) -> None:
    assert len(answers(loaded, seloc, 4)) == 9
