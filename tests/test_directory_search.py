"""W3C WoT Discovery, the Search API: each testable assertion by its name; and JSONPath."""

from collections.abc import Iterator
from typing import Any

import pytest
from directories import Asked, directory, thing

from tinyfleet.server.directory.directory import Limits

SELECT = "SELECT ?s ?title { ?s a td:Thing ; td:title ?title } ORDER BY ?title"
CONSTRUCT = "CONSTRUCT { ?s td:title ?title } { ?s td:title ?title }"
FORM = {"content-type": "application/x-www-form-urlencoded"}
QUERY = {"content-type": "application/sparql-query"}


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    with directory() as client:
        client.put(thing(1, title="lamp", properties={"on": {"forms": [{"href": "http://l/"}]}}))
        client.put(thing(2, title="door"))
        yield client


def search(client: Asked, query: str, **headers: str) -> Any:
    return client("GET", "/search/sparql", params={"query": query}, headers=headers)


def titles(answer: Any) -> list[str]:
    return [row["title"]["value"] for row in answer.json()["results"]["bindings"]]


def test_tdd_search_large_tdds(asked: Asked) -> None:
    assert titles(search(asked, f"{SELECT} LIMIT 1")) == ["door"]


def test_tdd_search_sparql(asked: Asked) -> None:
    assert titles(search(asked, SELECT)) == ["door", "lamp"]


def test_tdd_search_sparql_version(asked: Asked) -> None:
    query = (
        "SELECT (COUNT(*) AS ?title) { ?s a td:Thing MINUS { ?s td:title 'door'@en } "
        "FILTER EXISTS { ?s td:hasPropertyAffordance/td:hasForm/hctl:hasTarget ?target } }"
    )
    assert titles(search(asked, query)) == ["1"]


def test_tdd_search_sparql_method_get(asked: Asked) -> None:
    assert search(asked, "ASK { ?s td:title 'lamp'@en }").json()["boolean"] is True


@pytest.mark.parametrize(("headers", "start"), [(QUERY, ""), (FORM, "query=")])
def test_tdd_search_sparql_method_post(asked: Asked, headers: dict[str, str], start: str) -> None:
    answer = asked("POST", "/search/sparql", content=f"{start}{SELECT}", headers=headers)

    assert titles(answer) == ["door", "lamp"]


@pytest.mark.parametrize("query", [SELECT, "ASK {}"])
def test_tdd_search_sparql_resp_select_ask(asked: Asked, query: str) -> None:
    answer = search(asked, query)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("query", [CONSTRUCT, "DESCRIBE <urn:example:1>"])
def test_tdd_search_sparql_resp_describe_construct(asked: Asked, query: str) -> None:
    answer = search(asked, query)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/ld+json"
    assert "urn:example:1" in {node.get("@id") for node in answer.json()}


@pytest.mark.parametrize("query", ["DROP ALL", "INSERT DATA { <urn:a> a 1 }", "EAT ?s {}", ""])
def test_tdd_search_sparql_error(asked: Asked, query: str) -> None:
    answer = search(asked, query)

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_tdd_search_sparql_federation(asked: Asked) -> None:
    answer = search(asked, "SELECT * { SERVICE <http://e/> { ?s ?p ?o } }")

    assert answer.status_code == 400
    assert "SERVICE" in answer.json()["detail"], "not offered, and said so"


@pytest.mark.parametrize(
    ("accept", "query", "part"),
    [
        ("text/csv", SELECT, "urn:example:2,door"),
        ("text/tab-separated-values", SELECT, '<urn:example:2>\t"door"'),
        ("application/sparql-results+xml", SELECT, "<uri>urn:example:2</uri>"),
        ("text/turtle", CONSTRUCT, '"lamp"'),
        ("application/n-triples", CONSTRUCT, "<urn:example:1> <https://www.w3.org/2019/wot/td#"),
        ("application/rdf+xml", CONSTRUCT, "lamp</"),
    ],
)
def test_answers_come_in_the_format_asked_for(
    asked: Asked, accept: str, query: str, part: str
) -> None:
    answer = search(asked, query, accept=accept)

    assert answer.headers["content-type"].partition(";")[0] == accept
    assert part in answer.text


def test_more_rows_than_the_limit_are_refused_and_not_cut_off() -> None:
    with directory(limits=Limits(rows=3)) as client:
        for number in range(5):
            client.put(thing(number))

        assert search(client, SELECT).status_code == 400
        assert len(titles(search(client, f"{SELECT} LIMIT 3"))) == 3


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("$[?@.title=='lamp'].id", ["urn:example:1"]),
        ("$[*].properties.on.forms[0].href", ["http://l/"]),
        ("$..href", ["http://l/"]),
        ("$[?search(@.title, 'd.')].title", ["door"]),
        ("$[?@.title=='none']", []),
    ],
)
def test_tdd_search_jsonpath_response(asked: Asked, query: str, found: list[Any]) -> None:
    answer = asked("GET", "/search/jsonpath", params={"query": query})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == found


def test_tdd_search_jsonpath_parameter(asked: Asked) -> None:
    answers = [
        asked("GET", "/search/jsonpath", params={"query": query})
        for query in ("", "title", "$[?@.a", "$" + ".a" * 2000)
    ]
    assert [answer.status_code for answer in answers] == [400] * 4


def test_a_jsonpath_gives_whole_descriptions(asked: Asked) -> None:
    (found,) = asked("GET", "/search/jsonpath", params={"query": "$[?@.title=='door']"}).json()

    assert found["id"] == "urn:example:2"
    assert found["registration"]["created"]
