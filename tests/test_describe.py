"""`tinyfleet describe`: what a person and a machine are told, and what refuses."""

import contextlib
import io
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from rdflib import RDF, Graph, Literal, URIRef
from tflite_drafts import Draft, Step, constant, drafted
from tflite_drafts import Graph as Drafted

from tinyfleet.cli import make_app
from tinyfleet.errors import DescriptionError
from tinyfleet.networks import named_network
from tinyfleet.ontology.describe import describe
from tinyfleet.ontology.describe_network import describe_network
from tinyfleet.ontology.meta import read_meta
from tinyfleet.ontology.profile import needs_of
from tinyfleet.ontology.shapes import check
from tinyfleet.ontology.vocabulary import NNET, SCHEMA, SOSA_EXTEND, SSN_EXTEND, TF
from tinyfleet.operators import OPERATORS
from tinyfleet.plan import plan
from tinyfleet.wire import arena_need

META = """
name = "Wake word"
description = "Hears one word."
category = "classification"
author = "Somebody"
licence = "Apache-2.0"
created = 2026-01-31
citation = "https://example.org/paper"
dataset = "https://example.org/words"
sensors = ["microphone", "https://example.org/Thing"]
runtime = "TFLite Micro"
input = "40 numbers of a spectrum"
output = "0: nothing, 1: the word"

[metrics]
top-1-accuracy = 0.84
f1 = 0.5

[ram]
bytes = 94128
tool = "a board"

[limits]
latency = 0.25
energy = 0.01
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tensors = [
        Draft("x\n[red]", (1, 4), "INT8", scale=(0.007874015718698502,), zero_point=(1,)),
        constant("w", (2, 4)),
        Draft("y", (1, 2), "INT8", scale=(1e-9,), zero_point=(0,)),
    ]
    step = Step("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnectedOptions")
    path = tmp_path / "wake.tflite"
    path.write_bytes(drafted(Drafted(tensors, [step], [0], [2])))
    return path


def run(*arguments: str | Path) -> str:
    """Return what the command writes on stdout."""
    words = ["describe", *map(str, arguments)]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        make_app(words)(words, standalone_mode=False)
    return out.getvalue()


def test_json_stands_alone_and_says_what_was_promised(model: Path, tmp_path: Path) -> None:
    told = json.loads(run(model, "--json", "--out", tmp_path / "m.ttl"))

    assert {"macs", "parameters", "flash_bytes", "inputs", "outputs", "operators"} <= set(told)
    assert {"head", "tail", "tool", "version", "planned"} <= set(told["arena_bytes"])
    assert set(told["inputs"][0]) >= {"name", "shape", "dtype", "scale", "zero_point"}
    assert told["flash_bytes"] == model.stat().st_size
    assert told["operators"] == ["FULLY_CONNECTED"]
    assert told["custom_operators"] == []


def test_a_person_is_told_without_what_a_terminal_would_obey(model: Path) -> None:
    shown = run(model)

    assert "FULLY_CONNECTED" in shown
    assert "x [red]" in shown
    assert "B = " in shown


def test_what_the_file_cannot_say_comes_from_the_meta_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "meta.toml").write_text(META)
    out = tmp_path / "m.ttl"

    told = json.loads(run(model, "--meta", tmp_path / "meta.toml", "--out", out, "--json"))

    graph = Graph().parse(out, format="turtle")
    own = URIRef(told["id"])
    assert told["name"] == "Wake word"
    assert str(own).startswith("urn:tinyfleet:model:Wake%20word:")
    needs = needs_of(graph, str(own))
    assert (needs.ram, needs.flash) == (94128, model.stat().st_size)
    assert set(needs.sensors) == {str(SOSA_EXTEND.Microphone), "https://example.org/Thing"}
    assert (needs.maximum_latency, needs.maximum_energy) == (0.25, 0.01)
    assert (own, NNET.hasCategory, NNET.Classification) in graph
    assert (own, TF.arenaTool, Literal("a board")) in graph
    sources = list(graph.subjects(RDF.type, SOSA_EXTEND.Microphone))
    assert list(graph.objects(sources[0], SSN_EXTEND.provideInput))
    assert Literal("Apache-2.0") in graph.objects(own, SCHEMA.license)
    check(graph)


def test_turtle_keeps_every_digit_and_is_the_same_each_time(model: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.ttl", tmp_path / "two.ttl"

    run(model, "--out", one)
    run(model, "--out", two)

    assert one.read_bytes() == two.read_bytes()
    assert Literal(0.007874015718698502) in set(Graph().parse(one).objects(None, TF.scale))


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("colour = 1", "expected only the keys .*, got 'colour'"),
        ("name = 3", "name: expected a printable text in quotes, got 3"),
        ('category = "Guessing"', "category: expected one of Classification"),
        ('sensors = ["nose"]', "sensors: expected of each one of Accelerometer"),
        ('sensors = ["x:%zz"]', "sensors: expected of each one of Accelerometer"),
        ("[ram]\nbytes = 5", "ram: expected both bytes and tool, got only bytes"),
        ("[limits]\nlatency = -1", "limits: latency: expected a number above 0, got -1"),
        ("[metrics]\nf1 = nan", "metrics: expected a finite number"),
        ("ram = 3", r"ram: expected a table \[ram\], got 3"),
        ("created = 2026-01-31T10:00:00", "created: expected a date"),
        ("[", "expected TOML in UTF-8"),
    ],
)
def test_a_meta_file_that_says_nonsense_is_refused(tmp_path: Path, line: str, match: str) -> None:
    path = tmp_path / "meta.toml"
    path.write_text(line)

    with pytest.raises(DescriptionError, match=match) as refused:
        read_meta(path)

    assert str(refused.value).startswith(f"{path}: ")


def test_the_meta_file_in_the_documents_can_be_read(tmp_path: Path) -> None:
    page = Path(__file__).parent.parent / "docs" / "describe.md"
    (shown,) = re.findall(r"```text\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "meta.toml").write_text(shown)

    meta = read_meta(tmp_path / "meta.toml")

    assert {field.name for field in fields(meta) if not getattr(meta, field.name)} == set()


def test_a_missing_file_is_refused_with_what_else_there_is(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"or one of characters, .*characters-mcu"):
        describe(str(tmp_path / "none"))
    with pytest.raises(DescriptionError, match="got a folder"):
        describe(str(tmp_path))


def test_our_network_states_what_its_training_takes() -> None:
    network = named_network("presence")

    training = describe_network(network).training

    assert training is not None
    names = tuple(network.parts)
    assert training.whole == arena_need(plan(network))
    assert training.partial == arena_need(plan(network, frozenset(names[:2])))
    assert training.head == arena_need(plan(network, frozenset(names[:-1])))
    assert training.head < training.partial < training.whole


@pytest.mark.parametrize("name", ["characters", "characters-mcu", "keywords", "presence", "sine"])
def test_our_networks_pass_the_shapes_and_name_operators_of_tflite(name: str) -> None:
    model = describe(name)

    graph = model.to_graph()
    check(graph)
    needs = needs_of(graph, str(model.iri()))
    assert set(needs.operators) <= set(OPERATORS.values())
    assert needs.runtime == "tinyfleet kernel"
    assert needs.training_ram == model.training.whole if model.training else False
    assert (
        needs.ram
        == model.arena.total
        == arena_need(plan(named_network(name), frozenset(named_network(name).parts)))
    )


def test_a_network_in_toml_is_described_as_the_named_one(tmp_path: Path) -> None:
    from tinyfleet.description import network_to_toml

    path = tmp_path / "net.toml"
    path.write_text(network_to_toml(named_network("sine")))

    assert describe(str(path)).to_json() == describe("sine").to_json()


def test_a_description_is_written_under_a_turtle_name_alone(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"expected a name that ends in \.ttl"):
        run("sine", "--out", tmp_path / "sine.json")
    assert not list(tmp_path.iterdir())
