"""Programs that belong together: when one of them ends, all end."""

import contextlib
import os
import signal
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from tinyfleet.errors import FleetError

START_SECONDS = 60.0
"""How long a child may take until it is ready: Flower imports much, and some boards are slow."""

STOP_SECONDS = 10.0
"""How long a child may take to end in order; then it is killed."""


@dataclass(frozen=True)
class Child:
    """A program that runs, or has run.

    Attributes:
        name: what messages call it.
        process: its process.
        log: the file that it writes to.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def farewell(self) -> str:
        """How it ended, as one line."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        said = "; ".join(line.strip() for line in text.splitlines() if line.strip())[-300:]
        return (
            f"{self.name}: expected it to run, got exit {self.process.returncode} "
            f"({said or 'it said nothing'}); all of it is in {self.log}"
        )


class Children:
    """The children of one command: they are watched together and stopped in order.

    Ctrl-C and SIGTERM ask to stop. Each child has a session of its own, so that these reach it
    through here alone, and a log of its own. Leaving the block stops the children, the last one
    started first. It is for the main thread, as signals are.

    Args:
        folder: where the logs are written.

    Example:
        with Children(Path("logs")) as children:
            children.start("sleeper", ["sleep", "1000"])
            children.supervise()
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Child] = []
        # Who has ended, or None when we are asked to stop. A signal's handler may put while this
        # very thread waits, which no other queue allows.
        self._events: SimpleQueue[Child | None] = SimpleQueue()
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Children":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, lambda *_: self._events.put(None))
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._started):
            _stop(child.process)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a program; one of this Python's environment is found before others of its name.

        Args:
            name: what messages call it; its log is `name`.log.
            command: the program and its arguments.
            environment: variables besides our own.

        Raises:
            FleetError: there is no such program, or its log cannot be written.
        """
        log = self._folder / f"{name}.log"
        # Flower's programs start each other by name.
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with open(log, "wb") as output:
                process = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **(environment or {}), "PATH": path},
                    start_new_session=True,
                )
        except OSError as error:
            raise FleetError(
                f"{name}: expected to start {command[0]}, got {error.strerror or error}; "
                f"is it installed, and can {log} be written?"
            ) from None
        child = Child(name, process, log)
        self._started.append(child)
        self.watch(child)

    def watch(self, child: Child) -> None:
        """Notice when `child` ends, without stopping it when we do."""

        def wait() -> None:
            child.process.wait()
            self._events.put(child)

        threading.Thread(target=wait, name=f"waits for {child.name}", daemon=True).start()

    def wait_until(self, name: str, ready: Callable[[], bool]) -> bool:
        """Wait until `ready` returns True; return False when we are asked to stop before.

        Raises:
            FleetError: a child has ended meanwhile, or it takes longer than `START_SECONDS`.
        """
        until = time.monotonic() + START_SECONDS
        while not ready():
            if time.monotonic() > until:
                raise FleetError(
                    f"{name}: expected it to be ready within {START_SECONDS:.0f} s; "
                    f"see {self._folder / name}.log"
                )
            try:
                event = self._events.get(timeout=0.1)
            except Empty:
                continue
            return self._is_child(event)
        return True

    def supervise(self) -> None:
        """Return when we are asked to stop.

        Raises:
            FleetError: a child has ended before.
        """
        self._is_child(self._events.get())

    def _is_child(self, event: Child | None) -> bool:
        """Return False when the event asks to stop; raise when it is a child that has ended."""
        if event is not None:
            raise FleetError(event.farewell)
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a child in order, then kill what is left of its session: itself, or its children."""
    process.terminate()  # does nothing when it has ended
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
