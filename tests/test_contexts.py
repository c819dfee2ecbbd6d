"""Thing Descriptions become RDF with the bundled contexts alone; hostile ones become errors."""

import copy
import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from rdflib import RDF, XSD, Graph, Literal, URIRef
from rdflib.compare import to_isomorphic

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology import contexts
from tinyfleet.ontology.shapes import check, check_thing
from tinyfleet.ontology.things_rdf import read_json, thing_graph
from tinyfleet.ontology.vocabulary import HCTL, JSONSCHEMA, SCHEMA, TD, WOTSEC

EXAMPLES = sorted((Path(__file__).parent / "data" / "things").glob("*.json"))

LAMP: dict[str, Any] = {
    "@context": [contexts.TD_1_1, {"saref": "https://w3id.org/saref#"}],
    "id": "urn:example:lamp",
    "@type": "saref:LightSwitch",
    "title": "Lamp",
    "titles": {"de": "Lampe"},
    "securityDefinitions": {"basic_sc": {"scheme": "basic", "in": "header"}},
    "security": "basic_sc",
    "properties": {
        "level": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "unit": "saref:Percent",
            "forms": [{"href": "https://lamp.example/level", "op": ["readproperty"]}],
        }
    },
    "actions": {"fade": {"input": {"type": "number"}, "forms": [{"href": "/fade"}]}},
    "events": {"hot": {"data": {"type": "string"}, "forms": [{"href": "/hot"}]}},
}


def lamp(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(LAMP), **changes}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)


def test_the_terms_of_a_description_come_out_under_their_iris() -> None:
    graph = thing_graph(LAMP)
    own = URIRef("urn:example:lamp")
    (level,) = graph.objects(own, TD.hasPropertyAffordance)
    (form,) = graph.objects(level, TD.hasForm)
    (security,) = graph.objects(own, TD.definesSecurityScheme)
    (fade,) = graph.objects(own, TD.hasActionAffordance)
    (hot,) = graph.objects(own, TD.hasEventAffordance)
    assert set(graph.objects(own, RDF.type)) == {
        TD.Thing,
        URIRef("https://w3id.org/saref#LightSwitch"),
    }
    assert graph.value(own, TD.title) == Literal("Lamp", lang="en")
    assert graph.value(own, TD.titleInLanguage) == Literal("Lampe", lang="de")
    assert graph.value(level, RDF.type) == JSONSCHEMA.IntegerSchema
    assert graph.value(level, TD.name) == Literal("level")
    assert graph.value(level, JSONSCHEMA.maximum) == Literal(100)
    assert graph.value(level, SCHEMA.unitCode) == URIRef("https://w3id.org/saref#Percent")
    assert graph.value(form, HCTL.hasOperationType) == TD.readProperty
    assert graph.value(form, HCTL.hasTarget) == Literal(
        "https://lamp.example/level", datatype=XSD.anyURI
    )
    assert graph.value(security, RDF.type) == WOTSEC.BasicSecurityScheme
    assert (fade, TD.hasInputSchema, None) in graph
    assert (hot, TD.hasNotificationSchema, None) in graph


def test_a_description_of_1_0_has_the_terms_of_1_1() -> None:
    old = thing_graph(lamp(**{"@context": [contexts.TD_1_0, LAMP["@context"][1]]}))
    assert to_isomorphic(old) == to_isomorphic(thing_graph(LAMP))


def test_a_pruned_context_says_what_the_whole_one_says() -> None:
    words = frozenset(["every", "word"]) | contexts._optional(contexts.TD_FILE)
    assert (
        contexts._pruned(contexts.TD_FILE, words & contexts._optional(contexts.TD_FILE))
        == (json.loads(contexts.bundled(contexts.TD_FILE))["@context"])
    )
    terms = set(
        contexts._defined(contexts._pruned(contexts.TD_FILE, frozenset({"forms", "properties"})))
    )
    assert "forms" in terms
    assert "actions" not in terms
    assert {"name", "propertyName", "hasInstanceConfiguration"} <= terms  # of the indices


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_official_example_becomes_rdf_and_passes(path: Path) -> None:
    thing = read_json(path.read_bytes())
    before = copy.deepcopy(thing)
    check_thing(thing)
    graph = thing_graph(thing)
    check(graph)
    assert (None, RDF.type, TD.Thing) in graph
    assert thing == before


@pytest.mark.parametrize(
    "context",
    [
        "https://example.org/context.jsonld",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "context.jsonld",
        "../context.jsonld",
        "//example.org/context",
        {"@import": "https://example.org/context.jsonld"},
        {"deep": {"@id": "urn:deep", "@context": "https://example.org/context.jsonld"}},
        {"deep": {"@id": "urn:deep", "@context": ["file:///etc/passwd"]}},
    ],
)
def test_a_context_that_is_not_bundled_is_refused_by_name(context: Any) -> None:
    with pytest.raises(
        DescriptionError, match=r"nothing is fetched|expected an object of prefixes"
    ):
        thing_graph(lamp(**{"@context": [contexts.TD_1_1, context]}))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": {"instance": "1", "@context": "https://example.org/context.jsonld"}},
        {"links": [{"href": "x", "@context": [{"a": "urn:a:"}, "file:///etc/passwd"]}]},
    ],
)
def test_a_context_further_down_is_never_fetched(changes: dict[str, Any]) -> None:
    with pytest.raises(DescriptionError, match="expected an object of prefixes"):
        thing_graph(lamp(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"@context": {"title": "urn:title"}},
        {"@context": [contexts.TD_1_1, {f"t{i}": "urn:t:" for i in range(300)}]},
        {"@context": [contexts.TD_1_1] * 20},
        {"@context": [contexts.TD_1_1, {"a": "a:b"}], "a:c": 1},
        {"@context": [contexts.TD_1_1, {"a": "b:c", "b": "a:c"}], "a:c": 1},
        {"@context": [contexts.TD_1_1, {"id": "urn:another"}]},
        {"@context": [contexts.TD_1_1, 5]},
        {"id": "lamp"},
        {"id": "file:///lamp"},
        {"id": "urn:a b"},
        {"id": 5},
        {"created": "yesterday"},
        {"created": "2024-13-45T00:00:00Z"},
        {"saref:markup": {"@type": str(RDF.XMLLiteral), "@value": "<!DOCTYPE x><x/>"}},
        {"saref:count": {"@type": str(XSD.integer), "@value": "many"}},
        {"@reverse": 3},
        {"links": [{"@context": {}} for _ in range(40)]},
        {"values": list(range(30_000))},
        {"text": "\ud800"},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_hostile_description_is_refused_in_one_line(
    changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(DescriptionError) as caught:
        thing_graph(lamp(**changes))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not caplog.records


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xff{}", "UTF-8"),
        (b"{", "JSON"),
        (b"[]", "JSON object"),
        (b"", "JSON"),
        (b'{"a": 1, "a": 2}', "each key once, got 'a'"),
        (b'{"a": {"b": 1, "b": 1}}', "each key once, got 'b'"),
        (b'{"a": NaN}', "numbers of JSON"),
        (b'{"a": -Infinity}', "numbers of JSON"),
        (b'{"a": 1e999}', "a double"),
        (b'{"a": ' + b"9" * 5000 + b"}", "at most 100 digits"),
        (b'{"a": 0.' + b"9" * 5000 + b"}", "a double"),
        (b'{"a": ' * 80 + b"1" + b"}" * 80, "at most 64 levels"),
        (b'{"a": ' + b"[" * 200_000, "levels|JSON"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "at most 1,048,576 B"),
        (b'{"a": "\\ud800"}', "expected text"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_text_is_read_strictly(text: bytes, expected: str) -> None:
    with pytest.raises(DescriptionError, match=expected):
        read_json(text)


def test_what_is_read_is_what_was_written() -> None:
    assert read_json(json.dumps(LAMP)) == LAMP
    assert read_json("{}") == {}


def test_devices_do_not_share_the_names_of_their_security() -> None:
    forms = [{"href": "/x", "op": "readallproperties", "security": "basic_sc"}]

    def configuration(graph: Graph) -> object:
        (form,) = graph.objects(None, TD.hasForm)
        return graph.value(form, TD.hasSecurityConfiguration)

    one = lamp(id="urn:example:1", properties={}, actions={}, events={}, forms=forms)
    two = {**one, "id": "urn:example:2"}
    assert configuration(thing_graph(one)) != configuration(thing_graph(two))
