"""Programs that belong together: when one of them ends, all end."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sysconfig
import textwrap
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

from tinyfleet.errors import ConfigError, FleetError

START_SECONDS = 60.0
"""How long a child may take until it is ready: Flower imports much, and some boards are slow."""

STOP_SECONDS = 10.0
"""How long a child may take to end in order; then it is killed."""

MOST_LOG_BYTES = 8 * 2**20
"""A log that is longer than this at a start is put aside, in the place of the one before."""

LOCK = "lock"
"""The file that is locked while a command uses a folder; it says which."""

_LAST_WORDS, _TAIL_BYTES = 300, 64 * 2**10


@dataclass(frozen=True)
class Child:
    """A program that runs, or has run.

    Attributes:
        name: what messages call it.
        process: its process.
        log: the file that it writes to.
        since: how many bytes were in the log before it was started.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    since: int = 0

    @property
    def farewell(self) -> str:
        """How it ended, as one line."""
        with open(self.log, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self.since, end - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        return (
            f"{self.name}: expected it to run, got exit {self.process.returncode} "
            f"({last_words(text) or 'it said nothing'}); all of it is in {self.log}"
        )


def last_words(text: str) -> str:
    """Return the last lines of a log that fit into one line for a person.

    The very last line counts, and before it those with ERROR or WARNING where there are any.

    >>> last_words("begins\\nERROR: no room\\nleaves\\n ends")
    'ERROR: no room; ends'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    marked = [line for line in lines[:-1] if "ERROR" in line or "WARNING" in line]
    said = textwrap.shorten(lines[-1], _LAST_WORDS, placeholder=" ...")
    for line in reversed(marked or lines[:-1]):
        if len(line) + len(said) > _LAST_WORDS:
            break
        said = f"{line}; {said}"
    return said


class Children:
    """The children of one command: they are watched together and stopped in order.

    Ctrl-C and SIGTERM ask to stop. Each child has a session of its own, so that these reach it
    through here alone, and a log of its own. Leaving the block stops the children, the last one
    started first. It is for the main thread, as signals are. Inside the block nobody else has
    children in the folder.

    Args:
        folder: where the logs are written.
        command: what the folder's next user is told of us.

    Example:
        with Children(Path("logs"), "make sleep") as children:
            children.start("sleeper", ["sleep", "1000"])
            children.supervise()
    """

    def __init__(self, folder: Path, command: str) -> None:
        self._folder, self._command = folder, command
        self._started: list[Child] = []
        # Who has ended, or None when we are asked to stop. A signal's handler may put while this
        # very thread waits, which no other queue allows.
        self._events: SimpleQueue[Child | None] = SimpleQueue()
        self._handlers: dict[int, Any] = {}
        self._lock: BinaryIO | None = None

    def __enter__(self) -> "Children":
        """Take the folder.

        Raises:
            ConfigError: another command has it, or it cannot be written.
        """
        self._lock = _lock(self._folder, self._command)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, lambda *_: self._events.put(None))
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._started):
            _stop(child.process)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._lock is not None:
            self._lock.close()

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a program; one of this Python's environment is found before others of its name.

        Args:
            name: what messages call it; its log is `name`.log, behind what is there.
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
            if log.exists() and log.stat().st_size > MOST_LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))
            with open(log, "ab") as output:
                now = datetime.now(UTC).isoformat(" ", "seconds")
                output.write(f"--- {now} {name} starts\n".encode())
                output.flush()
                since = output.tell()
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
        child = Child(name, process, log, since)
        self._started.append(child)
        self.watch(child)

    def watch(self, child: Child) -> None:
        """Notice when `child` ends, without stopping it when we do."""

        def wait() -> None:
            child.process.wait()
            self._events.put(child)

        threading.Thread(target=wait, name=f"waits for {child.name}", daemon=True).start()

    def wait_until(
        self,
        name: str,
        ready: Callable[[], bool],
        *,
        seconds: float = START_SECONDS,
        every: float = 0.1,
    ) -> bool:
        """Wait until `ready` returns True; return False when we are asked to stop before.

        Args:
            name: what messages call what is waited for.
            ready: whether it is ready.
            seconds: how long it may take.
            every: seconds between two looks.

        Raises:
            FleetError: a child has ended meanwhile, or it takes too long.
        """
        until = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > until:
                raise FleetError(
                    f"{name}: expected it to be ready within {seconds:.0f} s; "
                    f"see {self._folder / name}.log"
                )
            try:
                event = self._events.get(timeout=every)
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


def _lock(folder: Path, command: str) -> BinaryIO:
    """Take `folder` for this process, until it closes the file or dies."""
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise ConfigError(
            f"{folder}: expected a folder that can be written, got {error.strerror or error}; "
            "check its permissions, or name another"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read(100).decode("utf-8", "replace").strip() or command
        file.close()
        raise ConfigError(
            f"{folder}: expected a folder of its own, got one in use: another {owner} uses it; "
            "stop that, or name another folder"
        ) from None
    file.truncate(0)
    file.write(f"{command} (process {os.getpid()})\n".encode())
    return file


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a child in order, then kill what is left of its session: itself, or its children."""
    process.terminate()  # does nothing when it has ended
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
