"""A connection to a broker that mends itself: MQTT 3.1.1, QoS 1, one thread for the network.

That thread alone talks to paho. It puts what comes on `Session.events` and takes what is to be
published from a queue; both are bounded. While nobody takes events it stops reading, so that the
broker, not this process, holds what waits.
"""

import contextlib
import queue
import random
import select
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field

import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from tinyfleet.broker import Broker, explain, make_client
from tinyfleet.errors import BrokerError

WINDOW = 64
"""Messages that may wait for the broker's acknowledgement."""

MOST_QUEUED, MOST_QUEUED_BYTES = 4096, 64 * 1024 * 1024
"""Messages, and their bytes, that may wait in either direction."""

FIRST_DELAY, LAST_DELAY = 0.25, 8.0
"""Seconds before the first attempt to reconnect, and before the last; each is twice the one before.

A random part of up to a half is taken off, so that a fleet does not come back in one moment.
"""

KEEPALIVE = 20
"""Seconds of silence after which each side asks whether the other is there."""

_PAUSE = 20  # milliseconds between looks at whether somebody has taken events


@dataclass(frozen=True)
class Connected:
    """The broker has taken us; filters are subscribed again."""


@dataclass(frozen=True)
class Disconnected:
    """The connection is lost or was refused; another attempt follows.

    Attributes:
        reason: one line for a person.
    """

    reason: str


@dataclass(frozen=True)
class Message:
    """What somebody published.

    Attributes:
        topic: where.
        payload: its bytes; empty where a retained message was cleared.
        retained: whether it was there before we subscribed.
    """

    topic: str
    payload: bytes = field(repr=False)
    retained: bool = False


Event = Connected | Disconnected | Message


@dataclass(frozen=True)
class _Publication:
    topic: str
    payload: bytes
    retain: bool


class Session:
    """A client of a broker.

    Args:
        broker: where it is.
        client_id: whom the broker keeps the session for; two with one name drive each other out.
        clean: whether the broker forgets subscriptions and waiting messages when we go.
        will: topic and payload of what the broker publishes, retained, when we vanish. The
            session clears it whenever it connects, so what is retained there is true.

    >>> session = Session(Broker("127.0.0.1"), "example", clean=True)
    >>> session.connected
    False
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        clean: bool,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self.broker = broker
        self.events: queue.Queue[Event] = queue.Queue()
        self._client = make_client(broker, client_id, WINDOW, clean=clean, will=will)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._will_topic = will[0] if will else None
        self._thread = threading.Thread(target=self._run, name=f"mqtt {client_id}", daemon=True)
        self._wakes: tuple[socket.socket, socket.socket] | None = None
        self._woken = False
        # What both threads touch, under the lock.
        self._lock = threading.Condition()
        self._filters: list[str] = []
        self._new_filters: list[str] = []
        self._unsent: deque[_Publication] = deque()
        self._unsent_bytes = 0
        self._inflight: set[int] = set()
        self._connected = self._refused = self._closing = False
        self._reason = f"broker {broker}: expected an answer, got none in time"
        # What the network's thread alone touches.
        self._verdict: str | None = None
        self._event_sizes: deque[int] = deque()
        self._event_bytes = 0

    @property
    def connected(self) -> bool:
        """Whether the broker has taken us, as far as we know."""
        return self._connected

    @property
    def room(self) -> int:
        """How many messages `publish` takes now without waiting."""
        with self._lock:
            full = self._unsent_bytes >= MOST_QUEUED_BYTES
            return 0 if full else MOST_QUEUED - len(self._unsent)

    def start(self, timeout: float | None = None) -> None:
        """Connect, now or as soon as the broker is there, and stay connected.

        Args:
            timeout: seconds to wait for the first connection; None returns at once.

        Raises:
            BrokerError: the broker cannot be reached within `timeout`, or does not take us, or we
                do not trust it. The session is closed then.
        """
        self._wakes = socket.socketpair()
        self._thread.start()
        if timeout is None:
            return
        with self._lock:
            self._lock.wait_for(lambda: self._connected or self._refused, timeout)
            connected, reason = self._connected, self._reason
        if not connected:
            self.close(0.0)
            raise BrokerError(reason)

    def subscribe(self, topic_filter: str) -> None:
        """Ask for what matches `topic_filter`, now and after every reconnection."""
        with self._lock:
            self._filters.append(topic_filter)
            self._new_filters.append(topic_filter)
        self._wake()

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, timeout: float = 30.0
    ) -> None:
        """Send `payload` at least once, after all that was published before.

        It waits in memory until the broker has acknowledged it, through reconnections too; that is
        no promise that anybody has it on disk.

        Args:
            topic: where.
            payload: what.
            retain: whether the broker keeps it for who comes later; empty clears what it keeps.
            timeout: seconds to wait for room while `MOST_QUEUED` messages wait already.

        Raises:
            BrokerError: there was no room in time, the session is closed, or no message can have
                such a topic.
        """
        if not topic or "+" in topic or "#" in topic or len(topic.encode()) > 65535:
            raise BrokerError(
                f"topic: expected 1 to 65535 bytes without + and #, got {topic!r:.80}"
            )
        with self._lock:
            if not self._lock.wait_for(lambda: self._closing or self._has_room(), timeout):
                raise BrokerError(
                    f"broker {self.broker}: expected it to take messages, got {len(self._unsent)} "
                    f"waiting; {self._reason if not self._connected else 'it is too slow'}"
                )
            if self._closing:
                raise BrokerError(
                    f"broker {self.broker}: expected an open session, got a closed one"
                )
            self._unsent.append(_Publication(topic, payload, retain))
            self._unsent_bytes += len(payload)
        self._wake()

    def close(self, timeout: float = 5.0) -> None:
        """Wait up to `timeout` seconds until all is sent, and say goodbye, so without a will."""
        with self._lock:
            if self._closing:
                return
            self._lock.wait_for(self._nothing_waits, timeout)
            self._closing = True
            self._lock.notify_all()
        self._wake()
        if self._wakes is not None:
            self._thread.join()
            for end in self._wakes:
                end.close()

    def _nothing_waits(self) -> bool:
        return not self._connected or not (self._unsent or self._inflight)

    def _has_room(self) -> bool:
        return len(self._unsent) < MOST_QUEUED and self._unsent_bytes < MOST_QUEUED_BYTES

    def _wake(self) -> None:
        if self._wakes is not None and not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):  # closed: nobody is left to wake
                self._wakes[0].send(b"!")

    # All below runs in the network's thread.

    def _run(self) -> None:
        assert self._wakes is not None
        woken = self._wakes[1]
        draw, delay = random.SystemRandom(), FIRST_DELAY
        while not self._closing:
            began = time.monotonic()
            self._stay_connected(woken)
            if time.monotonic() - began > LAST_DELAY:
                delay = FIRST_DELAY
            with self._lock:
                self._lock.wait_for(lambda: self._closing, delay * draw.uniform(0.5, 1.0))
            delay = min(2 * delay, LAST_DELAY)

    def _stay_connected(self, woken: socket.socket) -> None:
        """Connect, and serve the connection until it is lost or the session is closed."""
        self._verdict = None
        try:
            self._client.connect(self.broker.host, self.broker.port, KEEPALIVE)
        except (OSError, ValueError) as error:
            untrusted = isinstance(error, ssl.SSLCertVerificationError)
            self._lose(explain(self.broker, error), refused=untrusted)
            return
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        while (connection := self._client.socket()) is not None:
            if self._closing:
                self._client.disconnect()
                break
            self._serve(poll, woken, connection)
        unanswered = "was closed before it answered; does it ask for TLS or for a certificate?"
        lost = "was lost" if self._connected else unanswered
        reason = self._verdict or f"broker {self.broker}: the connection {lost}"
        self._lose(reason, refused=self._verdict is not None)

    def _serve(
        self, poll: select.poll, woken: socket.socket, connection: "mqtt.SocketLike"
    ) -> None:
        """Wait for the network or for something to send, and do what there is to do."""
        reading = self._room_for_events()
        writing = self._client.want_write()
        poll.register(
            connection, (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0)
        )
        buffered = reading and isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        wait = 0 if buffered else 1000 if reading else _PAUSE
        ready = dict(poll.poll(wait))
        if ready.pop(woken.fileno(), 0):
            woken.recv(4096)
            self._woken = False  # before anything is taken, so that what comes later wakes again
        found = next(iter(ready.values()), 0)
        if buffered or found & ~select.POLLOUT:
            self._client.loop_read()
        if found & select.POLLOUT:
            self._client.loop_write()
        self._client.loop_misc()
        if self._client.socket() is not connection:
            return
        if self._connected:
            self._send()

    def _send(self) -> None:
        with self._lock:  # throughout, or `close` would find nothing waiting in between
            filters, self._new_filters = self._new_filters, []
            for topic_filter in filters:
                self._client.subscribe(topic_filter, qos=1)
            count = min(len(self._unsent), WINDOW - len(self._inflight))
            for _ in range(count):
                one = self._unsent.popleft()
                self._unsent_bytes -= len(one.payload)
                sent = self._client.publish(one.topic, one.payload, 1, one.retain)
                self._inflight.add(sent.mid)
            if count > 0:
                self._lock.notify_all()

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        answer: ReasonCode,
        *_: object,
    ) -> None:
        if answer.is_failure:
            self._verdict = (
                f"broker {self.broker}: expected to be taken, got {answer}; "
                "check username and password"
            )
            return
        if self._will_topic:
            self._inflight.add(client.publish(self._will_topic, b"", 1, True).mid)
        with self._lock:
            filters, self._new_filters = list(self._filters), []
        for topic_filter in filters:
            client.subscribe(topic_filter, qos=1)
        with self._lock:
            self._connected = True
            self._put(Connected())
            self._lock.notify_all()

    def _on_subscribe(
        self,
        client: mqtt.Client,
        _userdata: object,
        _mid: int,
        answers: list[ReasonCode],
        *_: object,
    ) -> None:
        if any(answer.is_failure for answer in answers):
            self._verdict = (
                f"broker {self.broker}: expected to subscribe to {', '.join(self._filters)}, "
                "got a refusal; check its access rules"
            )
            client.disconnect()

    def _on_message(
        self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage
    ) -> None:
        with contextlib.suppress(UnicodeDecodeError):  # no topic of ours
            self._put(Message(message.topic, bytes(message.payload), message.retain))

    def _on_publish(self, _client: mqtt.Client, _userdata: object, mid: int, *_: object) -> None:
        with self._lock:
            self._inflight.discard(mid)
            self._lock.notify_all()

    def _lose(self, reason: str, *, refused: bool) -> None:
        with self._lock:
            if not self._closing and (self._connected or reason != self._reason):
                self._put(Disconnected(reason))
            self._connected, self._reason, self._refused = False, reason, refused
            self._lock.notify_all()

    def _put(self, event: Event) -> None:
        size = len(event.payload) if isinstance(event, Message) else 0
        self._event_sizes.append(size)
        self._event_bytes += size
        self.events.put(event)

    def _room_for_events(self) -> bool:
        waiting = self.events.qsize()
        while len(self._event_sizes) > waiting:
            self._event_bytes -= self._event_sizes.popleft()
        return waiting < MOST_QUEUED and self._event_bytes < MOST_QUEUED_BYTES
