"""The directory as a process: killed and started again, read by many, stopped, driven by a broker.

`python tests/test_directory_served.py 60` lets 50 readers and a writer run for 60 seconds.
"""

import json
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from directories import TD, served, thing, wait_until

from tinyfleet.ontology.graph import FleetGraph

REGISTRATIONS = 1000
KILLED_AFTER = 150
READERS = 50
SECONDS = 4.0


def described(number: int, version: int = 0) -> dict[str, Any]:
    """Return a description in which one number stands in many places."""
    text = f"version {version}"
    names = [f"p{place}" for place in range(10)]
    return thing(
        number,
        description=text,
        properties={
            name: {
                "title": text,
                "type": "integer",
                "forms": [{"href": f"http://e/{number}/{name}"}],
            }
            for name in names
        },
    )


def texts(found: dict[str, Any]) -> set[str]:
    """Return the places that must agree."""
    return {found["description"], *(p["title"] for p in found["properties"].values())}


def everything(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path = "/things?limit=200"
    while path:
        answer = client.get(path)
        found += answer.json()
        path = answer.links.get("next", {}).get("url", "")
    return found


def test_killed_amid_registrations_it_has_each_acknowledged_one_and_no_half_one(
    tmp_path: Path,
) -> None:
    acknowledged: list[int] = []
    with served(tmp_path) as (address, process):

        def register() -> None:
            with httpx.Client(base_url=address) as client:
                for number in range(REGISTRATIONS):
                    text = json.dumps(described(number))
                    answer = client.put(f"/things/urn:example:{number}", content=text, headers=TD)
                    assert answer.status_code == 201
                    acknowledged.append(number)

        worker = threading.Thread(target=lambda: _until_lost(register))
        worker.start()
        wait_until(lambda: len(acknowledged) >= KILLED_AFTER, 60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        worker.join(20)

    assert KILLED_AFTER <= len(acknowledged) < REGISTRATIONS
    with served(tmp_path) as (address, _), httpx.Client(base_url=address) as client:
        found = everything(client)
        numbers = {int(one["id"].rpartition(":")[2]) for one in found}
        assert set(acknowledged) <= numbers <= set(range(len(acknowledged) + 1))
        assert all(len(one["properties"]) == 10 for one in found)
        counted = "?s a td:Thing ; td:hasPropertyAffordance ?p"
        query = f"SELECT ?s (COUNT(?p) AS ?n) {{ {counted} }} GROUP BY ?s"
        rows = client.get("/search/sparql", params={"query": query}).json()["results"]["bindings"]
        assert {row["s"]["value"] for row in rows} == {one["id"] for one in found}
        assert {row["n"]["value"] for row in rows} == {"10"}


def _until_lost(call: Callable[[], None]) -> None:
    with suppress(httpx.TransportError):
        call()


def read_and_write(place: Path, seconds: float) -> Counter[str]:
    """Let many read what one writes; return how often each did, and what went wrong."""
    seen: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    with served(place) as (address, _):
        with httpx.Client(base_url=address) as client:
            for number in range(5):
                text = json.dumps(described(number))
                client.put(f"/things/urn:example:{number}", content=text, headers=TD)

        def write() -> None:
            with httpx.Client(base_url=address, timeout=60) as client:
                for version in range(1, 10**9):
                    if time.monotonic() > ends:
                        return
                    number = version % 5
                    text = json.dumps(described(number, version))
                    path = f"/things/urn:example:{number}"
                    answer = client.put(path, content=text, headers=TD)
                    seen["written" if answer.status_code == 204 else answer.text] += 1

        def read(reader: int) -> None:
            with httpx.Client(base_url=address, timeout=60) as client:
                while time.monotonic() < ends:
                    _look(client, reader % 5, seen)

        threads = [threading.Thread(target=write)]
        threads += [threading.Thread(target=read, args=(reader,)) for reader in range(READERS)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    return seen


def _look(client: httpx.Client, number: int, seen: Counter[str]) -> None:
    """Read one description as JSON, the list, or one as triples; note what does not agree."""
    try:
        if number == 4:
            graph = f"GRAPH <urn:example:{number}> {{ ?s td:title|td:description ?text }}"
            query = f"SELECT DISTINCT ?text {{ {graph} FILTER(STRSTARTS(?text, 'version')) }}"
            answer = client.get("/search/sparql", params={"query": query})
            whole = len(answer.json()["results"]["bindings"]) == 1
        elif number == 3:
            answer = client.get("/things")
            whole = all(len(texts(one)) == 1 for one in answer.json())
        else:
            answer = client.get(f"/things/urn:example:{number}")
            whole = len(texts(answer.json())) == 1
    except (httpx.HTTPError, KeyError, ValueError) as error:
        seen[repr(error)] += 1
        return
    seen["read" if whole else f"torn: {answer.text:.300}"] += 1


def test_many_readers_and_one_writer_meet_no_error_and_no_torn_description(tmp_path: Path) -> None:
    seen = read_and_write(tmp_path, SECONDS)

    assert set(seen) == {"read", "written"}, seen
    assert seen["read"] >= READERS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_stops_in_order_even_while_somebody_listens(
    tmp_path: Path, number: signal.Signals
) -> None:
    with served(tmp_path) as (address, process), httpx.Client(base_url=address) as client:
        client.put("/things/urn:example:1", content=json.dumps(thing()), headers=TD)
        with client.stream("GET", "/events") as stream:
            assert stream.status_code == 200
            process.send_signal(number)
            assert process.wait(20) == 0

    with FleetGraph.open(tmp_path) as graph:
        assert graph.thing("urn:example:1")


def test_a_graph_has_one_directory(tmp_path: Path) -> None:
    refused = pytest.raises(AssertionError, match="the directory ended: 13")
    with served(tmp_path), refused, served(tmp_path):
        pass


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(dict(read_and_write(Path(folder), float(sys.argv[1]))))  # noqa: T201
