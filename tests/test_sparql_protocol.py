"""The W3C's checks of the SPARQL 1.1 protocol (34) and of service descriptions (3), by name.

Source: the manifests `protocol` and `service-description` of the SPARQL 1.1 test suite. The
requests are a table of our own; what each asks and what must come back is the manifests'.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from directories import ORIGIN, Asked, directory
from rdflib import RDF, Graph, Namespace, URIRef

SD = Namespace("http://www.w3.org/ns/sparql-service-description#")
DATA = "http://kasei.us/2009/09/sparql/data/data{}.rdf"
ONE, TWO, THREE = (DATA.format(number) for number in (1, 2, 3))
EMPTY = DATA.format(0)
DOCUMENT = "http://xmlns.com/foaf/0.1/Document"
RESOURCE = "http://purl.org/dc/terms/BibliographicResource"

FORM = {"content-type": "application/x-www-form-urlencoded"}
QUERY = {"content-type": "application/sparql-query"}
UPDATE = {"content-type": "application/sparql-update"}
TEXT = {"content-type": "text/plain"}
TABULAR = {
    "application/sparql-results+xml",
    "application/sparql-results+json",
    "text/tab-separated-values",
    "text/csv",
}
TRUTHS = {"application/sparql-results+xml", "application/sparql-results+json"}
GRAPHS = {"application/rdf+xml", "text/turtle", "application/n-triples", "application/ld+json"}

Check = Callable[[httpx.Response], object]


def media(answer: httpx.Response) -> str:
    return answer.headers["content-type"].partition(";")[0]


def done(answer: httpx.Response) -> None:
    assert 200 <= answer.status_code < 400, answer.text


def refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text


def true(answer: httpx.Response) -> None:
    done(answer)
    assert media(answer) in TRUTHS
    assert answer.json()["boolean"] is True


def is_in(medias: set[str]) -> Check:
    def check(answer: httpx.Response) -> None:
        done(answer)
        assert media(answer) in medias

    return check


def one_other_iri(answer: httpx.Response) -> None:
    done(answer)
    (row,) = answer.json()["results"]["bindings"]
    assert row["o"]["type"] == "uri"
    assert row["o"]["value"] not in ("test", "<test>")


@dataclass(frozen=True)
class Sent:
    """One request, and what must come back."""

    check: Check
    method: str = "POST"
    parameters: list[tuple[str, str]] = field(default_factory=list)
    body: str | bytes = ""
    headers: dict[str, str] = field(default_factory=dict)


def get(check: Check, *parameters: tuple[str, str]) -> Sent:
    return Sent(check, "GET", list(parameters))


def post(check: Check, kind: dict[str, str], body: str, *parameters: tuple[str, str]) -> Sent:
    return Sent(check, "POST", list(parameters), body, kind)


def default(*graphs: str) -> list[tuple[str, str]]:
    return [("default-graph-uri", graph) for graph in graphs]


def named(*graphs: str) -> list[tuple[str, str]]:
    return [("named-graph-uri", graph) for graph in graphs]


def using(*graphs: str) -> list[tuple[str, str]]:
    return [("using-graph-uri", graph) for graph in graphs]


def using_named(*graphs: str) -> list[tuple[str, str]]:
    return [("using-named-graph-uri", graph) for graph in graphs]


BOTH_DEFAULT = f"ASK {{ <{ONE}> a ?type . <{TWO}> a ?type . }}"
BOTH_NAMED = f"ASK {{ GRAPH ?g1 {{ <{ONE}> a ?type }} GRAPH ?g2 {{ <{TWO}> a ?type }} }}"
ALL = f"ASK {{ <{THREE}> a ?type GRAPH ?g1 {{ <{ONE}> a ?type }} GRAPH ?g2 {{ <{TWO}> a ?type }} }}"
OVERRIDDEN = (
    f"ASK FROM <{THREE}> {{ GRAPH ?g1 {{ <{ONE}> a ?type }} GRAPH ?g2 {{ <{TWO}> a ?type }} }}"
)


def _fill(graphs: tuple[str, ...], target: str, template: str, pattern: str) -> str:
    """Return an update that empties all, fills graphs, and copies what `pattern` finds."""
    filled = " ".join(f"GRAPH <{graph}> {{ <{graph}> a <{DOCUMENT}> }}" for graph in graphs)
    return (
        f"PREFIX foaf: <http://xmlns.com/foaf/0.1/>\nDROP ALL ;\nINSERT DATA {{ {filled} }} ;\n"
        f"INSERT {{ GRAPH <{target}> {{ {template} }} }}\nWHERE {{ {pattern} }}"
    )


def _found(target: str, there: tuple[str, ...], absent: str | None) -> str:
    triples = " . ".join(f"<{graph}> a <{RESOURCE}>" for graph in there)
    without = (
        f"FILTER NOT EXISTS {{ GRAPH <{target}> {{ <{absent}> a <{RESOURCE}> }} }}"
        if absent
        else ""
    )
    return f"ASK {{ GRAPH <{target}> {{ {triples} }} {without} }}"


PLACE = "http://example.org/protocol-update-dataset{}-test/"
BASE = "http://example.org/protocol-base-test/"
RESOURCES = f"?s a <{RESOURCE}>"
IN = "http://example.org/in"
FULL = "{ GRAPH ?g { ?s a foaf:Document } BIND(?g AS ?in) } UNION " + (
    '{ ?s a foaf:Document . BIND("default" AS ?in) }'
)
IN_BOTH = (
    f'ASK {{ GRAPH <{PLACE.format("-full")}> {{ <{ONE}> <{IN}> "default" . '
    f"<{TWO}> <{IN}> <{TWO}> . }} FILTER NOT EXISTS {{ GRAPH <{PLACE.format('-full')}> "
    f"{{ <{THREE}> ?p ?o }} }} }}"
)
WITH = (
    "PREFIX foaf: <http://xmlns.com/foaf/0.1/>\nWITH <http://example/addresses>\n"
    "DELETE { ?person foaf:givenName 'Bill' }\nINSERT { ?person foaf:givenName 'William' }\n"
    "WHERE { ?person foaf:givenName 'Bill' }"
)
CASES: dict[str, list[Sent]] = {
    "query_post_form": [post(true, FORM, "query=ASK%20%7B%7D", *default(EMPTY))],
    "query_dataset_default_graphs_get": [get(true, ("query", BOTH_DEFAULT), *default(ONE, TWO))],
    "query_dataset_default_graphs_post": [post(true, QUERY, BOTH_DEFAULT, *default(ONE, TWO))],
    "query_dataset_named_graphs_post": [post(true, QUERY, BOTH_NAMED, *named(ONE, TWO))],
    "query_dataset_named_graphs_get": [get(true, ("query", BOTH_NAMED), *named(ONE, TWO))],
    "query_dataset_full": [post(true, QUERY, ALL, *default(THREE), *named(ONE, TWO))],
    "query_multiple_dataset": [post(true, QUERY, OVERRIDDEN, *named(ONE, TWO))],
    "query_get": [get(true, ("query", "ASK {}"), *default(EMPTY))],
    "query_content_type_select": [
        post(is_in(TABULAR), QUERY, "SELECT (1 AS ?value) {}", *default(EMPTY))
    ],
    "query_content_type_ask": [post(is_in(TRUTHS), QUERY, "ASK {}", *default(EMPTY))],
    "query_content_type_describe": [
        post(is_in(GRAPHS), QUERY, "DESCRIBE <http://example.org/>", *default(EMPTY))
    ],
    "query_content_type_construct": [
        post(is_in(GRAPHS), QUERY, "CONSTRUCT { <s> <p> 1 } WHERE {}", *default(EMPTY))
    ],
    "update_dataset_default_graph": [
        post(
            done,
            UPDATE,
            _fill((ONE,), PLACE.format(""), RESOURCES, "?s a foaf:Document"),
            *using(ONE),
        ),
        post(true, QUERY, _found(PLACE.format(""), (ONE,), None)),
    ],
    "update_dataset_default_graphs": [
        post(
            done,
            UPDATE,
            _fill((ONE, TWO, THREE), PLACE.format("-graphs"), RESOURCES, "?s a foaf:Document"),
            *using(ONE, TWO),
        ),
        post(true, QUERY, _found(PLACE.format("-graphs"), (ONE, TWO), THREE)),
    ],
    "update_dataset_named_graphs": [
        post(
            done,
            UPDATE,
            _fill(
                (ONE, TWO, THREE),
                PLACE.format("-named-graphs"),
                RESOURCES,
                "GRAPH ?g { ?s a foaf:Document }",
            ),
            *using_named(ONE, TWO),
        ),
        post(true, QUERY, _found(PLACE.format("-named-graphs"), (ONE, TWO), THREE)),
    ],
    "update_dataset_full": [
        post(
            done,
            UPDATE,
            _fill((ONE, TWO, THREE), PLACE.format("-full"), f"?s <{IN}> ?in", FULL),
            *using(ONE),
            *using_named(TWO),
        ),
        post(true, QUERY, IN_BOTH),
    ],
    "update_post_form": [post(done, FORM, "update=CLEAR+ALL")],
    "update_post_direct": [post(done, UPDATE, "CLEAR ALL")],
    "update_base_uri": [
        post(
            done,
            UPDATE,
            f"CLEAR GRAPH <{BASE}> ;\nINSERT DATA {{ GRAPH <{BASE}> "
            "{ <http://example.org/s> <http://example.org/p> <test> } }",
        ),
        post(
            one_other_iri,
            QUERY,
            f"SELECT ?o WHERE {{ GRAPH <{BASE}> "
            "{ <http://example.org/s> <http://example.org/p> ?o } }",
        ),
    ],
    "query_post_direct": [post(true, QUERY, "ASK {}")],
    "bad_query_method": [
        Sent(refused, "PUT", [("query", "ASK {}"), *default(EMPTY)], "", FORM),
    ],
    "bad_multiple_queries": [get(refused, ("query", "ASK {}"), ("query", "SELECT * {}"))],
    "bad_query_wrong_media_type": [post(refused, TEXT, "ASK {}")],
    "bad_query_missing_form_type": [post(refused, {}, "query=ASK%20%7B%7D")],
    "bad_query_missing_direct_type": [post(refused, {}, "ASK {}")],
    "bad_query_non_utf8": [
        Sent(
            refused,
            body="ASK {}".encode("utf-16"),
            headers={"content-type": "application/sparql-query; charset=UTF-16"},
        )
    ],
    "bad_query_syntax": [get(refused, ("query", "ASK {"))],
    "bad_update_get": [get(refused, ("update", "CLEAR ALL"))],
    "bad_multiple_updates": [post(refused, FORM, "update=CLEAR%20NAMED&update=CLEAR%20DEFAULT")],
    "bad_update_wrong_media_type": [post(refused, TEXT, "CLEAR NAMED")],
    "bad_update_missing_form_type": [post(refused, {}, "update=CLEAR%20NAMED")],
    "bad_update_non_utf8": [
        Sent(
            refused,
            body="CLEAR NAMED".encode("utf-16"),
            headers={"content-type": "application/sparql-update; charset=UTF-16"},
        )
    ],
    "bad_update_syntax": [post(refused, FORM, "update=CLEAR%20XYZ")],
    "bad_update_dataset_conflict": [
        post(refused, UPDATE, WITH, *using_named("http://example/people"))
    ],
}


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    with directory(writable=True) as client:
        yield client


@pytest.fixture
def filled(asked: Asked) -> Asked:
    blocks = " ".join(f"GRAPH <{g}> {{ <{g}> a <{DOCUMENT}> }}" for g in (ONE, TWO, THREE))
    asked.directory.graph.record(f"DROP ALL ; INSERT DATA {{ {blocks} }}")
    return asked


def send(client: Asked, sent: Sent) -> httpx.Response:
    return client(
        sent.method,
        "/sparql",
        params=sent.parameters,
        content=sent.body,
        headers=sent.headers,
    )


def test_there_is_a_case_for_each_check_of_the_manifest() -> None:
    assert len(CASES) == 34


@pytest.mark.parametrize("name", CASES)
def test_the_protocol(filled: Asked, name: str) -> None:
    for sent in CASES[name]:
        sent.check(send(filled, sent))


def described(client: Asked) -> Graph:
    answer = client("GET", "/sparql", headers={"accept": "text/turtle"})
    assert answer.status_code == 200
    return Graph().parse(data=answer.text, format="turtle")


def test_service_description_has_endpoint_triple(asked: Asked) -> None:
    service = described(asked).value(predicate=RDF.type, object=SD.Service)
    assert described(asked).value(predicate=SD.endpoint, object=URIRef(f"{ORIGIN}/sparql"))
    assert service is not None


@pytest.mark.parametrize("accept", ["*/*", "application/rdf+xml", "application/n-triples"])
def test_service_description_returns_rdf(asked: Asked, accept: str) -> None:
    answer = asked("GET", "/sparql", headers={"accept": accept})

    assert len(Graph().parse(data=answer.text, format=media(answer))) > 10


# What each property is said of, and what it names (W3C, SPARQL 1.1 Service Description, 3.4).
SCHEMA = {
    SD.endpoint: (SD.Service, None),
    SD.feature: (SD.Service, None),
    SD.supportedLanguage: (SD.Service, None),
    SD.resultFormat: (SD.Service, None),
    SD.defaultDataset: (SD.Service, SD.Dataset),
    SD.defaultGraph: (SD.Dataset, SD.Graph),
}
FEATURES = {SD.UnionDefaultGraph, SD.DereferencesURIs, SD.RequiresDataset, SD.EmptyGraphs}
LANGUAGES = {SD.SPARQL10Query, SD.SPARQL11Query, SD.SPARQL11Update}


def test_service_description_conforms_to_schema(asked: Asked) -> None:
    graph = described(asked)

    for subject, predicate, found in graph:
        if predicate == RDF.type:
            assert found in (SD.Service, SD.Dataset, SD.Graph)
            continue
        assert isinstance(predicate, URIRef)
        domain, kind = SCHEMA[predicate]
        assert (subject, RDF.type, domain) in graph
        assert kind is None or (found, RDF.type, kind) in graph
    assert set(graph.objects(None, SD.feature)) <= FEATURES
    assert set(graph.objects(None, SD.supportedLanguage)) <= LANGUAGES
    assert len(set(graph.subjects(SD.endpoint, None))) == 1


def test_an_update_is_refused_where_nobody_allowed_it() -> None:
    with directory() as client:
        answer = client("POST", "/sparql", content="CLEAR ALL", headers=UPDATE)

    assert answer.status_code == 403
    assert "--writable" in answer.json()["detail"]


def test_delete_where_is_restricted_too(filled: Asked) -> None:
    send(filled, post(done, UPDATE, "DELETE WHERE { ?s a ?t }", *using(ONE)))

    found = [
        filled("GET", "/sparql", params={"query": f"ASK {{ <{g}> a ?t }}"}) for g in (ONE, TWO)
    ]
    assert [answer.json()["boolean"] for answer in found] == [True, True], "default graph alone"


@pytest.mark.parametrize(
    ("accept", "first"),
    [
        ("application/sparql-results+json", b'{"head"'),
        ("application/sparql-results+xml", b"<?xml"),
        ("text/csv", b"value"),
        ("text/tab-separated-values", b"?value"),
    ],
)
def test_rows_come_in_every_format(asked: Asked, accept: str, first: bytes) -> None:
    answer = asked(
        "GET",
        "/sparql",
        params={"query": "SELECT (1 AS ?value) {}"},
        headers={"accept": accept},
    )

    assert media(answer) == accept
    assert answer.content.startswith(first)


def test_a_format_that_no_query_of_this_form_has_is_refused(asked: Asked) -> None:
    answer = asked(
        "GET", "/sparql", params={"query": "ASK {}"}, headers={"accept": "text/turtle, text/csv"}
    )

    assert answer.status_code == 406


def test_a_query_names_its_own_data_set(filled: Asked) -> None:
    query = (
        f"PREFIX k: <http://kasei.us/2009/09/sparql/data/> ASK FROM k:data1.rdf {{ <{TWO}> ?p ?o }}"
    )
    answer = filled("GET", "/sparql", params={"query": query})

    assert answer.json() == {"head": {}, "boolean": False}


def problem(answer: httpx.Response) -> Any:
    assert media(answer) == "application/problem+json"
    return json.loads(answer.text)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * { SERVICE <http://example.org/sparql> { ?s ?p ?o } }",
        "SELECT * { ?s (<urn:a>|!<urn:a>)* ?o . ?o (<urn:b>|!<urn:b>)* ?s }",
        "SELECT * { ?s ?p ?o " + "{" * 5000,
    ],
    ids=["service", "endless path", "brackets"],
)
def test_what_has_no_bounds_is_refused(asked: Asked, query: str) -> None:
    assert problem(send(asked, post(refused, QUERY, query)))["status"] == 400


def test_an_error_names_the_column_of_what_was_sent(asked: Asked) -> None:
    query = "SELECT * FROM <urn:g> { ?s ?p }"
    answer = asked("GET", "/sparql", params={"query": query})

    assert f"column {len(query) + 1}:" in problem(answer)["detail"]


def test_load_is_refused_even_where_updates_are_not(asked: Asked) -> None:
    answer = send(asked, post(refused, UPDATE, "LOAD <http://example.org/data>"))

    assert "LOAD" in problem(answer)["detail"]
