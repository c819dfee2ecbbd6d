"""Queries of others: evaluated in a process apart, within limits of time, memory and rows.

A worker sees a snapshot of the graph: the directory as it was when the worker opened it, or a file
of N-Quads where the graph is in memory. It opens a new one as soon as something was written.
"""

import json
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, LifoQueue
from threading import BoundedSemaphore
from time import monotonic, sleep
from typing import IO, Any, Literal

from tinyfleet.errors import QueryError
from tinyfleet.ontology.vocabulary import PREFIXES

WORKERS = 2
"""Queries that are evaluated at a time."""

OPENING = 120.0
"""Seconds that a worker may take to open a snapshot."""

_PROGRAM = Path(__file__).with_name("evaluator.py")
_RETRIES = 10
_PAUSE = 0.05  # seconds


@dataclass(frozen=True)
class Question:
    """A query that somebody asks.

    Attributes:
        query: its text.
        results: media type of the answer to SELECT and ASK.
        triples: media type of the answer to CONSTRUCT and DESCRIBE.
        default_graphs: IRIs of the graphs that make the default graph.
        named_graphs: IRIs of the graphs that GRAPH can name. With neither, all are there.
        union: whether the default graph holds what all named graphs hold.
        limit: rows or triples at most.
        seconds: that it may take.
    """

    query: str
    results: str = "application/sparql-results+json"
    triples: str = "text/turtle"
    default_graphs: tuple[str, ...] = ()
    named_graphs: tuple[str, ...] = ()
    union: bool = False
    limit: int = 10_000
    seconds: float = 30.0


@dataclass(frozen=True)
class Answer:
    """What a query found.

    Attributes:
        kind: the form of the query; a DESCRIBE is a "construct".
        media_type: of the body.
        body: in the format asked for; JSON for an ASK of which CSV or TSV was asked.
        more: whether there were more rows or triples than the limit.
    """

    kind: Literal["select", "ask", "construct"]
    media_type: str
    body: bytes = field(repr=False)
    more: bool = False


@dataclass(frozen=True)
class Snapshot:
    """What a worker opens: a directory or a file of N-Quads; `version` tells them apart."""

    path: Path
    directory: bool
    version: int


class Evaluators:
    """A few workers, each started when first needed and ended when it overruns."""

    def __init__(self) -> None:
        self._idle: LifoQueue[_Worker] = LifoQueue()
        self._places = BoundedSemaphore(WORKERS)

    def take(self, seconds: float) -> "_Worker":
        """Wait for a worker.

        Raises:
            QueryError: all are busy for that long.
        """
        if not self._places.acquire(timeout=max(seconds, 0.0)):
            raise QueryError(
                f"expected a free worker within {seconds:g} s, got {WORKERS} busy ones; ask again"
            )
        try:
            return self._idle.get_nowait()
        except Empty:
            return _Worker()

    def give(self, worker: "_Worker") -> None:
        """Take a worker back, or put its place up for another where it ended."""
        if worker.alive:
            self._idle.put(worker)
        else:
            worker.end()
        self._places.release()

    def close(self) -> None:
        """End all workers that wait."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().end()


class _Worker:
    """A process of `evaluator.py`."""

    def __init__(self) -> None:
        self.version: int | None = None
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.communicate()

    def open(self, snapshot: Snapshot) -> None:
        """See the graph as it is now.

        Raises:
            QueryError: the snapshot cannot be opened.
        """
        if self.version == snapshot.version:
            return
        order = {"open": str(snapshot.path), "directory": snapshot.directory, "seconds": OPENING}
        for _ in range(_RETRIES):  # a file may be compacted away while it is opened
            header, _ = self._ask(order, OPENING)
            if "failed" not in header:
                self.version = snapshot.version
                return
            sleep(_PAUSE)
        raise QueryError(f"{snapshot.path}: expected a graph, got {header['failed']:.200}")

    def answer(self, question: Question) -> Answer | None:
        """Evaluate a query; None where files of the snapshot are gone, and it must be opened anew.

        Raises:
            QueryError: it is malformed, or takes too long or too much memory.
        """
        order = {**asdict(question), "prefixes": dict(PREFIXES)}
        header, body = self._ask(order, question.seconds)
        if "refused" in header:
            raise QueryError(f"expected SPARQL 1.1, got {_line(header['refused'])}")
        if "failed" in header:
            self.version = None
            return None
        return as_answer(question, header, body)

    def _ask(self, order: Mapping[str, Any], seconds: float) -> tuple[dict[str, Any], bytes]:
        ends = monotonic() + seconds
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        try:
            pipe_in.write(json.dumps(order).encode() + b"\n")
            pipe_in.flush()
            ready, _, _ = select.select([pipe_out], [], [], max(ends - monotonic(), 0.0))
            if not ready:
                self.end()
                raise QueryError(
                    f"expected an answer within {seconds:g} s, got none; ask for less, or for "
                    "more time"
                )
            return _read(pipe_out)
        except (OSError, ValueError):
            self.end()
            raise QueryError(
                "expected an answer, got none: the query took too much memory, time or nesting; "
                "ask for less"
            ) from None


def as_answer(question: Question, header: Mapping[str, Any], body: bytes) -> Answer:
    """Return what a query found, given the header that goes with it."""
    media = question.triples if header["kind"] == "construct" else question.results
    if header["kind"] == "ask" and not media.endswith(("json", "xml")):
        media = "application/sparql-results+json"
    return Answer(header["kind"], media, body, header["more"])


def _read(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    header = json.loads(pipe.readline())
    body = pipe.read(header["bytes"])
    if len(body) != header["bytes"]:
        raise OSError("cut short")
    return header, body


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
