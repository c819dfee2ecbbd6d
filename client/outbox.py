"""What a gateway must not forget: orders that it took, and answers that nobody has acknowledged.

An order becomes a row under its id and goes one way: asked, answered, done. The row stays when all
is done, so that an id which comes again is not followed again. An update is done when the server
has acknowledged it. A refusal is done at once: nothing is lost with it, and who asks again gets it
again.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from tinyfleet.errors import FleetError

Topic = Literal["update", "refusal"]

MOST_DONE = 20_000
"""Ids of orders that are done which an outbox keeps: 80 rounds of 250 devices."""

_VERSION = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS work (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    device INTEGER NOT NULL,
    round INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('asked', 'answered', 'done')),
    topic TEXT CHECK (topic IN ('update', 'refusal')),
    payload BLOB
) STRICT
"""
_INDEX = "CREATE INDEX IF NOT EXISTS work_state ON work (state, place)"


_STATES: dict[Topic, str] = {"update": "answered", "refusal": "done"}


class Asked(NamedTuple):
    """An order that was taken: its id, for whom, in which round, and the message itself."""

    id: str
    device: int
    round: int
    payload: bytes


class Answer(NamedTuple):
    """An answer to the order `id`: what is published, and on which topic of the device."""

    id: str
    device: int
    topic: Topic
    payload: bytes


@dataclass
class Outbox:
    """An SQLite file that one thread writes; it outlives a killed process and a lost network.

    What a method has returned from is on disk (write-ahead log, synchronous = FULL). Many rows go
    in one transaction. Nobody else can open the file meanwhile.

    Args:
        path: the file; its folder is made when missing.
        most_done: ids of orders that are done which are kept; the oldest go first.

    Attributes:
        bytes: bytes of the orders and answers that wait.

    Raises:
        FleetError: the file cannot be opened, is no outbox, is damaged, or a write failed; what it
            holds stays as it is.
    """

    path: Path
    most_done: int = MOST_DONE
    _rows: sqlite3.Connection = field(init=False, repr=False)
    _asked: dict[str, int] = field(init=False, repr=False)  # bytes by id, as in the file
    _answered: dict[str, int] = field(init=False, repr=False)
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FleetError(
                f"{self.path.parent.resolve()}: expected a folder that can be made, got "
                f"{error.strerror or error}"
            ) from None
        with self._translated():
            self._rows = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
            try:
                self._prepare()
            except BaseException:
                self._rows.close()
                raise

    def close(self) -> None:
        """Close the file; what it holds stays."""
        self._rows.close()

    @property
    def asked(self) -> int:
        """Orders that wait for an answer."""
        return len(self._asked)

    @property
    def answered(self) -> int:
        """Answers that nobody has acknowledged."""
        return len(self._answered)

    def take(self, orders: Iterable[Asked]) -> list[Asked]:
        """Write `orders` down and return those whose id is new; for the others see `answer_to`."""
        with self._transaction():
            new = [
                order
                for order in orders
                if self._rows.execute(
                    "INSERT INTO work (id, device, round, state, payload) "
                    "VALUES (?, ?, ?, 'asked', ?) ON CONFLICT (id) DO NOTHING",
                    order,
                ).rowcount
            ]
        for order in new:
            self._asked[order.id] = len(order.payload)
            self.bytes += len(order.payload)
        return new

    def answer(self, answers: Iterable[Answer]) -> list[Answer]:
        """Put answers in the place of their orders; return those whose order waited for one.

        An order that has its answer keeps it, and none that was never taken gets one.
        """
        with self._transaction():
            written = [
                answer
                for answer in answers
                if self._rows.execute(
                    "UPDATE work SET state = ?, topic = ?, payload = ? "
                    "WHERE id = ? AND state = 'asked'",
                    (_STATES[answer.topic], answer.topic, answer.payload, answer.id),
                ).rowcount
            ]
            self._shrink()
        for answer in written:
            self.bytes -= self._asked.pop(answer.id)
            if _STATES[answer.topic] == "answered":
                self._answered[answer.id] = len(answer.payload)
                self.bytes += len(answer.payload)
        return written

    def acknowledge(self, ids: Iterable[str]) -> list[str]:
        """Forget the answers to these ids, but not the ids; return those that had one."""
        with self._transaction():
            done = [
                name
                for name in ids
                if self._rows.execute(
                    "UPDATE work SET state = 'done', payload = NULL "
                    "WHERE id = ? AND state = 'answered'",
                    (name,),
                ).rowcount
            ]
            self._shrink()
        for name in done:
            self.bytes -= self._answered.pop(name)
        return done

    def answer_to(self, name: str) -> Answer | None:
        """Return the answer to the order `name`; None when there is none, or it is acknowledged."""
        with self._translated():
            row = self._rows.execute(
                "SELECT id, device, topic, payload FROM work "
                "WHERE id = ? AND topic IS NOT NULL AND payload IS NOT NULL",
                (name,),
            ).fetchone()
        return None if row is None else Answer(*row)

    def is_done(self, name: str) -> bool:
        """Return whether the update to the order `name` was made and acknowledged."""
        with self._translated():
            row = self._rows.execute(
                "SELECT 1 FROM work WHERE id = ? AND state = 'done' AND payload IS NULL", (name,)
            ).fetchone()
        return row is not None

    def unanswered(self) -> Iterator[Asked]:
        """Yield the orders that wait for an answer, oldest first."""
        for name in list(self._asked):
            with self._translated():
                row = self._rows.execute(
                    "SELECT id, device, round, payload FROM work WHERE id = ?", (name,)
                ).fetchone()
            yield Asked(*row)

    def unacknowledged(self) -> list[str]:
        """Return the ids of answers that nobody has acknowledged, oldest first."""
        return list(self._answered)

    def _shrink(self) -> None:
        """Forget the oldest ids that are done when there are too many."""
        self._rows.execute(
            "DELETE FROM work WHERE state = 'done' AND place <= (SELECT place FROM work "
            "WHERE state = 'done' ORDER BY place DESC LIMIT 1 OFFSET ?)",
            (self.most_done,),
        )

    def _prepare(self) -> None:
        """Check the file before the first write to it."""
        self._rows.execute("PRAGMA locking_mode = EXCLUSIVE")
        (found,) = self._rows.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        (version,) = self._rows.execute("PRAGMA user_version").fetchone()
        (tables,) = self._rows.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if version != _VERSION and (version or tables):
            raise FleetError(
                f"{self.path.resolve()}: expected an outbox of version {_VERSION}, got a "
                f"database of version {version}; move it away"
            )
        self._rows.execute("PRAGMA journal_mode = WAL")
        self._rows.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            self._rows.execute(_TABLE)
            self._rows.execute(_INDEX)
            self._rows.execute(f"PRAGMA user_version = {_VERSION}")
        self._asked, self._answered = (
            dict(
                self._rows.execute(
                    "SELECT id, length(payload) FROM work WHERE state = ? ORDER BY place", (state,)
                )
            )
            for state in ("asked", "answered")
        )
        self.bytes = sum(self._asked.values()) + sum(self._answered.values())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translated():
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._rows.execute("COMMIT")
            except BaseException:
                if self._rows.in_transaction:  # SQLite has rolled back some failures by itself
                    self._rows.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise FleetError(_refused(self.path.resolve(), error)) from None


def _refused(path: Path, error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"{path.parent}: expected a folder of this daemon's own, got one that another daemon "
            f"uses ({error}); stop that one, or give this gateway another folder"
        )
    return (
        f"{path}: expected a sound SQLite file that can be written, got: {error}; nothing was "
        "changed; free the disk, or move the file away to start an empty one"
    )
