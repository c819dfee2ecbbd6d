"""A session comes back by itself, loses no promise, and says in one line why it cannot."""

import queue
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from brokers import RunningMosquitto, free_port, mortal, running_mosquitto

from tinyfleet import BrokerError
from tinyfleet.broker import Broker
from tinyfleet.server.certificates import certify_client, certify_host, make_authority
from tinyfleet.session import (
    MOST_QUEUED,
    WINDOW,
    Connected,
    Disconnected,
    Message,
    Session,
)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[RunningMosquitto]:
    with running_mosquitto(tmp_path) as broker:
        yield broker


def opened(broker: Broker | RunningMosquitto, name: str, *filters: str) -> Session:
    """Return a session that is connected."""
    where = broker if isinstance(broker, Broker) else Broker("127.0.0.1", broker.port)
    session = Session(where, name, clean=True)
    for topic_filter in filters:
        session.subscribe(topic_filter)
    session.start(10.0)
    return session


def messages(session: Session, count: int) -> list[Message]:
    """Return the next `count` messages, past other events."""
    found: list[Message] = []
    while len(found) < count:
        event = session.events.get(timeout=20.0)
        if isinstance(event, Message):
            found.append(event)
    return found


def wait_for(session: Session, kind: type[Connected] | type[Disconnected]) -> None:
    while not isinstance(session.events.get(timeout=20.0), kind):
        pass


def test_what_is_published_arrives_in_order(mosquitto: RunningMosquitto) -> None:
    with (
        closing(opened(mosquitto, "reader", "a/+")) as reader,
        closing(opened(mosquitto, "writer")) as writer,
    ):
        wait_until_subscribed(reader, writer)
        for i in range(500):
            writer.publish("a/b", b"%d" % i)

        assert [m.payload for m in messages(reader, 500)] == [b"%d" % i for i in range(500)]


def wait_until_subscribed(reader: Session, writer: Session) -> None:
    """Publish until the reader hears it: the broker has taken its filters then."""
    while True:
        writer.publish("a/ready", b"?")
        try:
            while not isinstance(reader.events.get(timeout=0.2), Message):
                pass
        except queue.Empty:
            continue
        break
    writer.publish("a/ready", b"!")
    while messages(reader, 1)[0].payload != b"!":
        pass


def test_a_killed_broker_is_found_again_with_all_subscriptions(mosquitto: RunningMosquitto) -> None:
    with (
        closing(opened(mosquitto, "reader", "a/b")) as reader,
        closing(opened(mosquitto, "writer")) as writer,
    ):
        mosquitto.kill()
        wait_for(reader, Disconnected)
        writer.publish("a/b", b"kept", retain=True)
        mosquitto.start()

        assert messages(reader, 1)[0].payload == b"kept"


def test_a_will_tells_of_a_death_until_the_next_connection(mosquitto: RunningMosquitto) -> None:
    with (
        closing(opened(mosquitto, "reader", "will", "ready")) as reader,
        mortal(mosquitto.port, ("will", b"gone"), ("ready", b"!")) as process,
    ):
        assert [m.payload for m in messages(reader, 2)] == [b"", b"!"]
        process.kill()
        assert messages(reader, 1)[0].payload == b"gone"

    with closing(opened(mosquitto, "later", "will")) as later:
        assert messages(later, 1)[0] == Message("will", b"gone", retained=True)
        again = Session(later.broker, "mortal", clean=True, will=("will", b"gone"))
        again.start(10.0)
        again.close()

        assert messages(later, 1)[0].payload == b""


def test_no_more_waits_than_is_allowed() -> None:
    session = Session(Broker("127.0.0.1", free_port()), "alone", clean=True)
    room = session.room
    for _ in range(room):
        session.publish("a/b", b"", timeout=0.0)

    with pytest.raises(BrokerError, match="waiting"):
        session.publish("a/b", b"", timeout=0.05)
    session.close(0.0)


def test_events_nobody_takes_stay_with_the_broker(tmp_path: Path) -> None:
    with (
        running_mosquitto(tmp_path, config="allow_anonymous true\nmax_queued_messages 0") as broker,
        closing(opened(broker, "reader", "a/+")) as reader,
        closing(opened(broker, "writer")) as writer,
    ):
        wait_until_subscribed(reader, writer)
        for i in range(3 * MOST_QUEUED):
            writer.publish("a/b", b"%d" % i)
        writer.close(20.0)
        time.sleep(0.2)

        assert reader.events.qsize() <= MOST_QUEUED + WINDOW
        assert messages(reader, 3 * MOST_QUEUED)[-1].payload == b"%d" % (3 * MOST_QUEUED - 1)


def test_a_broker_that_is_not_there_is_named() -> None:
    port = free_port()
    session = Session(Broker("127.0.0.1", port), "alone", clean=True)

    with pytest.raises(BrokerError, match=f"127.0.0.1:{port}: expected a broker, got"):
        session.start(0.3)


def test_a_wrong_password_is_refused_at_once(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "gw-1", "right"], check=True)
    config = f"allow_anonymous false\npassword_file {passwords}"
    with running_mosquitto(tmp_path, config=config) as broker:
        right = Broker("127.0.0.1", broker.port, "gw-1", "right")
        with closing(opened(right, "right")) as session:
            assert session.connected

        wrong = Broker("127.0.0.1", broker.port, "gw-1", "wrong")
        with pytest.raises(BrokerError, match="check username and password"):
            opened(wrong, "wrong")


@dataclass(frozen=True)
class Certified:
    """A broker with TLS that asks for certificates, and where its files are."""

    port: int
    folder: Path

    def seen_by(self, name: str, *, host: str = "127.0.0.1", ca: str = "ca.pem") -> Broker:
        certificate = self.folder / f"{name}.pem"
        return Broker(host, self.port, ca=self.folder / ca, certificate=certificate)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certified]:
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = make_authority("lab"), make_authority("stranger")
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "other.pem").write_bytes(stranger.certificate)
    host = certify_host(authority, ["127.0.0.1"])
    (folder / "host.pem").write_bytes(host.certificate)
    (folder / "host.key").write_bytes(host.key)
    for name, signer in (("gw-1", authority), ("thief", stranger)):
        pair = certify_client(signer, name)
        (folder / f"{name}.pem").write_bytes(pair.certificate + pair.key)
    config = [
        f"cafile {folder / 'ca.pem'}",
        f"certfile {folder / 'host.pem'}",
        f"keyfile {folder / 'host.key'}",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
    ]
    with running_mosquitto(folder, config="\n".join(config)) as broker:
        yield Certified(broker.port, folder)


def test_certificates_of_both_sides_are_enough(certified: Certified) -> None:
    with closing(opened(certified.seen_by("gw-1"), "both", "a/+")) as session:
        wait_until_subscribed(session, session)
        payload = bytes(300_000)  # several records of TLS
        session.publish("a/b", payload)

        assert messages(session, 1)[0].payload == payload


def test_a_broker_whose_certificate_is_not_vouched_for_is_refused(certified: Certified) -> None:
    with pytest.raises(BrokerError, match=r"expected a certificate that .*other\.pem vouches for"):
        opened(certified.seen_by("gw-1", ca="other.pem"), "a")


def test_a_broker_under_another_name_is_refused(certified: Certified) -> None:
    with pytest.raises(BrokerError, match="not valid for 'localhost'"):
        opened(certified.seen_by("gw-1", host="localhost"), "a")


def test_a_stranger_is_not_taken(certified: Certified) -> None:
    session = Session(certified.seen_by("thief"), "thief", clean=True)

    with pytest.raises(BrokerError, match="does it ask for TLS or for a certificate"):
        session.start(1.0)


@pytest.mark.parametrize("name", ["missing.pem", "host.key"])
def test_a_file_without_certificates_is_named(certified: Certified, name: str) -> None:
    with pytest.raises(BrokerError, match=rf"^broker\.ca: .*{name}: expected certificates"):
        Session(certified.seen_by("gw-1", ca=name), "a", clean=True)
    with pytest.raises(BrokerError, match=r"^broker\.certificate: .*expected a certificate"):
        Session(certified.seen_by(name.removesuffix(".pem") + "-x"), "a", clean=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": ""}, "broker.host: expected a name or an address, got "),
        ({"port": 0}, "broker.port: expected 1 to 65535, got 0"),
        ({"password": "secret"}, "broker.password: expected a username with it, got none"),
        ({"certificate": Path("c")}, "broker.certificate: expected a ca with it, got none"),
        ({"key": Path("k")}, "broker.key: expected a certificate with it, got none"),
    ],
)
def test_a_broker_that_cannot_be_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BrokerError) as caught:
        Broker(**{"host": "h", **fields})

    assert str(caught.value) == message


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Broker("h", username="u", password="secret"))
