"""What a gateway publishes, in an order that leaves the broker with the truth."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import RunningMosquitto, running_mosquitto

from tinyfleet.broker import Broker
from tinyfleet.client.outbox import Outbox
from tinyfleet.client.outgoing import Outgoing
from tinyfleet.payloads import Death
from tinyfleet.session import Message, Session
from tinyfleet.topics import topic_filter


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[RunningMosquitto]:
    with running_mosquitto(tmp_path) as it:
        yield it


def retained_births(mosquitto: RunningMosquitto) -> list[bytes]:
    """Return what a server that comes now is told of the fleet's devices."""
    late = Session(Broker("127.0.0.1", mosquitto.port), "late", clean=True)
    late.subscribe(topic_filter("lab", topic="birth"))
    late.subscribe(topic_filter("lab", topic="model"))
    late.start(timeout=10)
    late.publish("tinyfleet/1/lab/_/_/model", b"the last")  # comes after what is retained
    births = []
    while True:
        event = late.events.get(timeout=10)
        if isinstance(event, Message):
            if event.payload == b"the last":
                break
            births.append(event.payload)
    late.close()
    return births


def test_a_device_that_came_back_at_once_is_not_lost(
    tmp_path: Path, mosquitto: RunningMosquitto
) -> None:
    session = Session(Broker("127.0.0.1", mosquitto.port), "gateway", clean=True)
    session.start(timeout=10)
    outgoing = Outgoing(session, Outbox(tmp_path / "outbox.sqlite"), "lab", "gw-1")
    outgoing.birth(3, lambda: b"first")
    outgoing.flush()

    outgoing.gone(3, Death("session", "unplugged").to_bytes())
    outgoing.birth(3, lambda: b"again")
    outgoing.flush()
    session.close()

    assert retained_births(mosquitto) == [b"again"]
    outgoing.outbox.close()
