"""The shapes: what breaks one is refused with where and what to do; what is doubtful is listed."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rdflib import DCTERMS, PROV, RDF, XSD, Graph, Literal, URIRef
from seloc import BASE

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.contexts import TD_1_1
from tinyfleet.ontology.shapes import check, check_thing, problems
from tinyfleet.ontology.things_rdf import thing_graph
from tinyfleet.ontology.vocabulary import NNET, S3N_EXTEND, SCHEMA, TF

PREFIXED = {
    "s3n": "http://w3id.org/s3n/",
    "s3n_extend": str(S3N_EXTEND),
    "schema": str(SCHEMA),
    "sosa_extend": "https://w3id.org/tinyml-schema/neural-network-schema/sosa_extend/",
    "ssn": "http://www.w3.org/ns/ssn/",
    "ssn-system": "http://www.w3.org/ns/ssn/systems/",
    "tf": str(TF),
    "unit": "http://qudt.org/vocab/unit/",
}


def memory(kind: str, size: Any, unit: str = "unit:BYTE") -> dict[str, Any]:
    return {"@type": f"s3n_extend:{kind}", "schema:value": size, "schema:unitCode": {"@id": unit}}


def board(*memories: dict[str, Any], **facts: Any) -> dict[str, Any]:
    controller = {
        "@type": "s3n:MicroController",
        "ssn-system:hasSystemCapability": {"ssn-system:hasSystemProperty": list(memories)},
        **facts,
    }
    return {
        "@context": [TD_1_1, PREFIXED],
        "@type": "s3n:SmartSensor",
        "id": "urn:tinyfleet:lab:7",
        "title": "lab 7",
        "securityDefinitions": {"none": {"scheme": "nosec"}},
        "security": "none",
        "ssn:hasSubSystem": [controller, {"@type": "sosa_extend:Microphone"}],
    }


GOOD = board(memory("RAM", 172, "unit:KiloBYTE"), memory("Flash", 628_000))


def refused(thing: dict[str, Any]) -> str:
    with pytest.raises(DescriptionError) as caught:
        check(thing_graph(thing))
    return str(caught.value)


def test_a_full_description_passes_every_shape() -> None:
    graph = thing_graph(GOOD)
    check_thing(GOOD)
    check(graph)
    assert problems(graph) == []


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (
            board(memory("RAM", 0), memory("Flash", 1)),
            ["s3n_extend:RAM", "schema:value", "expected a size over 0", "got 0"],
        ),
        (board(memory("RAM", -5), memory("Flash", 1)), ["a size over 0", "got -5"]),
        (board(memory("RAM", "lots"), memory("Flash", 1)), ["a size over 0", "got lots"]),
        (
            board(memory("RAM", 1, "unit:Stone"), memory("Flash", 1)),
            ["schema:unitCode", "expected a unit of memory", "Stone"],
        ),
        (
            board({"@type": "s3n_extend:RAM", "schema:value": 5}, memory("Flash", 1)),
            ["schema:unitCode", "expected one unit", "unit:BYTE"],
        ),
        (board(memory("RAM", 1), memory("Flash", [1, 2])), ["s3n_extend:Flash", "one size"]),
        (
            board(memory("RAM", 1), memory("Flash", 1), **{"tf:clock": -1}),
            ["tf:clock", "over 0"],
        ),
        (
            board(memory("RAM", 1), memory("Flash", 1), **{"tf:hasFpu": "maybe"}),
            ["tf:hasFpu", "true or false"],
        ),
        ({**GOOD, "ssn:hasSubSystem": []}, ["urn:tinyfleet:lab:7", "s3n:MicroController"]),
        (
            {**GOOD, "ssn:hasSubSystem": [*GOOD["ssn:hasSubSystem"], {"schema:name": "x"}]},
            ["ssn:hasSubSystem", "expected a part with a class"],
        ),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, list) else "",
)
def test_a_broken_device_is_refused_with_path_and_advice(
    thing: dict[str, Any], words: list[str]
) -> None:
    message = refused(thing)
    for word in words:
        assert word in message
    assert "\n" not in message


def test_a_title_is_asked_of_a_device() -> None:
    graph = thing_graph(GOOD)
    graph.remove((None, URIRef("https://www.w3.org/2019/wot/td#title"), None))
    with pytest.raises(DescriptionError, match="td:title: expected a title"):
        check(graph)


def test_memory_that_nobody_states_is_a_warning() -> None:
    graph = thing_graph(board())
    check(graph)
    assert ["RAM" in str(problem) or "flash" in str(problem) for problem in problems(graph)]
    assert [problem.grave for problem in problems(graph)] == [False, False]


def test_a_thing_without_a_microcontroller_passes() -> None:
    lamp = {**GOOD, "@type": "Light", "anything": {"new": True}}
    del lamp["ssn:hasSubSystem"]
    check(thing_graph(lamp))
    assert problems(thing_graph(lamp)) == []


def test_several_problems_are_counted() -> None:
    assert "(and 1 more)" in refused(board(memory("RAM", 0), memory("Flash", 0)))


def test_more_parts_than_any_device_has_are_refused() -> None:
    assert "at most 256" in refused(board(*[memory("RAM", size) for size in range(300)]))


def test_a_check_leaves_the_graph_as_it_was() -> None:
    graph = thing_graph(GOOD)
    before = set(graph)
    problems(graph)
    assert set(graph) == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": 5}, "title: 5 is not of type 'string'"),
        ({"security": []}, "security: "),
        ({"properties": {"t": {"type": "number"}}}, "properties/t: 'forms' is a required"),
        ({"@context": "https://example.org"}, "@context: "),
    ],
)
def test_the_schema_of_thing_descriptions_says_where(changes: Any, expected: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        check_thing({**GOOD, **changes})
    assert str(caught.value).startswith(expected)


def test_the_schema_takes_a_time_that_grows_with_the_text_alone() -> None:
    """With the patterns as published, each of these would take minutes."""
    thing = copy.deepcopy(GOOD)
    thing["securityDefinitions"] = {"none": {"scheme": "x" * 500_000}}
    thing["links"] = [{"href": "x", "rel": "icon", "sizes": "0" * 500_000}]
    enum = [{"n": number} for number in range(5_000)]
    thing["actions"] = {"a": {"input": {"enum": enum}, "forms": [{"href": "x"}]}}
    with pytest.raises(DescriptionError) as caught:
        check_thing(thing)
    assert len(str(caught.value)) < 300


def model() -> tuple[Graph, URIRef]:
    graph, own = Graph(), URIRef("urn:tinyfleet:model:m:0")
    graph.add((own, RDF.type, NNET.NeuralNetwork))
    graph.add((own, SCHEMA.name, Literal("m")))
    graph.add((own, URIRef("http://www.w3.org/ns/ssn/hasInput"), URIRef(f"{own}#in")))
    graph.add((own, URIRef("http://www.w3.org/ns/ssn/hasOutput"), URIRef(f"{own}#out")))
    graph.add((own, TF.needsRam, Literal(5)))
    graph.add((own, TF.needsFlash, Literal(5)))
    return graph, own


def test_a_model_says_what_it_needs() -> None:
    graph, own = model()
    assert problems(graph) == []
    graph.remove((own, TF.needsRam, None))
    with pytest.raises(DescriptionError, match="expected the RAM and the flash"):
        check(graph)


@pytest.mark.parametrize(
    ("term", "value"),
    [
        (TF.needsRam, Literal(-1)),
        (TF.trainingRam, Literal(1.5)),
        (TF.checksum, Literal("abc")),
        (TF.maximumLatency, Literal(0)),
        (TF.needsSensor, Literal("microphone")),
    ],
)
def test_a_fact_of_a_model_that_cannot_be_is_refused(term: URIRef, value: Literal) -> None:
    graph, own = model()
    graph.set((own, term, value))
    with pytest.raises(DescriptionError, match=f"tf:{str(term).removeprefix(str(TF))}"):
        check(graph)


def test_a_deployment_needs_a_state_that_there_is() -> None:
    graph, own = Graph(), URIRef("urn:tinyfleet:deployment:1")
    graph.add((own, RDF.type, TF.Deployment))
    graph.add((own, TF.deploys, URIRef("urn:m")))
    graph.add((own, TF.deployedOn, URIRef("urn:d")))
    graph.add((own, TF.state, TF.Running))
    check(graph)
    graph.set((own, TF.state, URIRef(f"{TF}Lost")))
    with pytest.raises(DescriptionError, match=r"tf:state: expected one state.*Lost"):
        check(graph)


def test_a_round_does_not_end_before_it_starts() -> None:
    graph, own = Graph(), URIRef("urn:tinyfleet:run:a:1")
    graph.add((own, RDF.type, TF.Round))
    graph.add((own, TF.number, Literal(1)))
    graph.add((own, DCTERMS.isPartOf, URIRef("urn:tinyfleet:run:a")))
    graph.add((own, PROV.startedAtTime, Literal("2026-01-01T10:00:00Z", datatype=XSD.dateTime)))
    graph.add((own, PROV.endedAtTime, Literal("2026-01-01T10:00:05Z", datatype=XSD.dateTime)))
    check(graph)
    graph.set((own, PROV.endedAtTime, Literal("2026-01-01T09:00:00Z", datatype=XSD.dateTime)))
    assert [problem.path for problem in problems(graph, kind="round")] == ["prov:startedAtTime"]
    assert problems(graph, kind="device") == []
    with pytest.raises(DescriptionError, match="no later than the end"):
        check(graph)


def published(path: Path) -> Graph:
    return Graph().parse(path, format="turtle", publicID=BASE)


def test_the_defects_of_the_published_models_are_listed_and_refuse_nothing(seloc: Path) -> None:
    graph = published(seloc / "tflite_models.ttl")
    check(graph)
    found = problems(graph)
    ends = Counter(problem.message.rpartition("got ")[2] for problem in found)
    assert not any(problem.grave for problem in found)
    assert ends["0.0"] == 12  # an accuracy that nobody knows
    assert ends[f"{BASE}None"] == 3
    assert ends[f"{BASE}N.A."] == 1
    terms = {end for end in ends if end.startswith(("nnet:", "sosa_extend:"))}
    assert terms == {
        "nnet:Add",
        "nnet:AvgPool2D",
        "nnet:Int32",
        "nnet:Mean",
        "nnet:OtherCategory",
        "nnet:Other_metric",
        "nnet:Pad",
        "nnet:Relu6",
        "nnet:Uint8",
        "sosa_extend:OtherSensor",
    }


def test_the_defects_of_the_published_boards_are_listed_and_refuse_nothing(seloc: Path) -> None:
    texts = {}
    for path in sorted((seloc / "things").glob("*.ttl")):
        graph = published(path)
        check(graph)
        texts[path.stem] = " ".join(map(str, problems(graph)))
    assert len(texts) == 9
    assert all("got s3n:hasSystemCapability" in text for text in texts.values())
    assert all("got td:href" in text for text in texts.values())
    assert [name for name, text in texts.items() if "sosa_extend::Magnetometer" in text] == [
        "ms200"
    ]
