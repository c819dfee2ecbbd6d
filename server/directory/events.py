"""What happens to descriptions, told to whoever listens (server-sent events, resumable)."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any
from uuid import uuid4

KEPT = 10_000
"""Events that a client which comes back can still be told."""

KEPT_CHARACTERS = 16 << 20
"""Characters of all of them together; the oldest go first."""


_DIGITS = 18  # of an event's number: more than there will ever be


class Kind(StrEnum):
    """What may happen to a description."""

    CREATED = "thing_created"
    UPDATED = "thing_updated"
    DELETED = "thing_deleted"


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: what.
        thing: identifier of the description.
        whole: its data with `diff`, as JSON: the whole description when it was created, a merge
            patch when it was updated, the identifier alone when it was deleted.
        number: its place among all since the start.
    """

    kind: Kind
    thing: str
    whole: str = field(repr=False)
    number: int

    def data(self, *, diff: bool) -> str:
        """Return the event's data as JSON; it always holds the identifier."""
        return self.whole if diff else _json({"id": self.thing})


def _json(told: Mapping[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


class Events:
    """The latest events, and who waits for the next. It belongs to the event loop's thread.

    Example:
        events = Events()
        events.publish(Kind.CREATED, "urn:example:1", {})
        async for identifier, event in events.follow(None):
            ...
    """

    def __init__(self) -> None:
        self._run = uuid4().hex[:12]
        self._kept: deque[Event] = deque()
        self._size = 0  # characters of those
        self._next = 1
        self._more = asyncio.Event()

    def publish(self, kind: Kind, thing: str, change: Mapping[str, Any]) -> None:
        """Tell an event, with what changed, to all who follow."""
        self._kept.append(Event(kind, thing, _json({**change, "id": thing}), self._next))
        self._size += len(self._kept[-1].whole)
        while len(self._kept) > KEPT or self._size > KEPT_CHARACTERS:
            self._size -= len(self._kept.popleft().whole)
        self._next += 1
        self._more.set()
        self._more = asyncio.Event()

    def follow(self, last: str | None) -> AsyncIterator[tuple[str, Event]]:
        """Iterate over events with their identifiers, as they come, without end.

        Args:
            last: identifier of the last event that was seen: those since then come first, as far
                as they are kept. One of an earlier start of the directory is before all of them.
        """
        return self._since(self._after(last))  # counted from now, not from the first look

    async def _since(self, number: int) -> AsyncIterator[tuple[str, Event]]:
        while True:
            more = self._more  # before looking, so that nothing falls between
            oldest = self._kept[0].number if self._kept else self._next
            for event in list(islice(self._kept, max(0, number - oldest), None)):
                number = event.number + 1
                yield f"{self._run}-{event.number}", event
            if number >= self._next:
                await more.wait()

    def _after(self, last: str | None) -> int:
        if last is None:
            return self._next
        run, _, number = last.partition("-")
        if run != self._run or not number.isdecimal() or len(number) > _DIGITS:
            return 1
        return min(int(number) + 1, self._next)
