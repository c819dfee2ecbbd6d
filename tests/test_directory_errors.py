"""W3C WoT Discovery, errors and validation, each by its name; and what is never let in."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from directories import ORIGIN, PATCH, TD, Asked, directory, thing
from typer.testing import CliRunner

from tinyfleet.cli import make_app
from tinyfleet.errors import ConfigError, FleetError
from tinyfleet.server.directory.access import MAXIMUM_BYTES, Access, Gate, read_token
from tinyfleet.server.directory.directory import Limits
from tinyfleet.server.directory.serve import Served

HERE = "/things/urn:example:1"
GZIPPED = {**TD, "content-encoding": "gzip"}
PROBLEM = "application/problem+json; charset=utf-8"


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    with directory() as client:
        yield client


def errors(answer: httpx.Response) -> list[dict[str, str]]:
    found: list[dict[str, str]] = answer.json()["validationErrors"]
    return found


REFUSED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "no such thing": ("GET", "/things/urn:example:none", {}),
    "no such path": ("GET", "/nowhere", {}),
    "no such method": ("POST", HERE, {}),
    "no such parameter": ("GET", "/things?offset=-1", {}),
    "no such event": ("GET", "/events/thing_eaten", {}),
    "no JSON": ("PUT", HERE, {"content": b'{"a"', "headers": TD}),
    "no object": ("PUT", HERE, {"content": b"[]", "headers": TD}),
    "no UTF-8": ("PUT", HERE, {"content": b'{"a": "\xff"}', "headers": TD}),
    "no JSON in a patch": ("PATCH", HERE, {"content": b"{", "headers": PATCH}),
    "no content type": ("PUT", HERE, {"content": b"{}"}),
    "no format": ("GET", "/things", {"headers": {"accept": "image/png"}}),
    "no query": ("GET", "/search/sparql", {}),
    "no JSONPath": ("GET", "/search/jsonpath", {}),
    "a key twice": ("PUT", HERE, {"content": b'{"id": "a", "id": "b"}', "headers": TD}),
    "a number too large": ("PUT", HERE, {"content": b'{"id": 1e999}', "headers": TD}),
    "a malformed host": ("GET", "/things", {"headers": {"host": "[::1"}}),
    "a malformed origin": ("PUT", HERE, {"content": b"{}", "headers": TD | {"origin": "http://["}}),
    "a compressed body": ("PUT", HERE, {"content": b"{}", "headers": GZIPPED}),
    "brackets without end": ("PUT", HERE, {"content": b'{"a":' + b"[" * 90_000, "headers": TD}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_tdd_http_error_response(asked: Asked, name: str) -> None:
    method, path, more = REFUSED[name]
    answer = asked(method, path, **more)

    assert 400 <= answer.status_code < 500
    told = answer.json()
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert told["status"] == answer.status_code
    assert told["title"]
    assert "\n" not in told["detail"]
    assert "Traceback" not in answer.text


def test_tdd_http_error_response_utf_8(asked: Asked) -> None:
    answer = asked("GET", "/things/urn:example:käse")

    assert answer.headers["content-type"] == PROBLEM
    assert "käse" in answer.content.decode("utf-8")


@pytest.mark.parametrize(
    "path", ["/", "/things", HERE, "/search/sparql?query=ASK{}", "/sparql", "/events"]
)
def test_tdd_http_head(asked: Asked, path: str) -> None:
    asked.put(thing())
    head = asked("HEAD", path)

    assert (head.status_code, head.content) == (200, b"")


def test_tdd_http_unsupported_feature(asked: Asked) -> None:
    statuses = {
        "GET /search/xpath?query=//a": asked("GET", "/search/xpath?query=//a").status_code,
        "PATCH /things": asked("PATCH", "/things", content="{}", headers=PATCH).status_code,
        "GET /things?sort_by=title": asked("GET", "/things?sort_by=title").status_code,
    }
    assert list(statuses.values()) == [404, 405, 400]


def test_tdd_validation_syntactic(asked: Asked) -> None:
    answer = asked("PUT", HERE, content=b'{"id": "urn:example:1",', headers=TD)

    assert answer.status_code == 400
    assert "JSON" in answer.json()["detail"]


INVALID = {
    "title": thing(title=7),
    "security": {k: v for k, v in thing().items() if k != "security"},
    "href": thing(properties={"on": {"forms": [{"href": 1}]}}),
    "op": thing(properties={"on": {"forms": [{"href": "http://e/", "op": "eat"}]}}),
    "context": thing() | {"@context": "http://example.org/unknown"},
    "file": thing() | {"@context": ["https://www.w3.org/2022/wot/td/v1.1", "file:///etc/passwd"]},
    "ttl": thing(registration={"ttl": -1}),
    "expires": thing(registration={"expires": "tomorrow"}),
}


@pytest.mark.parametrize("name", INVALID)
def test_tdd_validation_jsonschema(asked: Asked, name: str) -> None:
    asked.put(thing(title="before"))

    assert asked.put(INVALID[name]).status_code == 400
    assert asked("GET", HERE).json()["title"] == "before", "the old one stays"


def test_tdd_validation_result(asked: Asked) -> None:
    (error,) = errors(asked.put(thing(registration={"ttl": -1})))

    assert error["field"] == "registration.ttl"
    assert "-1" in error["description"]


@pytest.mark.parametrize("name", INVALID)
def test_tdd_validation_response(asked: Asked, name: str) -> None:
    answer = asked.put(INVALID[name])

    assert answer.headers["content-type"].startswith("application/problem+json")
    assert all(set(error) == {"field", "description"} for error in errors(answer))


def test_tdd_validation_response_utf_8(asked: Asked) -> None:
    answer = asked.put(thing(registration={"expires": "übermorgen"}))

    assert answer.headers["content-type"] == PROBLEM
    assert "übermorgen" in answer.content.decode("utf-8")


def test_a_member_that_is_wrong_is_named(asked: Asked) -> None:
    fields = [error["field"] for error in errors(asked.put(INVALID["href"]))]

    assert "properties.on.forms.0.href" in fields


def test_a_body_over_the_limit_is_refused(asked: Asked) -> None:
    whole = json.dumps(thing(description="x" * MAXIMUM_BYTES))

    assert asked("PUT", HERE, content=whole, headers=TD).status_code == 413


def test_a_body_whose_length_nobody_said_is_refused_where_it_passes_the_limit(asked: Asked) -> None:
    async def body() -> Any:
        for _ in range(MAXIMUM_BYTES // 1000 + 1):
            yield b"x" * 1000

    assert asked("PUT", HERE, content=body(), headers=TD).status_code == 413


def test_a_body_that_never_ends_is_not_waited_for() -> None:
    async def waits() -> Any:
        await asyncio.sleep(60)

    told: list[Any] = []

    async def take(message: Any) -> None:
        told.append(message)

    async def unreached(*_: Any) -> None:
        raise AssertionError

    scope = {"type": "http", "method": "PUT", "path": HERE, "headers": []}
    asyncio.run(Gate(unreached, Access(), seconds=0.01)(scope, waits, take))

    assert told[0]["status"] == 408


def test_whoever_is_not_answered_before_the_directory_stops_is_told() -> None:
    told: list[Any] = []

    async def never(*_: Any) -> None:
        await asyncio.sleep(60)

    async def nothing() -> Any:
        return {"type": "http.request"}

    async def take(message: Any) -> None:
        told.append(message)

    async def cut_short() -> None:
        scope = {"type": "http", "method": "GET", "path": HERE, "headers": []}
        asking = asyncio.create_task(Gate(never, Access())(scope, nothing, take))
        await asyncio.sleep(0.01)
        asking.cancel()
        await asking

    asyncio.run(cut_short())

    assert (told[0]["status"], json.loads(told[1]["body"])["status"]) == (503, 503)


def test_pages_of_other_sites_cannot_write(asked: Asked) -> None:
    answer = asked.put(thing(), origin="http://evil.example")

    assert answer.status_code == 403
    assert asked.put(thing(), origin=ORIGIN).status_code in (201, 204)


def test_names_that_others_point_here_are_not_answered() -> None:
    with directory(access=Access(hosts=("127.0.0.1", "localhost"))) as client:
        assert client("GET", "/things", headers={"host": "localhost:8090"}).status_code == 200
        assert client("GET", "/things", headers={"host": "evil.example"}).status_code == 421


def test_other_machines_do_not_write_without_a_token() -> None:
    with pytest.raises(ConfigError, match="--token-file"):
        Served("graph", "0.0.0.0")
    assert Served("graph", "0.0.0.0", token="x" * 16).access.token
    assert Served("graph", "0.0.0.0", anyone=True).access.token is None
    assert Served("graph").access.hosts


@pytest.mark.parametrize("text", ["", "short", "two words of some length"])
def test_a_token_is_one_word_of_some_length(tmp_path: Path, text: str) -> None:
    place = tmp_path / "token"
    place.write_text(text)

    with pytest.raises(ConfigError, match="token"):
        read_token(place)


def test_the_directory_goes_on_after_what_it_did_not_expect() -> None:
    with directory() as client:
        client.put(thing())
        client.directory.graph.record(
            "DELETE WHERE { GRAPH <urn:tinyfleet:graph:sources> { ?s dct:created ?o } }"
        )
        answer = client("GET", "/things")

    assert answer.status_code == 200


def test_a_search_that_never_ends_is_ended() -> None:
    with directory(limits=Limits(seconds=1.0)) as client:
        for number in range(30):
            client.put(thing(number, description="a" * 40))
        begun = time.monotonic()
        answer = client(
            "GET",
            "/search/jsonpath",
            params={"query": "$[?match(@.description, '(a|a)*(a|a)*(a|a)*b')]"},
        )

    assert answer.status_code == 400
    assert time.monotonic() - begun < 20


def test_a_search_that_finds_the_same_over_and_over_is_ended(asked: Asked) -> None:
    asked.put(thing(description="a" * 500_000))
    answer = asked("GET", "/search/jsonpath", params={"query": f"$[{','.join(['0'] * 900)}]"})

    assert answer.status_code == 400
    assert "B, got more" in answer.json()["detail"]


def test_openapi_names_each_operation_once_and_what_it_refers_to(asked: Asked) -> None:
    described = asked("GET", "/openapi.json").json()
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    text = json.dumps(described)

    assert len(set(names)) == len(names) > 30
    for name in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert name in described["components"]["schemas"]
    assert all(operation["responses"].keys().isdisjoint({"422"}) for operation in operations)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--listen", "8090"], 10, "HOST:PORT"),
        (["--listen", "0.0.0.0:0"], 10, "--token-file"),
        (["--token-file", "/nowhere/token"], 10, "--token-file"),
        (["--broker", "http://localhost"], 10, "mqtt://"),
    ],
)
def test_the_command_refuses_in_one_line(
    tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    command = ["directory", "serve", "--graph", str(tmp_path / "graph"), *options]
    done = CliRunner().invoke(make_app(["directory"]), command)

    assert isinstance(done.exception, FleetError)
    assert done.exception.exit_code == code
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not done.stdout
