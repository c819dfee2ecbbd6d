"""The server's copy of what devices sent, on disk before anybody is told that it is safe."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tinyfleet.errors import FleetError


class Inbox:
    """Messages by id, in a file of SQLite that outlives a kill and a loss of power.

    Args:
        path: the file; it is made where there is none.

    Raises:
        FleetError: the file cannot be opened or written, or is something else.

    >>> with Inbox(Path(":memory:")) as inbox:
    ...     inbox.put([("a", b"1"), ("a", b"2")])
    ...     inbox.get("a"), inbox.get("b")
    (b'1', None)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # One thread at a time, though not always the one that opened it.
            self._connection = sqlite3.connect(path, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._failed(error) from None
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute("PRAGMA journal_mode = WAL")
                cursor.execute("PRAGMA synchronous = FULL")
                cursor.execute("CREATE TABLE IF NOT EXISTS report (id TEXT PRIMARY KEY, data BLOB)")
        except sqlite3.Error as error:
            self._connection.close()
            raise self._failed(error) from None

    def put(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Keep `messages`, ids with bytes, in one transaction; the first of an id stays.

        They are on disk when it returns.

        Raises:
            FleetError: they cannot be written; none of them is kept.
        """
        try:
            with self._connection:
                self._connection.executemany("INSERT OR IGNORE INTO report VALUES (?, ?)", messages)
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def get(self, id_: str) -> bytes | None:
        """Return the message with this id; None when there is none.

        Raises:
            FleetError: the file cannot be read.
        """
        try:
            found = self._connection.execute("SELECT data FROM report WHERE id = ?", (id_,))
            row = found.fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from None
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> "Inbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _failed(self, error: sqlite3.Error) -> FleetError:
        return FleetError(
            f"inbox {self._path}: expected a SQLite file that can be written, got {error}; "
            "check the folder, its permissions and the free space"
        )
