"""Real gateway daemons for tests, in processes of their own, which can be killed and started."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty
from types import TracebackType
from typing import Any

from tinyfleet.broker import Broker
from tinyfleet.payloads import Ack, Order, Refused
from tinyfleet.session import Message, Session
from tinyfleet.topics import Topic, topic_filter

COMMAND = [str(Path(sys.executable).parent / "tinyfleet"), "client"]
SINE = 'source = { kind = "sine", seed = 1 }\n'


def write_gateway(
    folder: Path, port: int, devices: str, *, name: str = "gw-1", more: str = ""
) -> Path:
    """Write the file of a gateway of the fleet "lab" and return its path."""
    folder.mkdir(exist_ok=True)
    path = folder / "gateway.toml"
    path.write_text(
        f'fleet = "lab"\ngateway = "{name}"\nnetwork = "sine"\n'
        f"[broker]\nport = {port}\n{more}{devices}"
    )
    return path


def simulated(first: int, last: int) -> str:
    """Return the table of simulated devices with sines of their own."""
    return f'[[device]]\nnumbers = [{first}, {last}]\nkind = "simulated"\n{SINE}'


class RunningDaemon:
    """A daemon in a process of its own; leaving its `with` block ends it.

    It is ready when its constructor or `start` returns: it says so as it would to systemd.
    """

    def __init__(
        self, config: Path, tinyfleet: Sequence[str] = COMMAND, watchdog_seconds: int = 0
    ) -> None:
        self.config = config
        self.log = config.with_suffix(".log")
        self._command = [*tinyfleet, "run", "--config", str(config), "--log-level", "debug"]
        address = config.with_suffix(".sock")
        self._environment = {**os.environ, "NOTIFY_SOCKET": str(address)}
        if watchdog_seconds:
            self._environment["WATCHDOG_USEC"] = str(watchdog_seconds * 1_000_000)
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(address))
        self._notices.settimeout(30)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )
        while (notice := self.next_notice()) != b"READY=1":
            assert notice == b"STOPPING=1", self.log.read_text()  # of the one before

    def next_notice(self) -> bytes:
        """Return the next of what it tells systemd."""
        return self._notices.recv(100)

    def kill(self) -> None:
        """End it at once, as a loss of power would."""
        assert self._end(signal.SIGKILL) == -signal.SIGKILL

    def stop(self) -> int:
        """End it in order and return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(30)
        self._process = None
        return code

    def __enter__(self) -> "RunningDaemon":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.stop()
        self._notices.close()


def command(name: str, config: Path) -> subprocess.CompletedProcess[str]:
    """Run `tinyfleet client NAME --json`."""
    return subprocess.run(
        [*COMMAND, name, "--config", str(config), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
    )


def settled_status(
    config: Path, *, unacknowledged: int = 0, seconds: float = 20.0
) -> dict[str, Any]:
    """Return what a daemon says of itself once it is well and only so many answers wait."""
    deadline = time.monotonic() + seconds
    while True:
        told = command("status", config)
        if told.returncode == 0:
            found: dict[str, Any] = json.loads(told.stdout)
            health = found["health"]
            if (health["asked"], health["unacknowledged"]) == (0, unacknowledged):
                return found
        assert time.monotonic() < deadline, told
        time.sleep(0.1)


class Listener:
    """Another client of the broker, which hears one topic of the gateway's devices."""

    def __init__(self, port: int, topic: str) -> None:
        self._session = Session(Broker("127.0.0.1", port), f"listener-{topic}", clean=True)
        self._session.subscribe(topic_filter("lab", "gw-1", topic=topic))
        self._session.start(timeout=10)

    def next(self, holding: bytes = b"", seconds: float = 20.0) -> bytes:
        """Return the payload of the next message that holds these bytes."""
        deadline = time.monotonic() + seconds
        while True:
            event = self._session.events.get(timeout=max(0.0, deadline - time.monotonic()))
            if isinstance(event, Message) and holding in event.payload:
                return event.payload

    def is_quiet(self, seconds: float = 1.0) -> bool:
        """Return whether nothing comes."""
        with suppress(Empty):
            self.next(seconds=seconds)
            return False
        return True

    def send(self, device: int, payload: bytes) -> None:
        """Publish an assignment for `device`."""
        self._session.publish(str(Topic("lab", "gw-1", str(device), "assignment")), payload)

    def acknowledge(self, order: Order) -> None:
        """Say, as a server would, that the answer to `order` is on its disk."""
        topic = Topic("lab", "gw-1", str(order.device), "ack")
        self._session.publish(str(topic), Ack(order.id, "accepted").to_bytes())

    def refusal_of(self, order: Order, seconds: float = 20.0) -> str:
        """Send `order` and return why it is refused."""
        self.send(order.device, order.to_bytes())
        refused = Refused.from_bytes(self.next(order.id.encode(), seconds))
        assert (refused.id, refused.device, refused.round) == (order.id, order.device, order.round)
        return refused.reason

    def __enter__(self) -> "Listener":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()
