"""How much of what the broker brings may wait inside a daemon: the rest waits at the broker."""

import threading
from collections.abc import Iterable

from tinyfleet.session import Message

_LOOK = 0.5  # seconds between looks whether to stop


class Bounded:
    """Bytes of messages that wait, counted by one thread that adds and one that removes.

    Args:
        most: bytes; one message more may wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._changed = threading.Condition()

    def add(self, event: object, stopping: threading.Event) -> None:
        """Count `event` as soon as there is room, or when it is time to stop."""
        with self._changed:
            while self._bytes >= self._most and not stopping.is_set():
                self._changed.wait(_LOOK)
            self._bytes += _size(event)

    def remove(self, events: Iterable[object]) -> None:
        """Count `events` no more."""
        with self._changed:
            self._bytes -= sum(map(_size, events))
            self._changed.notify_all()


def _size(event: object) -> int:
    return len(event.payload) if isinstance(event, Message) else 0
