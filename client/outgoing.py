"""What a gateway has to publish, in which order, and when again.

Nothing is handed to a broker that is not there: what waits here is published when it is, first
who has gone, then who is here, then what was learned. An answer is published again, later and
later, until it is acknowledged.
"""

import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tinyfleet.client.outbox import Answer, Outbox
from tinyfleet.payloads import Level, LogLine, State
from tinyfleet.session import Session
from tinyfleet.topics import GATEWAY, Topic

log = logging.getLogger(__name__)

FIRST_DELAY, LAST_DELAY = 5.0, 300.0
"""Seconds before an answer is published again, and the most; each is twice the one before."""

STATE_DELAY = 0.25
"""Seconds that a state waits, so that of many in a short time only the last is published."""

SPARE = 256
"""Messages that a session must have room for before it is given another."""

MOST_LINES = 100


@dataclass
class Outgoing:
    """Messages that wait for the broker.

    Args:
        session: where they go.
        outbox: where answers are kept.
        fleet: name of the fleet.
        gateway: name of this gateway.

    Attributes:
        resent: answers that were published more than once.
        bytes_sent: bytes of payload that were published.
    """

    session: Session
    outbox: Outbox
    fleet: str
    gateway: str
    resent: int = 0
    bytes_sent: int = 0
    _births: dict[int, Callable[[], bytes]] = field(default_factory=dict)
    _other: deque[tuple[Topic, bytes, bool]] = field(default_factory=deque)
    _lines: deque[LogLine] = field(default_factory=lambda: deque(maxlen=MOST_LINES))
    _fresh: deque[Answer] = field(default_factory=deque)
    _due: list[tuple[float, str]] = field(
        default_factory=list
    )  # a heap; those not in _when are void
    _when: dict[str, tuple[float, float]] = field(default_factory=dict)  # when, and the delay after
    _states: dict[int, State] = field(default_factory=dict)
    _states_at: float = 0.0

    def topic(self, device: int | None, name: str) -> Topic:
        """Return a topic of `device`, or of the gateway itself."""
        return Topic(self.fleet, self.gateway, GATEWAY if device is None else str(device), name)

    def birth(self, device: int, payload: Callable[[], bytes]) -> None:
        """Announce `device`; its birth is made when it is published."""
        self._births[device] = payload

    def gone(self, device: int, death: bytes) -> None:
        """Say that `device` has been detached, and clear its birth."""
        self._births.pop(device, None)
        self._other.append((self.topic(device, "death"), death, False))
        self.bury(device)

    def bury(self, device: int) -> None:
        """Clear the birth of `device`."""
        self._other.append((self.topic(device, "birth"), b"", True))

    def state(self, state: State) -> None:
        """Say what a device does; of many states in a short time only the last is published."""
        self._states[state.device] = state

    def tell(self, level: Level, text: str) -> None:
        """Log a line, and send it to whoever reads the gateway's log topic.

        When too many wait for the broker the oldest is dropped.
        """
        log.log(logging.getLevelNamesMapping()[level.upper()], "%s", text)
        self._lines.append(LogLine(time.time(), level, text))

    def answer(self, answers: Iterable[Answer]) -> None:
        """Publish answers that are in the outbox."""
        self._fresh.extend(answers)

    def again(self, ids: Iterable[str]) -> None:
        """Publish these answers now, whenever it was last done, if the outbox has them still."""
        for name in ids:
            self._schedule(name, 0.0, FIRST_DELAY)

    def reconnected(self) -> None:
        """Publish everything again that nobody has acknowledged."""
        self._fresh.clear()
        self._due.clear()
        self._when.clear()
        self.again(self.outbox.unacknowledged())

    def flush(self) -> float:
        """Publish what is due while there is room; return seconds until there is more."""
        if not self.session.connected:
            return STATE_DELAY
        now = time.monotonic()
        while self._has_room() and self._publish_next(now):
            pass
        if now >= self._states_at:
            while self._states and self._has_room():
                state = self._states.pop(next(iter(self._states)))
                self._send(self.topic(state.device, "state"), state.to_bytes(), retain=True)
            self._states_at = now + STATE_DELAY
        return STATE_DELAY if self._has_room() or not self._due else STATE_DELAY / 10

    def _publish_next(self, now: float) -> bool:
        if self._other:  # before births: a device that came back is here, not gone
            topic, payload, retain = self._other.popleft()
            self._send(topic, payload, retain=retain)
        elif self._births:
            device = next(iter(self._births))
            self._send(self.topic(device, "birth"), self._births.pop(device)(), retain=True)
        elif self._fresh:
            self._send_answer(self._fresh.popleft(), FIRST_DELAY)
        elif self._due and self._due[0][0] <= now:
            self._send_again(*heapq.heappop(self._due))
        elif self._lines:
            self._send(self.topic(None, "log"), self._lines.popleft().to_bytes())
        else:
            return False
        return True

    def _send_again(self, when: float, name: str) -> None:
        if self._when.get(name, (None,))[0] != when:  # it was sent meanwhile, or is due later
            return
        delay = self._when.pop(name)[1]
        answer = self.outbox.answer_to(name)
        if answer is not None:
            self.resent += 1
            self._send_answer(answer, delay)

    def _send_answer(self, answer: Answer, delay: float) -> None:
        self._send(self.topic(answer.device, answer.topic), answer.payload)
        if answer.topic == "update":
            later = time.monotonic() + delay * random.uniform(0.75, 1)  # noqa: S311 - jitter
            self._schedule(answer.id, later, min(2 * delay, LAST_DELAY))

    def _schedule(self, name: str, when: float, delay: float) -> None:
        self._when[name] = (when, delay)
        heapq.heappush(self._due, (when, name))

    def _send(self, topic: Topic, payload: bytes, *, retain: bool = False) -> None:
        self.session.publish(str(topic), payload, retain=retain)
        self.bytes_sent += len(payload)

    def _has_room(self) -> bool:
        return self.session.room > SPARE
