"""A real Mosquitto for tests, which can be killed and started again."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from needed import mosquitto_program


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


class RunningMosquitto:
    """A broker in a process of its own; leaving its `with` block stops it."""

    def __init__(self, binary: str, folder: Path, port: int, config: str) -> None:
        self.port = port
        self.log = folder / f"mosquitto-{port}.log"
        self._file = folder / f"mosquitto-{port}.conf"
        self._file.write_text(f"user root\nlistener {port} 127.0.0.1\n{config}\n")
        self._command = [binary, "-c", str(self._file)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with the same port and configuration, and wait until it listens."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        for _ in range(500):
            assert self._process.poll() is None, self.log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """End it at once, as a loss of power would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order; it may be ended already."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def __enter__(self) -> "RunningMosquitto":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def running_mosquitto(
    folder: Path, port: int | None = None, config: str = "allow_anonymous true"
) -> RunningMosquitto:
    """Start Mosquitto on `port` of 127.0.0.1; without it a test is skipped, and fails in CI.

    Args:
        folder: where its configuration and its log go.
        port: where it listens; None takes a free port.
        config: lines behind the one that says where it listens.
    """
    binary = mosquitto_program()
    broker = RunningMosquitto(binary, folder, port or free_port(), config)
    broker.start()
    return broker


_MORTAL = """
import sys
from tinyfleet.broker import Broker
from tinyfleet.session import Session

port, topic, payload, *retained = sys.argv[1:]
will = (topic, bytes.fromhex(payload))
session = Session(Broker("127.0.0.1", int(port)), "mortal", clean=True, will=will)
session.start(10.0)
for topic, payload in zip(retained[::2], retained[1::2], strict=True):
    session.publish(topic, bytes.fromhex(payload), retain=True)
sys.stdin.read()
"""


def mortal(port: int, *messages: tuple[str, bytes]) -> subprocess.Popen[bytes]:
    """Start a session in a process of its own, to be killed.

    Args:
        port: where the broker listens.
        messages: topics and payloads: first the will, then what is published, retained.
    """
    arguments = [part for topic, payload in messages for part in (topic, payload.hex())]
    command = [sys.executable, "-c", _MORTAL, str(port), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE)
