"""Every question of the library has the answer that a person finds by hand."""

import re
from collections.abc import Iterator, Mapping, Sequence

import asked_fleet as fleet
import pytest
from rdflib import Literal, URIRef

from tinyfleet.ontology import vocabulary
from tinyfleet.ontology.graph import FleetGraph, Rows
from tinyfleet.ontology.guard import guard
from tinyfleet.ontology.queries import Term, named_queries
from tinyfleet.ontology.tokens import NAME, tokens

HALL, YARD = fleet.gateway("hall"), fleet.gateway("yard")
ONE, TWO, THREE, FOUR = map(fleet.device, range(1, 5))
WALK, HUM, GIANT = map(fleet.model, ("walk", "hum", "giant"))
RUN = "urn:tinyfleet:run:first"
TF = str(vocabulary.TF)
ASKED: Mapping[str, Term] = {
    "model": URIRef(WALK),
    "bytes": Literal(65_536),
    "device": URIRef(ONE),
    "run": URIRef(RUN),
    "before": Literal(fleet.moment(2)),
}
OWN = [n for n in named_queries() if not n.startswith(("match", "select-", "who-"))]


def weights(number: int) -> str:
    return f"urn:tinyfleet:weights:{fleet.digest(number)[:16]}"


# Of each question: the variables looked at, and their values in every row of the answer.
EXPECTED: Mapping[str, tuple[str, Sequence[tuple[object, ...]]]] = {
    "boards-without-model": ("board devices ram flash", [("Tiny", 1, 1000, 2000)]),
    "can-train": (
        "device board trains needs has",
        [(ONE, "Nano", "head", 20_000, 60_000), (TWO, "Nano", "head", 20_000, 60_000)],
    ),
    "cost-by-gateway": (
        "gateway updates bytesSent bytesReceived",
        [(HALL, 3, 300, 120)],
    ),
    "defects": (
        "thing defect",
        [
            (FOUR, "it names no gateway"),
            ("urn:tinyfleet:lab:lamp", "it describes no microcontroller"),
        ],
    ),
    "deployments": (
        "state device model weights since",
        [
            (f"{TF}Planned", TWO, HUM, weights(3), fleet.moment(7)),
            (f"{TF}Running", ONE, HUM, weights(3), fleet.moment(6)),
        ],
    ),
    "device-history": (
        "run number answered examples loss accuracy ended",
        [
            (RUN, 1, True, 10, 0.5, 0.9, fleet.moment(3)),
            (RUN, 2, True, 10, 0.125, 1.0, fleet.moment(4)),
        ],
    ),
    "devices-by-ram": (
        "device board ram flash",
        [
            (ONE, "Nano", 200_000, 800_000),
            (TWO, "Nano", 200_000, 800_000),
            (THREE, "Pico", 100_000, 1_000_000),
            (FOUR, "Tiny", 1000, 2000),
        ],
    ),
    "devices-for-model": (
        "device board gateway online",
        [(ONE, "Nano", HALL, True), (TWO, "Nano", HALL, True)],
    ),
    "expiring": ("device expires", []),
    "lineage": ("run strategy seed before number participants used generated", []),
    "missing-operators": ("operator models kinds", [("CONV_2D", 1, 1), ("LSTM", 1, 2)]),
    "models-by-macs": (
        "name macs parameters ram flash",
        [
            ("hum", 300, 200, 90_000, 50_000),
            ("walk", 1000, 500, 50_000, 100_000),
            ("giant", 5_000_000, None, 300_000, 850_000),
        ],
    ),
    "models-by-sensor": (
        "sensor model name devices",
        [(str(fleet.ACCELEROMETER), WALK, "walk", 2)],
    ),
    "models-for-device": (
        "model name macs ram flash",
        [(HUM, "hum", 300, 90_000, 50_000), (WALK, "walk", 1000, 50_000, 100_000)],
    ),
    # Nano lacks 100,000 B of RAM and 50,000 B of flash; Pico lacks 200,000 B of RAM
    "models-without-device": ("model name shortage", [(GIANT, "giant", 150_000)]),
    "never-trained": ("device gateway online", [(THREE, YARD, False), (FOUR, None, False)]),
    "overview": (
        "board devices online models",
        [("Nano", 2, 2, 2), ("Pico", 1, 0, 1), ("Tiny", 1, 0, 0)],
    ),
    "rounds": (
        "number participants examples loss accuracy",
        [(1, 2, 30, 0.375, 0.7), (2, 1, 10, 0.125, 1.0)],
    ),
    "stale-devices": (
        "device online gateway",
        [(THREE, False, YARD), (TWO, True, HALL)],
    ),
    "worst-by-place": (
        "gateway room devices accuracy worst loss",
        [(HALL, "attic", 1, 0.5, 0.5, 0.25), (HALL, "kitchen", 1, 1.0, 1.0, 0.125)],
    ),
}

# Of each question about the large fleet: how many rows its answer has.
COUNTS: Mapping[str, int] = {
    "boards-without-model": 1,
    "can-train": 1000,
    "cost-by-gateway": 1,
    "defects": 300,
    "deployments": 0,
    "device-history": 0,
    "devices-by-ram": 1000,
    "devices-for-model": 1000,
    "expiring": 0,
    "lineage": 0,
    "missing-operators": 2,
    "models-by-macs": 3,
    "models-by-sensor": 1,
    "models-for-device": 2,
    "models-without-device": 1,
    "never-trained": 1000,
    "overview": 3,
    "rounds": 1,
    "stale-devices": 1000,
    "worst-by-place": 1,
}


@pytest.fixture(scope="module")
def small() -> Iterator[FleetGraph]:
    with FleetGraph.open() as graph:
        fleet.fill(graph)
        yield graph


@pytest.fixture(scope="module")
def large() -> Iterator[FleetGraph]:
    with FleetGraph.open() as graph:
        fleet.fill_large(graph)
        yield graph


def ask(graph: FleetGraph, name: str, **also: Term) -> Rows:
    question = named_queries()[name]
    bound = {p.name: ASKED[p.name] for p in question.parameters if p.required}
    return graph.select(question.text, {**bound, **also})


def values(rows: Rows, variables: str) -> list[tuple[object, ...]]:
    places = [rows.variables.index(name) for name in variables.split()]
    found = []
    for row in rows.rows:
        terms = [row[place] for place in places]
        found.append(tuple(t.toPython() if isinstance(t, Literal) else t and str(t) for t in terms))
    return found


@pytest.mark.parametrize("name", OWN)
def test_the_answer_is_the_one_found_by_hand(small: FleetGraph, name: str) -> None:
    variables, expected = EXPECTED[name]
    found = values(ask(small, name), variables)
    if "ORDER BY" not in named_queries()[name].text:
        found.sort(key=str)
    assert [tuple(map(exact, row)) for row in found] == [tuple(map(exact, row)) for row in expected]


def exact(value: object) -> object:
    return pytest.approx(float(str(value))) if re.fullmatch(r"[\d.]+", str(value)) else value


@pytest.mark.parametrize("name", OWN)
def test_the_answer_has_the_rows_of_a_fleet_of_two_thousand(large: FleetGraph, name: str) -> None:
    assert len(ask(large, name).rows) == COUNTS[name]


def test_all_sensors_are_told_or_the_one_asked_for(small: FleetGraph) -> None:
    assert not ask(small, "models-by-sensor", sensor=fleet.CAMERA).rows
    camera = ask(small, "devices-by-ram", sensor=fleet.CAMERA)
    assert values(camera, "device") == [(FOUR,)]


def test_training_takes_no_more_than_the_bytes_asked_for(small: FleetGraph) -> None:
    assert not ask(small, "can-train", bytes=Literal(19_999)).rows
    whole = ask(small, "can-train", model=URIRef(HUM), bytes=Literal(30_000))
    assert sorted(values(whole, "device trains"), key=str) == [
        (ONE, "whole"),
        (TWO, "whole"),
        (THREE, "whole"),
    ]


def test_a_device_that_was_asked_and_did_not_answer_has_it_in_its_history(
    small: FleetGraph,
) -> None:
    rows = ask(small, "device-history", device=URIRef(THREE))
    assert values(rows, "number answered examples") == [(1, False, None)]


def test_a_description_that_runs_out_is_told_before(small: FleetGraph) -> None:
    rows = ask(small, "expiring", before=Literal(fleet.moment(21)))
    assert values(rows, "device expires") == [(TWO, fleet.moment(20))]


def test_a_models_lineage_goes_from_weights_to_weights(small: FleetGraph) -> None:
    rows = ask(small, "lineage", model=URIRef(HUM))
    assert values(rows, "run seed number participants used generated") == [
        (RUN, 7, 1, 2, weights(1), weights(2)),
        (RUN, 7, 2, 1, weights(2), weights(3)),
    ]


def test_deployments_are_told_by_state(small: FleetGraph) -> None:
    rows = ask(small, "deployments", state=vocabulary.TF.Running)
    assert values(rows, "device") == [(ONE,)]


def test_fifteen_questions_and_more_have_names() -> None:
    assert len(OWN) >= 15


@pytest.mark.parametrize("name", named_queries())
def test_a_question_says_itself_and_its_parameters(name: str) -> None:
    question = named_queries()[name]
    assert question.question.endswith("?")
    used = {token.text[1:] for token in tokens(question.text) if token.kind == "variable"}
    assert {p.name for p in question.parameters} <= used
    guard(question.text)


@pytest.mark.parametrize("name", named_queries())
def test_a_question_uses_terms_that_exist(name: str) -> None:
    text = named_queries()[name].text
    for prefix, iri in re.findall(r"PREFIX (\S*): <(\S+)>", text):
        assert vocabulary.PREFIXES[prefix] == iri
    for token in tokens(text):
        prefix, _, local = token.text.partition(":")
        if token.kind == NAME and prefix == "tf" and local:
            assert str(vocabulary.TF[local]) == f"{TF}{local}"
