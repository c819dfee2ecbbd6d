"""Where a fleet's graph lies: in memory, in a directory, or behind a SPARQL 1.1 endpoint.

Every store takes SPARQL as text. rdflib's own engine is never asked: it would be hundreds of times
slower, and rdflib falls back to it silently where a store declines.
"""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import sleep
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import pyoxigraph as ox
from oxrdflib import OxigraphStore
from rdflib import Dataset
from rdflib.graph import DATASET_DEFAULT_GRAPH_ID
from rdflib.query import Result

from tinyfleet.errors import QueryError
from tinyfleet.ontology.evaluate import Answer, Evaluators, Question, Snapshot
from tinyfleet.ontology.remote import Remote
from tinyfleet.ontology.vocabulary import PREFIXES

LOG = 64 * 2**20
"""Characters of updates after which the log is flushed, lest whoever opens the graph reads more."""

TRIES, PAUSE = 10, 0.05  # seconds
"""How often, and when, a directory is opened again that another process writes."""

Done = TypeVar("Done")
_PREFIXES = dict(PREFIXES)


class Store(Protocol):
    """What answers queries and takes updates; the prefixes of the vocabulary are declared."""

    dataset: Dataset

    def query(self, text: str) -> Result:
        """Return what a query finds; the rows of a SELECT come as they are read."""

    def update(self, text: str) -> None:
        """Do all of an update, or nothing of it."""

    def extend(self, quads: str) -> None:
        """Add N-Quads, fast; when the process is killed, some of them may be there."""

    def answer(self, question: Question) -> Answer:
        """Return what a query of others finds, within its limits."""

    def quads(self) -> Iterable[ox.Quad]:
        """Return all statements of all graphs."""

    def flush(self) -> None:
        """Write all that was taken to the disk."""

    def close(self) -> None:
        """Give back what the store holds."""


def open_store(place: Path | str | None, *, read_only: bool = False) -> Store:
    """Open the store at `place`: None for memory, a directory, or the URL of an endpoint.

    Raises:
        QueryError: another process has the directory, or it cannot be made or read.
    """
    if place is None:
        return Local(ox.Store(), None)
    if urlsplit(str(place)).scheme in ("http", "https"):
        return Remote(str(place).rstrip("/"), read_only=read_only)
    return _open_directory(Path(place), read_only=read_only)


def _open_directory(place: Path, *, read_only: bool) -> "Local":
    if read_only and not (place / "CURRENT").is_file():
        got = "one that holds none" if place.is_dir() else "none"
        raise QueryError(f"{place}: expected the folder of a graph, got {got}")
    try:
        if read_only:
            return Local(_beside(place), place, read_only=True)
        place.mkdir(parents=True, exist_ok=True)
        return Local(ox.Store(str(place)), place)
    except (OSError, RuntimeError) as error:
        if "LOCK" in str(error):
            raise QueryError(
                f"{place}: expected a graph that no other process has, got one in use; "
                "stop that process, ask it over HTTP, or open the graph to read only"
            ) from None
        raise QueryError(
            f"{place}: expected the folder of a graph, got none that can be "
            f"{'read' if read_only else 'used'} ({_line(error)})"
        ) from None


def _beside(place: Path) -> ox.Store:
    """Open a directory to read only; whoever writes it may take a file away meanwhile."""
    for _ in range(TRIES):
        with suppress(RuntimeError):
            return ox.Store.read_only(str(place))
        sleep(PAUSE)
    return ox.Store.read_only(str(place))


@dataclass
class Local:
    """Oxigraph in this process; `place` is None in memory."""

    oxigraph: ox.Store
    place: Path | None
    read_only: bool = False

    def __post_init__(self) -> None:
        self._store = OxigraphStore(store=self.oxigraph)
        self._writing = Lock()
        self._writes = self._unflushed = 0
        self._evaluators = Evaluators()
        self._dumped: tempfile._TemporaryFileWrapper[bytes] | None = None
        self._dumped_at = -1
        self.dataset = Dataset(store=self._store)

    def query(self, text: str) -> Result:
        """Return what a query finds.

        Raises:
            QueryError: the query is malformed, or the disk cannot be read.
        """
        return _translated(lambda: self._store.query(text, _PREFIXES, {}, ""))

    def update(self, text: str) -> None:
        """Do all of an update, or nothing of it.

        Raises:
            QueryError: the update is malformed, the graph is read only, or the disk is full.
        """
        with self._writing:
            _translated(lambda: self._store.update(text, _PREFIXES, {}, DATASET_DEFAULT_GRAPH_ID))
            self._writes += 1
            self._unflushed += len(text)
            if self._unflushed > LOG:
                self.flush()

    def extend(self, quads: str) -> None:
        """Add N-Quads, fast; when the process is killed, some of them may be there.

        Raises:
            QueryError: they are malformed, the graph is read only, or the disk is full.
        """
        with self._writing:
            parsed = ox.parse(quads, format=ox.RdfFormat.N_QUADS)
            _translated(lambda: self.oxigraph.bulk_extend(parsed))
            self._writes += 1

    def answer(self, question: Question) -> Answer:
        """Return what a query of others finds, evaluated in a process apart.

        Raises:
            QueryError: it is malformed, or takes too long or too much memory.
        """
        worker = self._evaluators.take(question.seconds)
        try:
            for _ in range(2):
                with self._writing:  # nothing is written while the worker opens what is there
                    worker.open(self._snapshot())
                answer = worker.answer(question)
                if answer is not None:
                    return answer
            raise QueryError("the graph's store: expected it to answer, got files that change")
        finally:
            self._evaluators.give(worker)

    def _snapshot(self) -> Snapshot:
        if self.place is not None:
            return Snapshot(self.place, True, self._writes)
        if self._dumped_at != self._writes:
            if self._dumped is not None:
                self._dumped.close()
            self._dumped = tempfile.NamedTemporaryFile(suffix=".nq")  # noqa: SIM115
            self.oxigraph.dump(self._dumped.name, format=ox.RdfFormat.N_QUADS)
            self._dumped_at = self._writes
        assert self._dumped is not None
        return Snapshot(Path(self._dumped.name), False, self._writes)

    def quads(self) -> Iterable[ox.Quad]:
        """Return all statements of all graphs."""
        found: Iterable[ox.Quad] = iter(self.oxigraph)
        return found

    def flush(self) -> None:
        """Write all that was taken to the disk."""
        if self.place is not None and not self.read_only:
            _translated(self.oxigraph.flush)
            self._unflushed = 0

    def close(self) -> None:
        """Let another process have the directory."""
        self._evaluators.close()
        if self._dumped is not None:
            self._dumped.close()
        del self.dataset, self._store, self.oxigraph


def _translated(do: Callable[[], Done]) -> Done:
    try:
        return do()
    except SyntaxError as error:
        raise QueryError(f"expected SPARQL 1.1, got {_line(error)}") from None
    except (OSError, RuntimeError) as error:
        raise QueryError(f"the graph's store: expected it to answer, got {_line(error)}") from None


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300]
