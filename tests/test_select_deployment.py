"""A deployment whose devices a query chooses, over a graph that lies in a directory."""

import json
import logging
import time
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict
from rdflib import URIRef
from small_graph import AT, SMALL, SayingGateway, iri, register, tell
from test_deployment import running

from tinyfleet.errors import ConfigError, FleetError, QueryError
from tinyfleet.networks import sine
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.provenance import deploy, weights_iri
from tinyfleet.ontology.queries import named_queries
from tinyfleet.server.deployment import app, read_run_config
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.ledger import digest
from tinyfleet.server.select import read_selection
from tinyfleet.server.serve import Server
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.tasks.sine import tecs2024
from tinyfleet.weights import load_weights

ROOT = Path(__file__).parent.parent
DEFAULTS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"][
    "app"
]["config"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A graph of six devices behind two gateways, of which 5 is offline."""
    with FleetGraph.open(tmp_path / "graph") as graph:
        for number in range(6):
            register(graph, number, SMALL, "gw-1" if number < 3 else "gw-2")
        tell(graph, range(5))
    return tmp_path / "graph"


def context(**changes: Any) -> Context:
    return Context(7, 1, {}, RecordDict(), {**DEFAULTS, **changes})


def grid() -> FleetGrid:
    """Two nodes of three devices each."""
    return FleetGrid(SimulatedFleet(sine(), tecs2024(seed=1), 6), 3)


def selected(place: Path) -> Mapping[int, set[str]]:
    text = (
        "PREFIX tf: <https://w3id.org/tinyfleet/ontology#> SELECT ?n ?d "
        "{ GRAPH ?r { ?r tf:number ?n ; tf:selected ?d } }"
    )
    found: dict[int, set[str]] = {}
    with FleetGraph.open(place) as graph:
        for number, device in graph.select(text).rows:
            found.setdefault(int(str(number)), set()).add(str(device))
    return found


def test_a_deployment_trains_whom_the_query_names(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = {"select": "least-recent", "graph": str(place), "per-round": 2, "folder": str(out)}

    app(grid(), context(rounds=3, gateways=2, **more))

    lines = [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()]
    rounds = selected(place)
    assert [line["devices"] for line in lines] == [2, 2, 2]
    assert [len(rounds[number]) for number in (1, 2, 3)] == [2, 2, 2]
    assert set().union(*rounds.values()) == {iri(n) for n in range(5)}


def test_who_trained_is_known_after_a_deployment(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = {"select": "fair", "graph": str(place), "per-round": 2, "folder": str(out)}
    app(grid(), context(rounds=1, gateways=2, **more))
    weights = digest(load_weights(out / "weights.npy", sine()))

    with FleetGraph.open(place) as graph:
        graph.record(deploy(iri(0), "urn:m", weights, "Running", AT))
        text = named_queries()["who-trained"].text
        rows = graph.select(text, {"device": URIRef(iri(0))}).rows
    assert {str(row[0]) for row in rows} == selected(place)[1]
    assert weights_iri(weights).startswith("urn:tinyfleet:weights:")


def test_a_second_run_goes_on_where_the_turns_of_the_first_stand(place: Path) -> None:
    more: dict[str, Any] = {"select": "least-recent", "graph": str(place), "per-round": 2}
    more["gateways"] = 2
    app(grid(), context(rounds=2, **more))
    first = selected(place)
    app(grid(), Context(8, 1, {}, RecordDict(), {**DEFAULTS, "rounds": 1, **more}))

    never = {iri(n) for n in range(5)} - first[1] - first[2]
    assert len(never) == 1
    with FleetGraph.open(place) as graph:
        text = "SELECT ?d { GRAPH <urn:tinyfleet:run:flower-8:1> { ?r ?p ?d } }"
        assert never < {str(row[0]) for row in graph.select(text).rows}


def test_a_round_that_finds_nobody_goes_by_and_is_warned_of(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FleetGraph.open(place) as graph:
        tell(graph, range(5), online=False)

    with pytest.raises(FleetError, match="expected updates of devices, got none in 2 rounds"):
        app(grid(), context(rounds=2, gateways=2, select="fair", graph=str(place)))

    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert sum("no device gave an update" in text for text in warned) == 2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"select": "fair"}, ConfigError, "graph: expected a value because select has one"),
        ({"graph": "g"}, ConfigError, "select: expected a value because graph has one"),
        ({"select": "nobody", "graph": "g"}, QueryError, "select: expected one of available"),
        ({"per-round": -1}, ConfigError, "per-round: expected a whole number, 0 or more"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    changes: Mapping[str, Any], error: type[FleetError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_run_config({**DEFAULTS, **changes})


def test_a_graph_that_another_process_has_is_refused(place: Path) -> None:
    with FleetGraph.open(place), pytest.raises(QueryError, match="no other process has"):
        app(grid(), context(gateways=2, select="fair", graph=str(place)))


def test_a_server_keeps_a_graph_of_what_devices_say(tmp_path: Path) -> None:
    serve = ["serve", "--port", "0", "--broker-port", "0", "--graph", "graph", "--graph-port", "0"]
    with running(tmp_path, *serve, "--fleet", "lab") as server:
        address = server.said(r"^graph +(\S+)$")
        assert f'graph="{address}"' in server.said(r"^(run .*)$")
        with SayingGateway(int(server.said(r"^broker .*:(\d+)$"))) as gateway:
            gateway.birth(7)
            gateway.birth(8, title=7)  # refused
            until = time.monotonic() + 30
            while not (found := online_at(address)):
                assert time.monotonic() < until
                time.sleep(0.05)
    assert found == [iri(7)]


def online_at(address: str) -> list[str]:
    query = urllib.parse.urlencode({"query": read_selection("available").text})
    with urllib.request.urlopen(f"{address}?{query}", timeout=10) as answer:
        rows = json.loads(answer.read())["results"]["bindings"]
    return [row["device"]["value"] for row in rows]


def test_a_graph_needs_a_broker_where_devices_speak(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--graph: expected a broker"):
        Server(tmp_path, broker_port=None, graph=tmp_path / "graph")
