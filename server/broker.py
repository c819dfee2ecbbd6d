"""Start a broker and see it end: Mosquitto where it is installed, otherwise amqtt."""

import contextlib
import errno
import importlib.util
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tinyfleet.address import bound_port, near
from tinyfleet.children import last_words
from tinyfleet.errors import BrokerError
from tinyfleet.server.mosquitto import find_mosquitto, local_settings

LOG = "broker.log"
START_SECONDS = 20.0
STOP_SECONDS = 10.0

Kind = Literal["mosquitto", "amqtt"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunningBroker:
    """A broker that takes connections.

    Attributes:
        host, port: where it listens.
        kind: "mosquitto" or "amqtt".
        log: the file that it writes to.
    """

    host: str
    port: int
    kind: Kind
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def stop(self) -> None:
        """End it, let it write what it keeps, and wait until its process is gone; twice is fine."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            BrokerError: it has ended; the message holds the end of its log.
        """
        code = self.process.poll()
        if code is not None:
            raise BrokerError(
                f"{self.kind}: expected a broker that runs, got exit {code} "
                f"({_last_words(self.log)}); all of it is in {self.log}"
            )


@contextmanager
def running_broker(
    folder: Path, *, host: str = "127.0.0.1", port: int | None = None, embedded: bool | None = None
) -> Iterator[RunningBroker]:
    """Run a broker that everyone may use, for one machine, until the block ends.

    It knows no passwords and no TLS: `tinyfleet broker config` writes the configuration of a
    broker that does.

    Args:
        folder: for its configuration, its log and what Mosquitto keeps between two runs.
        host: the address to listen on.
        port: a free one when 0 or not given.
        embedded: amqtt when True, Mosquitto when False, the better one that is there when None.

    Raises:
        BrokerError: no such broker is installed, the port is taken, or the broker does not start.

    Example:
        with running_broker(Path("state")) as broker:
            print(broker.kind, broker.port)
    """
    mosquitto = None if embedded else find_mosquitto()
    if embedded is False and mosquitto is None:
        raise BrokerError(
            "mosquitto: expected it to be installed, found none; "
            "run `apt-get install mosquitto`, or take the embedded broker"
        )
    if mosquitto is None and importlib.util.find_spec("amqtt") is None:
        raise BrokerError(
            "broker: expected mosquitto or amqtt to be installed, found neither; "
            "run `apt-get install mosquitto`, or `pip install --no-deps amqtt`"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        broker = _start(folder.resolve(), host, _claim(host, port), mosquitto)
    except OSError as error:
        raise BrokerError(
            f"{folder}: expected a folder for a broker, got {error.strerror or error}; "
            "check its permissions"
        ) from None
    try:
        _wait(broker)
        yield broker
    finally:
        broker.stop()


def _start(folder: Path, host: str, port: int, mosquitto: str | None) -> RunningBroker:
    kind: Kind
    if mosquitto is None:
        kind = "amqtt"
        command = [sys.executable, "-m", "tinyfleet.server.embedded_broker", host, str(port)]
        log.warning(
            "the embedded broker amqtt manages about 400 messages of QoS 1 a second, enough for "
            "tens of devices, and keeps nothing when it ends; install mosquitto for more"
        )
    else:
        kind = "mosquitto"
        settings = folder / "mosquitto.conf"
        settings.write_text(local_settings(folder, host, port), encoding="utf-8")
        command = [mosquitto, "-c", str(settings)]
    # A session of its own: Ctrl-C reaches who started the broker, and they end it in order.
    with open(folder / LOG, "wb") as output:
        process = subprocess.Popen(  # noqa: S603  a program by its path, no shell
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    return RunningBroker(host, port, kind, folder / LOG, process)


def _claim(host: str, port: int | None) -> int:
    """Return the port, or a free one, that can be listened on now."""
    if port is not None and not 0 <= port < 65536:
        raise BrokerError(f"port: expected 1 to 65535, or 0 for a free one, got {port}")
    try:
        return bound_port(host, port or 0)
    except OSError as error:
        raise BrokerError(_refused(host, port, error)) from None


def _refused(host: str, port: int | None, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port}: expected a free one on {host}, got one in use; "
            "stop the program that has it, or take another port"
        )
    return (
        f"host {host}, port {port or 'any'}: expected an address of this machine that may be "
        f"listened on, got {error.strerror or error}"
    )


def _wait(broker: RunningBroker) -> None:
    """Return once the broker greets a client as MQTT asks."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        broker.check()
        if _greets(broker):
            # Some other program may have taken the port in between; then ours has ended.
            broker.check()
            return
        time.sleep(0.05)
    raise BrokerError(
        f"{broker.kind}: expected an answer on {broker.host}:{broker.port} within "
        f"{START_SECONDS:.0f} s, got none ({_last_words(broker.log)}); see {broker.log}"
    )


def _greets(broker: RunningBroker) -> bool:
    client = Client(CallbackAPIVersion.VERSION2)
    try:
        client.connect(near(broker.host), broker.port, keepalive=10)
    except OSError:
        return False
    until = time.monotonic() + 2.0
    while not client.is_connected() and time.monotonic() < until:
        if client.loop(timeout=0.2) != 0:
            return False
    greeted = client.is_connected()
    client.disconnect()
    return greeted


def _last_words(path: Path) -> str:
    """Return the last lines of a log as one line."""
    return last_words(path.read_text(encoding="utf-8", errors="replace")) or "it said nothing"
