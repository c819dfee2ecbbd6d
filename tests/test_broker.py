"""A broker starts, carries what tinyfleet asks of one, and ends; what fails is told in one line."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from needed import mosquitto_program
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tinyfleet.broker import Broker
from tinyfleet.errors import BrokerError
from tinyfleet.server.broker import RunningBroker, running_broker
from tinyfleet.session import Connected, Message, Session

LARGE = bytes(range(250)) * 400
"""100,000 bytes."""


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningBroker]:
    if request.param == "mosquitto":
        mosquitto_program()
    with running_broker(tmp_path / "broker", embedded=request.param == "amqtt") as running:
        assert running.kind == request.param
        yield running


@contextmanager
def client(broker: RunningBroker, name: str, *, clean: bool = True) -> Iterator[Session]:
    session = Session(Broker(broker.host, broker.port), name, clean=clean)
    session.start(10.0)
    try:
        yield session
    finally:
        session.close()


def listen(session: Session, topic_filter: str) -> None:
    """Return once the subscription is in force: those of one client take effect in their order."""
    session.publish(f"echo/{id(session)}", b"!", retain=True)
    session.subscribe(topic_filter)
    session.subscribe(f"echo/{id(session)}")
    assert isinstance(session.events.get(timeout=10.0), Connected)
    heard = session.events.get(timeout=10.0)
    assert isinstance(heard, Message)
    assert heard.topic.startswith("echo/")


def received(session: Session) -> Message:
    """Return the next message that is no echo."""
    while True:
        event = session.events.get(timeout=10.0)
        if isinstance(event, Message) and not event.topic.startswith("echo/"):
            return event


def say(broker: RunningBroker, messages: Iterable[Message]) -> None:
    """Publish, and leave as soon as the broker has acknowledged all."""
    writer = Client(CallbackAPIVersion.VERSION2)
    writer.connect(broker.host, broker.port)
    writer.loop_start()
    for sent in [writer.publish(m.topic, m.payload, 1, m.retained) for m in messages]:
        sent.wait_for_publish(10.0)
    writer.disconnect()
    writer.loop_stop()


def vanish(broker: RunningBroker, name: str, topic: str, payload: bytes) -> None:
    """Connect with a will, in a process that is killed."""
    code = (
        "import os, signal, sys\nfrom tinyfleet.broker import Broker\n"
        "from tinyfleet.session import Session\n"
        "host, port, name, topic, size = sys.argv[1:]\n"
        "will = (topic, bytes([7]) * int(size))\n"
        "Session(Broker(host, int(port)), name, clean=True, will=will).start(10.0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    arguments = [broker.host, str(broker.port), name, topic, str(len(payload))]
    done = subprocess.run([sys.executable, "-c", code, *arguments], timeout=30)
    assert done.returncode == -signal.SIGKILL


def test_a_message_of_100_kb_arrives_whole(broker: RunningBroker) -> None:
    with client(broker, "reader") as reader:
        listen(reader, "large")
        say(broker, [Message("large", LARGE)])

        assert received(reader) == Message("large", LARGE, retained=False)


def test_a_retained_message_waits_for_who_comes_later(broker: RunningBroker) -> None:
    say(broker, [Message("kept", LARGE, retained=True)])

    with client(broker, "late") as late:
        late.subscribe("kept")
        assert received(late) == Message("kept", LARGE, retained=True)


def test_a_cleared_message_is_kept_no_more(broker: RunningBroker) -> None:
    told = [("kept/1", b"old"), ("kept/1", b""), ("kept/2", b"new")]
    say(broker, [Message(topic, payload, retained=True) for topic, payload in told])

    with client(broker, "late") as late:
        late.subscribe("kept/+")
        assert received(late).topic == "kept/2"


def test_who_subscribed_to_nothing_gets_nothing(broker: RunningBroker) -> None:
    with client(broker, "reader") as reader:
        listen(reader, "kept")
        say(broker, [Message("kept", b"for others", retained=True)])
        with client(broker, "stranger") as stranger:
            listen(stranger, "own")
            say(broker, [Message("own", b"hello")])
            assert received(stranger).topic == "own"


def test_the_will_of_a_killed_client_is_told(broker: RunningBroker) -> None:
    will = bytes([7]) * 60_000
    with client(broker, "reader") as reader:
        listen(reader, "death")
        vanish(broker, "victim", "death", will)

        # A session clears its will when it connects; the killed one may not have come to it.
        told = received(reader).payload or received(reader).payload
        assert told == will


def test_an_absent_client_finds_what_was_sent_to_it(broker: RunningBroker) -> None:
    with client(broker, "gateway", clean=False) as gateway:
        listen(gateway, "for/gateway/+")
    sent = [Message(f"for/gateway/{n}", bytes([n]) * 4600) for n in range(30)]
    say(broker, sent)

    with client(broker, "gateway", clean=False) as gateway:
        assert [received(gateway) for _ in sent] == sent


def test_many_who_come_at_once_all_hear(broker: RunningBroker) -> None:
    say(broker, [Message(f"model/{n}", LARGE, retained=True) for n in range(30)])
    sessions = [
        Session(Broker(broker.host, broker.port), f"gw-{n}", clean=False) for n in range(30)
    ]
    try:
        for number, session in enumerate(sessions):
            session.subscribe(f"model/{number}")
            session.start()
        assert [received(s).topic for s in sessions] == [f"model/{n}" for n in range(30)]
    finally:
        for session in sessions:
            session.close()


def test_what_was_acknowledged_before_a_goodbye_arrives(broker: RunningBroker) -> None:
    count = 300
    with client(broker, "reader") as reader:
        listen(reader, "x")
        with socket.create_connection((broker.host, broker.port), timeout=10.0) as writer:
            writer.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01w")
            assert writer.recv(4) == b"\x20\x02\x00\x00"
            # PUBLISH of QoS 1 to x, with identifier and payload; all in one breath.
            packets = (
                b"\x32\x06\x00\x01x" + n.to_bytes(2, "big") + b"!" for n in range(1, count + 1)
            )
            writer.sendall(b"".join(packets))
            acknowledged = 0
            while acknowledged < 4 * count:
                acknowledged += len(writer.recv(4096))
            writer.sendall(b"\xe0\x00")

        assert [received(reader).topic for _ in range(count)] == ["x"] * count


def test_who_comes_back_before_it_was_missed_still_hears(broker: RunningBroker) -> None:
    with client(broker, "gateway", clean=False) as gateway:
        listen(gateway, "news")
    raw = socket.create_connection((broker.host, broker.port))
    raw.sendall(b"\x10\x13\x00\x04MQTT\x04\x00\x00\x00\x00\x07gateway")
    assert raw.recv(4)[:1] == b"\x20"

    with raw, client(broker, "gateway", clean=False) as again:
        say(broker, [Message("news", b"heard")])
        assert received(again).payload == b"heard"


def test_what_a_mosquitto_keeps_outlives_it(tmp_path: Path) -> None:
    mosquitto_program()
    with running_broker(tmp_path, embedded=False) as broker:
        say(broker, [Message("kept", b"still here", retained=True)])

    with running_broker(tmp_path, embedded=False) as broker, client(broker, "late") as late:
        late.subscribe("kept")
        assert received(late).payload == b"still here"


def test_a_stopped_broker_leaves_no_process_and_no_port(broker: RunningBroker) -> None:
    broker.stop()
    broker.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(broker.pid, 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((broker.host, broker.port))


def test_a_broker_ends_when_its_block_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        running_broker(tmp_path, embedded=True) as broker,
    ):
        raise KeyboardInterrupt

    assert broker.process.returncode is not None


def test_a_killed_broker_is_told_with_its_log(broker: RunningBroker) -> None:
    broker.check()
    os.kill(broker.pid, signal.SIGKILL)
    broker.process.wait()

    with pytest.raises(BrokerError, match=f"{broker.kind}: expected a broker that runs, got exit"):
        broker.check()


@pytest.mark.parametrize("embedded", [True, False])
def test_a_port_in_use_is_one_line(tmp_path: Path, embedded: bool) -> None:
    if not embedded:
        mosquitto_program()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(BrokerError, match=f"^port {port}: .* in use; [^\n]*$"),
            running_broker(tmp_path, port=port, embedded=embedded),
        ):
            pass


@pytest.mark.parametrize(("host", "port", "words"), [
    ("192.0.2.1", None, "expected an address of this machine"),
    ("127.0.0.1", 70000, "port: expected 1 to 65535, or 0 for a free one"),
    ("nowhere.invalid", None, "expected an address of this machine"),
])  # fmt: skip
def test_an_address_that_cannot_be_is_one_line(
    tmp_path: Path, host: str, port: int | None, words: str
) -> None:
    with pytest.raises(BrokerError, match=words), running_broker(tmp_path, host=host, port=port):
        pass


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BrokerError, match="expected a folder"), running_broker(tmp_path / "file"):
        pass


def test_the_embedded_broker_says_what_it_cannot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running_broker(tmp_path, embedded=True):
        assert "400 messages of QoS 1 a second" in caplog.text


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_runs_a_broker_until_it_is_told_to_end(
    tmp_path: Path, ending: signal.Signals
) -> None:
    # As a shell's background job, which begins with SIGINT ignored.
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    main = "from tinyfleet.cli import main; main()"
    command = [sys.executable, "-c", ignore + main, "broker", "run"]
    options = ["--embedded", "--json", "--port", "0", "--folder", "state"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    with process.stdout:
        said = json.loads(process.stdout.readline())
        socket.create_connection((said["host"], said["port"])).close()
        process.send_signal(ending)

    assert process.wait(20) == 0
    assert said["kind"] == "amqtt"
    with pytest.raises(ProcessLookupError):
        os.kill(said["pid"], 0)
