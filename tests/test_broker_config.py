"""The secure configuration keeps its promises in a real Mosquitto: who may do what, and who not."""

import json
import os
import queue
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from needed import mosquitto_program
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from tinyfleet.broker import Broker, tls_context
from tinyfleet.errors import BrokerError
from tinyfleet.server.broker_commands import broker as commands
from tinyfleet.server.broker_config import former_place, write_secure_broker
from tinyfleet.server.mosquitto import SecureBroker

LAB = SecureBroker("lab", ("gw-1", "gw-2"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def mosquitto(config: Path, port: int) -> Iterator[None]:
    """Run the written configuration itself; root stays root, for whom alone the folder is open."""
    program = mosquitto_program()
    if os.geteuid() == 0:
        config.write_text(config.read_text("utf-8") + "user root\n", encoding="utf-8")
    with open(config.parent / "log", "wb") as log:
        process = subprocess.Popen([program, "-c", config], stdout=log, stderr=log)
    try:
        for _ in range(200):
            assert process.poll() is None, (config.parent / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module", params=["passwords", "certificates"])
def secure(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[
    tuple[SecureBroker, Path]
]:  # fmt: skip
    """A running broker of the fleet lab, and the folder of its configuration."""
    broker = replace(LAB, port=free_port(), certificates=request.param == "certificates")
    config = write_secure_broker(broker, tmp_path_factory.mktemp("secure") / "broker")
    with mosquitto(config, broker.port):
        yield broker, config.parent


def account(broker: SecureBroker, folder: Path, name: str) -> Broker:
    """Return how the account knows the broker, from the files that are for it."""
    own = folder / "clients" / name
    if broker.certificates:
        pair = own / "client.crt", own / "client.key"
        return Broker("localhost", broker.port, None, None, own / "ca.crt", *pair)
    password = (own / "password").read_text("utf-8").strip()
    return Broker("localhost", broker.port, name, password, own / "ca.crt")


class Account:
    """A client that waits for each answer of the broker."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.heard: queue.Queue[str] = queue.Queue()
        self._subscribed: queue.Queue[int] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name)
        self._client.tls_set(
            str(broker.ca),
            None if broker.certificate is None else str(broker.certificate),
            None if broker.key is None else str(broker.key),
        )
        if broker.username is not None:
            self._client.username_pw_set(broker.username, broker.password)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *answer: self._subscribed.put(answer[2])
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.put(message.topic)

    def subscribe(self, topic_filter: str) -> None:
        self._client.subscribe(topic_filter, qos=1)
        self._subscribed.get(timeout=10.0)

    def publish(self, topic: str) -> None:
        self._client.publish(topic, b"!", qos=1).wait_for_publish(10.0)

    def next_heard(self) -> str:
        return self.heard.get(timeout=10.0)

    def __enter__(self) -> "Account":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def accounts(secure: tuple[SecureBroker, Path], *names: str) -> Iterator[list[Account]]:
    broker, folder = secure
    clients = [Account(account(broker, folder, name), name) for name in names]
    try:
        yield clients
    finally:
        for client in clients:
            client.__exit__()


def test_a_gateway_reaches_the_server_and_hears_from_it(
    secure: tuple[SecureBroker, Path],
) -> None:
    with accounts(secure, "gw-1", "server") as (gateway, server):
        server.subscribe("tinyfleet/1/lab/+/+/update")
        gateway.publish("tinyfleet/1/lab/gw-1/7/update")
        assert server.next_heard() == "tinyfleet/1/lab/gw-1/7/update"

        for topic in ("gw-1/7/assignment", "gw-1/7/ack", "_/_/model"):
            gateway.subscribe(f"tinyfleet/1/lab/{topic}")
            server.publish(f"tinyfleet/1/lab/{topic}")
            assert gateway.next_heard() == f"tinyfleet/1/lab/{topic}"


def test_a_gateway_hears_of_its_own_births_alone(secure: tuple[SecureBroker, Path]) -> None:
    with accounts(secure, "gw-1", "gw-2") as (own, other):
        own.subscribe("tinyfleet/1/lab/+/+/birth")
        other.publish("tinyfleet/1/lab/gw-2/7/birth")
        own.publish("tinyfleet/1/lab/gw-1/7/birth")

        assert own.next_heard() == "tinyfleet/1/lab/gw-1/7/birth"


def test_a_gateway_does_not_hear_what_is_for_another(secure: tuple[SecureBroker, Path]) -> None:
    with accounts(secure, "gw-1", "server") as (gateway, server):
        for topic_filter in ("#", "tinyfleet/1/lab/gw-2/+/assignment", "tinyfleet/1/lab/+/+/ack"):
            gateway.subscribe(topic_filter)
        for topic in ("gw-2/9/assignment", "gw-2/9/ack", "gw-1/7/assignment"):
            server.publish(f"tinyfleet/1/lab/{topic}")

        assert gateway.next_heard() == "tinyfleet/1/lab/gw-1/7/assignment"


@pytest.mark.parametrize(
    "forbidden",
    ["lab/gw-2/9/update", "lab/gw-2/9/birth", "lab/gw-2/_/death", "lab/_/_/birth"],
)
def test_what_a_gateway_says_for_another_has_no_effect(
    secure: tuple[SecureBroker, Path], forbidden: str
) -> None:
    with accounts(secure, "gw-1", "server") as (gateway, server):
        for name in ("birth", "death", "update"):
            server.subscribe(f"tinyfleet/1/lab/+/+/{name}")
        gateway.publish(f"tinyfleet/1/{forbidden}")
        gateway.publish("tinyfleet/1/lab/gw-1/7/update")

        assert server.next_heard() == "tinyfleet/1/lab/gw-1/7/update"


@pytest.mark.parametrize("topic", ["gw-2/9/assignment", "gw-2/9/ack", "_/_/model"])
def test_a_gateway_cannot_speak_as_the_server(
    secure: tuple[SecureBroker, Path], topic: str
) -> None:
    with accounts(secure, "gw-1", "gw-2", "server") as (false, other, server):
        other.subscribe(f"tinyfleet/1/lab/{topic}")
        other.subscribe("tinyfleet/1/lab/gw-2/1/assignment")
        false.publish(f"tinyfleet/1/lab/{topic}")
        server.publish("tinyfleet/1/lab/gw-2/1/assignment")

        assert other.next_heard() == "tinyfleet/1/lab/gw-2/1/assignment"


def test_a_client_cannot_take_another_ones_session(secure: tuple[SecureBroker, Path]) -> None:
    broker, folder = secure
    with accounts(secure, "gw-2", "server") as (victim, server):
        victim.subscribe("tinyfleet/1/lab/gw-2/+/assignment")
        with Account(account(broker, folder, "gw-1"), "gw-2") as thief:
            thief.publish("tinyfleet/1/lab/gw-1/7/log")
            server.publish("tinyfleet/1/lab/gw-2/9/assignment")

            assert victim.next_heard() == "tinyfleet/1/lab/gw-2/9/assignment"
            assert thief.heard.empty()


def field(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def answer(broker: Broker, name: str = "localhost") -> str:
    """Say CONNECT once to the broker that should have this name, and return what came back."""
    payload = field("stranger")
    if broker.username is not None:
        payload += field(broker.username) + field(broker.password or "")
    flags = 0x02 if broker.username is None else 0xC2
    packet = field("MQTT") + bytes([4, flags, 0, 30]) + payload
    with socket.create_connection((broker.host, broker.port), timeout=10.0) as connection:
        try:
            if broker.ca is None:
                connection.sendall(bytes([0x10, len(packet)]) + packet)
                got = connection.recv(4)
            else:
                context = tls_context(broker, broker.ca)
                with context.wrap_socket(connection, server_hostname=name) as secured:
                    secured.sendall(bytes([0x10, len(packet)]) + packet)
                    got = secured.recv(4)
        except (ConnectionError, ssl.SSLError) as error:
            return f"broken: {error}"
    return {b"": "closed", b"\x20\x02\x00\x00": "taken"}.get(got, f"refused: {got.hex()}")


def test_who_has_an_account_is_taken(secure: tuple[SecureBroker, Path]) -> None:
    assert answer(account(*secure, "gw-1")) == "taken"


def test_who_has_no_account_is_refused(secure: tuple[SecureBroker, Path]) -> None:
    broker, folder = secure
    nobody = Broker("localhost", broker.port, ca=folder / "ca.crt")

    assert answer(nobody) != "taken"


def test_a_wrong_password_is_refused(secure: tuple[SecureBroker, Path]) -> None:
    broker, folder = secure
    wrong = Broker("localhost", broker.port, "gw-1", "guess", folder / "ca.crt")

    assert answer(wrong) != "taken"


def test_a_client_refuses_a_broker_that_another_authority_vouches_for(
    secure: tuple[SecureBroker, Path], tmp_path: Path
) -> None:
    write_secure_broker(LAB, tmp_path / "other")
    right = account(*secure, "gw-1")

    assert "self-signed certificate" in answer(replace(right, ca=tmp_path / "other" / "ca.crt"))


def test_a_client_refuses_a_broker_under_another_name(secure: tuple[SecureBroker, Path]) -> None:
    right = account(*secure, "gw-1")

    assert "Hostname mismatch" in answer(right, "broker.example.org")


def test_a_certificate_of_another_authority_is_refused(
    secure: tuple[SecureBroker, Path], tmp_path: Path
) -> None:
    write_secure_broker(replace(LAB, certificates=True), tmp_path / "other")
    other = tmp_path / "other" / "clients" / "gw-1"
    own = Broker("localhost", secure[0].port, ca=secure[1] / "ca.crt")

    assert answer(replace(own, certificate=other / "client.crt", key=other / "client.key")) != (
        "taken"
    )


def test_a_link_without_tls_is_refused(secure: tuple[SecureBroker, Path]) -> None:
    known = account(*secure, "gw-1")

    assert answer(Broker("localhost", known.port, known.username, known.password)) != "taken"


def test_tls_before_1_2_is_refused(secure: tuple[SecureBroker, Path]) -> None:
    known = account(*secure, "gw-1")
    assert known.ca is not None
    context = tls_context(known, known.ca)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    with (
        socket.create_connection(("localhost", known.port)) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(connection, server_hostname="localhost")


def written(tmp_path: Path, broker: SecureBroker = LAB) -> Path:
    return write_secure_broker(broker, tmp_path / "broker").parent


@pytest.mark.parametrize("certificates", [True, False])
def test_nobody_else_may_read_a_secret(tmp_path: Path, certificates: bool) -> None:
    folder = written(tmp_path, replace(LAB, certificates=certificates))
    secrets = [
        path
        for path in folder.rglob("*")
        if path.suffix == ".key" or path.name in ("password", "passwords", "acl")
    ]

    assert len(secrets) >= 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    for private in ("ca", "broker", "clients", "data"):
        assert not stat.S_IMODE((folder / private).stat().st_mode) & stat.S_IRWXO


def test_no_password_is_printed_or_written_for_the_broker(tmp_path: Path) -> None:
    command = ["config", "--fleet", "lab", "--gateway", "gw-1", "--out", str(tmp_path / "b")]

    said = CliRunner().invoke(commands, command)

    assert said.exit_code == 0, said.output
    password = (tmp_path / "b" / "clients" / "gw-1" / "password").read_text("utf-8").strip()
    assert len(password) >= 32
    assert password not in said.output
    for path in ("mosquitto.conf", "broker/passwords", "broker/acl"):
        assert password not in (tmp_path / "b" / path).read_text("utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    folder = written(tmp_path)
    before = contents(folder)

    with pytest.raises(BrokerError, match="expected an empty folder"):
        write_secure_broker(LAB, folder)

    assert contents(folder) == before


@pytest.mark.parametrize("certificates", [True, False])
def test_a_gateway_is_added_and_the_others_keep_their_secrets(
    tmp_path: Path, certificates: bool
) -> None:
    first = replace(LAB, certificates=certificates)
    folder = written(tmp_path, first)
    before = contents(folder / "clients")

    write_secure_broker(replace(first, gateways=("gw-1", "gw-2", "gw-3")), folder, force=True)

    after = contents(folder / "clients")
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in set(after) - set(before)} == {"gw-3"}


def test_a_gateway_that_is_not_named_any_more_is_locked_out(tmp_path: Path) -> None:
    broker = replace(LAB, port=free_port())
    config = write_secure_broker(broker, tmp_path / "broker")
    gone = account(broker, config.parent, "gw-2")
    write_secure_broker(replace(broker, gateways=("gw-1",)), config.parent, force=True)

    with mosquitto(config, broker.port):
        assert answer(gone) == "refused: 20020005"


def test_forced_without_host_and_port_it_keeps_those_that_are_there(tmp_path: Path) -> None:
    hosts = ("broker.lan", "10.0.0.7", "localhost")
    folder = written(tmp_path, replace(LAB, hosts=hosts, port=8900))
    before = contents(folder / "clients" / "gw-1")
    command = ["config", "--fleet", "lab", "--gateway", "gw-1", "--out", str(folder)]

    said = CliRunner().invoke(commands, [*command, "--force", "--json"])

    assert said.exit_code == 0, said.output
    assert contents(folder / "clients" / "gw-1") == before
    assert former_place(folder) == (("broker.lan", "10.0.0.7"), 8900)
    assert "listener 8900\n" in (folder / "mosquitto.conf").read_text()
    assert json.loads(said.stdout)["left_over"] == [str(folder / "clients" / "gw-2")]


def test_forced_with_host_and_port_it_takes_these(tmp_path: Path) -> None:
    folder = written(tmp_path, replace(LAB, hosts=("broker.lan",), port=8900))
    command = ["config", "--fleet", "lab", "--gateway", "gw-1", "--out", str(folder), "--force"]

    said = CliRunner().invoke(commands, [*command, "--host", "new.lan", "--port", "8901"])

    assert said.exit_code == 0, said.output
    assert former_place(folder) == (("new.lan",), 8901)


def test_half_an_authority_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "ca" / "ca.key").unlink()

    with pytest.raises(BrokerError, match=r"ca/ca\.key: expected it beside its other half"):
        write_secure_broker(LAB, folder, force=True)


@pytest.mark.parametrize(("changes", "words"), [
    ({"fleet": "a/b"}, "--fleet: expected 1 to 64 letters"),
    ({"gateways": ("gw+",)}, "--gateway: expected 1 to 64 letters"),
    ({"gateways": ("..",)}, "--gateway: expected a name that is free"),
    ({"gateways": ("server",)}, "--gateway: expected a name that is free"),
    ({"gateways": ("_",)}, "--gateway: expected a name that is free"),
    ({"gateways": ("a", "a")}, "--gateway: expected different names"),
    ({"gateways": ()}, "--gateway: expected different names, got none"),
    ({"hosts": ('x"\nallow_anonymous true',)}, "--host: expected the name or address"),
    ({"hosts": ("0.0.0.0",)}, "--host: expected the name or address"),
    ({"port": 0}, "--port: expected 1 to 65535"),
])  # fmt: skip
def test_a_name_that_cannot_be_is_one_line(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BrokerError) as error:
        replace(LAB, **changes)  # type: ignore[arg-type]

    assert words in str(error.value)
    assert "\n" not in str(error.value)
