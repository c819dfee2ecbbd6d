"""W3C WoT Discovery, the Notification API: each testable assertion by its name, over sockets."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from directories import PATCH, TD, served, thing, wait_until

from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.server.directory.events import KEPT_CHARACTERS, Events, Kind
from tinyfleet.server.directory.registry import Registry

HERE = "/things/urn:example:1"


@dataclass
class Heard:
    """What one listener was told."""

    events: list[dict[str, str]] = field(default_factory=list)

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]

    def data(self) -> list[dict[str, Any]]:
        return [json.loads(event["data"]) for event in self.events]


class Listener:
    """Reads a stream on a thread of its own until it is closed."""

    def __init__(self, address: str, path: str, **headers: str) -> None:
        self.heard = Heard()
        self._client = httpx.Client(base_url=address, timeout=30)
        request = self._client.build_request("GET", path, headers=headers)
        self.answer = self._client.send(request, stream=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        event: dict[str, str] = {}
        try:
            for line in self.answer.iter_lines():
                name, _, value = line.partition(": ")
                if line and name:
                    event[name] = value
                elif not line and "event" in event:
                    self.heard.events.append(event)
                    event = {}
        except (httpx.TransportError, httpx.StreamError):
            pass

    def wait(self, events: int) -> Heard:
        wait_until(lambda: len(self.heard.events) >= events)
        return self.heard

    def close(self) -> None:
        """End the connection from another thread than the one that reads."""
        if self._thread.is_alive():
            stream = self.answer.extensions["network_stream"]
            stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            self._thread.join(10)
        self.answer.close()
        self._client.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("graph")) as (where, _):
        yield where


@pytest.fixture
def listen(address: str) -> Iterator[Any]:
    open_ones: list[Listener] = []

    def start(path: str = "/events", **headers: str) -> Listener:
        open_ones.append(Listener(address, path, **headers))
        return open_ones[-1]

    yield start
    for listener in open_ones:
        listener.close()


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address) as opened:
        opened.delete(HERE)
        yield opened


def put(client: httpx.Client, **more: Any) -> None:
    answer = client.put(HERE, content=json.dumps(thing(**more)), headers=TD)
    assert answer.status_code in (201, 204)


def live(client: httpx.Client) -> None:
    """Create, update and delete a description."""
    put(client)
    put(client, title="again")
    client.delete(HERE)


def test_tdd_notification_sse(listen: Any) -> None:
    answer = listen().answer

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_tdd_notification_event_types(listen: Any, client: httpx.Client) -> None:
    listener = listen()
    live(client)

    assert listener.wait(3).kinds() == ["thing_created", "thing_updated", "thing_deleted"]


def test_tdd_notification_event_id(listen: Any, client: httpx.Client) -> None:
    first = listen()
    put(client)
    seen = first.wait(1).events[0]["id"]
    first.close()
    put(client, title="again")
    client.delete(HERE)

    again = listen(**{"last-event-id": seen})
    assert again.wait(2).kinds() == ["thing_updated", "thing_deleted"]


@pytest.mark.parametrize("kind", ["thing_created", "thing_updated", "thing_deleted"])
def test_tdd_notification_filter_type(listen: Any, client: httpx.Client, kind: str) -> None:
    chosen, every = listen(f"/events/{kind}"), listen()
    live(client)
    every.wait(3)

    assert chosen.wait(1).kinds() == [kind]


def test_tdd_notification_data(listen: Any, client: httpx.Client) -> None:
    listener = listen()
    put(client)

    assert all(isinstance(data, dict) for data in listener.wait(1).data())


def test_tdd_notification_data_td_id(listen: Any, client: httpx.Client) -> None:
    listener = listen()
    live(client)

    assert listener.wait(3).data() == [{"id": "urn:example:1"}] * 3


def test_tdd_notification_data_create_full(listen: Any, client: httpx.Client) -> None:
    listener = listen("/events?diff=true")
    put(client, description="whole")

    (data,) = listener.wait(1).data()
    assert data["description"] == "whole"
    assert data["registration"]["created"]


def test_tdd_notification_data_update_diff(listen: Any, client: httpx.Client) -> None:
    put(client, description="old")
    listener = listen("/events?diff=true")
    put(client, title="new")

    (data,) = listener.wait(1).data()
    assert (data["title"], data["description"]) == ("new", None)
    assert "security" not in data


def test_tdd_notification_data_update_id(listen: Any, client: httpx.Client) -> None:
    put(client)
    listener = listen("/events/thing_updated?diff=true")
    client.patch(HERE, content='{"title": "new"}', headers=PATCH)

    (data,) = listener.wait(1).data()
    assert data["id"] == "urn:example:1"
    assert set(data) == {"id", "title", "registration"}


def test_tdd_notification_data_delete_diff(listen: Any, client: httpx.Client) -> None:
    put(client)
    listener = listen("/events?diff=true")
    client.delete(HERE)

    assert listener.wait(1).data() == [{"id": "urn:example:1"}]


def test_what_expires_is_told_as_deleted() -> None:
    told: list[tuple[str, str]] = []
    clock = [datetime(2126, 1, 1, tzinfo=UTC)]
    with FleetGraph.open() as graph:
        registry = Registry(graph, lambda kind, it, _: told.append((kind, it)), lambda: clock[0])
        for number, ttl in ((1, 10), (2, 30)):
            given = thing(number, registration={"ttl": ttl})
            registry.put(given["id"], given)
        clock[0] += timedelta(seconds=20)

        assert registry.purge() == 1
        assert told[2:] == [("thing_deleted", "urn:example:1")]


def test_large_events_are_kept_up_to_a_limit() -> None:
    events = Events()
    for number in range(40):
        events.publish(Kind.CREATED, str(number), {"description": "x" * (KEPT_CHARACTERS // 10)})

    async def kept() -> list[str]:
        following = events.follow("another-1")
        return [(await anext(following))[1].thing for _ in range(9)]

    assert asyncio.run(kept()) == [str(number) for number in range(31, 40)]


def test_a_refused_description_is_no_event(listen: Any, client: httpx.Client) -> None:
    listener = listen()
    client.put(HERE, content=json.dumps(thing(title=7)), headers=TD)
    put(client)

    assert listener.wait(1).kinds() == ["thing_created"]


def test_one_who_comes_back_to_another_start_is_told_all_that_is_kept(
    tmp_path: Path,
) -> None:
    with served(tmp_path) as (where, _), httpx.Client(base_url=where) as there:
        put(there)
        listener = Listener(where, "/events", **{"last-event-id": "another-7"})
        assert listener.wait(1).kinds() == ["thing_created"]
        listener.close()
