"""What devices say at their birth is in the directory, too, and told to those who listen."""

import json
from pathlib import Path

import httpx
from brokers import running_mosquitto
from directories import served, wait_until

from tinyfleet.broker import Broker
from tinyfleet.client.thing import Facts, thing
from tinyfleet.networks import named_network
from tinyfleet.payloads import Birth
from tinyfleet.session import Session
from tinyfleet.topics import Topic


def test_a_birth_is_registered_and_told(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path) as mosquitto:
        options = ("--broker", f"mqtt://127.0.0.1:{mosquitto.port}", "--fleet", "lab")
        with (
            served(tmp_path / "graph", *options) as (address, _),
            httpx.Client(base_url=address) as client,
            client.stream("GET", "/events", timeout=20) as stream,
        ):
            session = Session(Broker("127.0.0.1", mosquitto.port), "gateway", clean=True)
            session.start(timeout=10)
            topic = Topic("lab", "gw-1", "7", "birth")
            described = thing(
                Facts("a board", "tests"),
                "simulated",
                named_network("sine"),
                topic,
                "mqtt://localhost",
            )
            birth = Birth(7, "s1", "simulated", described)
            session.publish(str(topic), birth.to_bytes(), retain=True)

            lines = (line for line in stream.iter_lines() if line.startswith("data: "))
            assert json.loads(next(lines)[6:]) == {"id": "urn:tinyfleet:lab:7"}
            found = httpx.get(f"{address}/things/urn:tinyfleet:lab:7")
            assert found.json()["title"] == "lab 7"
            query = {"query": "ASK { <urn:tinyfleet:lab:7> a td:Thing }"}
            wait_until(
                lambda: httpx.get(f"{address}/search/sparql", params=query).json()["boolean"]
            )
            session.close()
