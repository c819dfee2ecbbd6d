"""A contest: every peer in a process of its own, bouts in turn, so that noise hits all alike."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import IO

from tinyfleet.simulations.bench import machine
from tinyfleet.simulations.bench.bout import Bout, Settings

PATIENCE = 300.0  # seconds for a bout, the first one with a peer's start included
GLANCE = 0.2  # seconds between two looks at a peer's memory
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True)
class Standing:
    """How a peer has done so far.

    Attributes:
        rates: updates per second of each timed bout.
        memory_mib: peak memory of its processes in the untimed first bout.
        how: how it trained, in words.
        reason: why it gave up; None while it has not.
    """

    rates: tuple[float, ...] = ()
    memory_mib: float = 0.0
    how: str = ""
    reason: str | None = None


class Contestant:
    """A peer's process; leaving the context ends it and all that it started."""

    def __init__(self, peer: str, settings: Settings) -> None:
        self.peer = peer
        self.standing = Standing()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, __exit__ closes it
        threads = {} if peer == "peak" else {"OPENBLAS_NUM_THREADS": "1"}
        module, said = "tinyfleet.simulations.bench.child", json.dumps(asdict(settings))
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", module, peer, said],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **QUIET, **threads},
            bufsize=0,
        )

    def __enter__(self) -> "Contestant":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        machine.end_tree(self._process.pid)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def warm_up(self) -> None:
        """Let the peer start and do a bout that does not count, and watch its memory."""
        if not self._ask():
            return
        most = 0.0
        line = b""
        began = time.monotonic()
        while not line.endswith(b"\n") and time.monotonic() - began < PATIENCE:
            most = max(most, machine.tree_memory_mib(self._process.pid))
            chunk = self._read(GLANCE)
            if chunk == b"":
                break
            line += chunk or b""
        self.standing = replace(self.standing, memory_mib=most)
        self._take(line)

    def bout(self) -> None:
        """Do a bout that counts, unless the peer has given up."""
        if self.standing.reason is not None or not self._ask():
            return
        line = b""
        began = time.monotonic()
        while not line.endswith(b"\n") and time.monotonic() - began < PATIENCE:
            chunk = self._read(PATIENCE)
            if not chunk:
                break
            line += chunk
        bout = self._take(line)
        if bout is not None:
            rates = (*self.standing.rates, bout.updates / bout.seconds)
            self.standing = replace(self.standing, rates=rates)

    def _ask(self) -> bool:
        """Ask for a bout; say whether anybody heard."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"go\n")
        except BrokenPipeError:
            self._give_up()
            return False
        return True

    def _read(self, seconds: float) -> bytes | None:
        """Return what came within `seconds`: None for nothing, empty at the stream's end."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return os.read(self._process.stdout.fileno(), 65536) if ready else None

    def _take(self, line: bytes) -> Bout | None:
        if not line.endswith(b"\n"):
            self._give_up()
            return None
        bout = Bout(**json.loads(line))
        self.standing = replace(self.standing, how=bout.how)
        return bout

    def _give_up(self) -> None:
        """Note the last line that the peer left on stderr."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        reason = said[-1][:300] if said else f"no answer within {PATIENCE:.0f} s"
        self.standing = replace(self.standing, reason=reason)


def contest(
    peers: Sequence[str], settings: Settings, listen: Callable[[str, str], None]
) -> dict[str, Standing]:
    """Start each peer, then let each do a bout in turn until all bouts are done.

    Args:
        peers: who takes part; see `tinyfleet.simulations.bench.child`.
        settings: what each is asked to do.
        listen: hears what is being done and with whom, before every bout.

    Returns:
        How each did. A peer that fails has the reason in its standing and disturbs no other.
    """
    with ExitStack() as stack:
        contestants = []
        for peer in peers:
            listen("start", peer)
            contestants.append(stack.enter_context(Contestant(peer, settings)))
            contestants[-1].warm_up()
        for _ in range(settings.bouts - 1):
            for contestant in contestants:
                listen("bout", contestant.peer)
                contestant.bout()
        return {contestant.peer: contestant.standing for contestant in contestants}
