"""What devices say of themselves, from the broker into the graph: descriptions, and who is online.

The session's thread only queues what comes. One thread takes it from there in batches and does
all the writing: a description is registered when it is new, and statuses change together.
"""

import json
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from tinyfleet.broker import Broker
from tinyfleet.errors import BrokerError, DescriptionError, FleetError, WireError
from tinyfleet.mqtt_fleet import GRACE
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.registration import Status
from tinyfleet.ontology.vocabulary import INDEX, TF
from tinyfleet.payloads import Birth, Death, State
from tinyfleet.roster import Roster
from tinyfleet.session import Connected, Disconnected, Event, Message, Session
from tinyfleet.topics import Topic, check_name, topic_filter

_HEARD = ("death", "birth", "state")
_BATCH = 256  # events that are handled, and devices whose status is written, together
_TICK = 0.5  # seconds between looks for whom to give up

_ONLINE = (
    f"SELECT ?device {{ GRAPH {INDEX.n3()} {{ ?profile a {TF.Profile.n3()} }} "
    f"GRAPH ?profile {{ ?device {TF.turn.n3()} ?turn }} }}"
)

_log = logging.getLogger(__name__)


@dataclass
class _Heard:
    """A batch of events, and what it asks for."""

    described: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)


class Births:
    """Keeps a graph true to what the devices of a fleet say; enter it to connect.

    Args:
        graph: where it is written.
        broker: where the broker is.
        fleet: the fleet's name in topics.
        register: takes in a description and its text; without one `graph.register` does.
        write: runs a call on the thread that owns the graph's writes, and waits for it; without
            one the thread of this object does.

    Raises:
        WireError: the name of the fleet has other characters or another length.
    """

    def __init__(
        self,
        graph: FleetGraph,
        broker: Broker,
        fleet: str,
        *,
        register: Callable[[Mapping[str, Any], str], object] | None = None,
        write: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._graph, self._fleet = graph, check_name("fleet", fleet)
        self._take_in = register or (lambda thing, text: graph.register(thing, source=text))
        self._write = write or (lambda call: call())
        self._session = Session(broker, f"tinyfleet-{fleet}-births-{time.time_ns():x}", clean=True)
        for topic in _HEARD:
            self._session.subscribe(topic_filter(fleet, topic=topic))
        self._roster = Roster()
        self._known: set[int] = set()
        self._online: dict[int, bool] = {}
        self._doubt_ends: float | None = None
        self._settled = False
        self._changed = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._refusals: dict[int, str] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"births {fleet}", daemon=True)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many descriptions were "registered" and "refused", and messages "malformed"."""
        with self._changed:
            return dict(self._counts)

    @property
    def refusals(self) -> Mapping[int, str]:
        """Why the last description of a device was refused, by its number."""
        with self._changed:
            return dict(self._refusals)

    def wait_for(self, online: int, timeout: float, *, offline: int = 0) -> None:
        """Wait until so many devices are online in the graph, and so many known as offline.

        Raises:
            BrokerError: there are fewer after `timeout` seconds.
        """

        def there() -> bool:
            up = sum(self._online.values())
            return up >= online and len(self._online) - up >= offline

        with self._changed:
            if not self._changed.wait_for(there, timeout):
                raise BrokerError(
                    f"fleet {self._fleet}: expected descriptions of {online} devices, got "
                    f"{sum(self._online.values())} in {timeout:g} s, {len(self._refusals)} refused"
                    f"{''.join(f'; device {d}: {why}' for d, why in self._refusals.items()):.300}"
                )

    def __enter__(self) -> "Births":
        """Connect.

        Raises:
            BrokerError: the broker cannot be reached or does not take us.
        """
        self._session.start(timeout=10.0)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._session.close()
        self._session.events.put(Disconnected("closed"))
        self._thread.join()

    # All below runs in the thread that writes.

    def _run(self) -> None:
        while not self._stopping.is_set():
            heard = _Heard()
            for event in self._take():
                self._hear(event, heard)
            self._give_up(heard)
            if heard.described or heard.touched:
                self._write(lambda heard=heard: self._keep(heard))  # type: ignore[misc]

    def _take(self) -> list[Event]:
        events: list[Event] = []
        try:
            events.append(self._session.events.get(timeout=_TICK))
            while len(events) < _BATCH:
                events.append(self._session.events.get_nowait())
        except queue.Empty:
            pass
        return events

    def _hear(self, event: Event, heard: _Heard) -> None:
        if isinstance(event, Connected):
            self._roster.doubt()
            self._doubt_ends = time.monotonic() + GRACE
        elif isinstance(event, Message):
            try:
                topic = Topic.parse(event.topic)
                heard.touched.update(self._READERS[topic.topic](self, topic, event, heard))
            except WireError as error:
                self._count("malformed")
                _log.info("%s: %s", event.topic, error)
        elif not self._stopping.is_set():
            _log.warning("%s", event.reason)

    def _on_birth(self, topic: Topic, message: Message, heard: _Heard) -> Iterable[int]:
        if not message.payload:
            return self._roster.unborn(topic)
        birth = Birth.from_bytes(message.payload)
        _agree(topic, birth.device)
        self._roster.birth(topic, birth, retained=message.retained)
        if self._roster.gateway_of(birth.device) == topic.gateway:
            heard.described[birth.device] = birth.thing
        return [birth.device]

    def _on_death(self, topic: Topic, message: Message, heard: _Heard) -> Iterable[int]:
        del heard
        if message.payload:
            return self._roster.death(topic, Death.from_bytes(message.payload))
        self._roster.undead(topic)
        return ()

    def _on_state(self, topic: Topic, message: Message, heard: _Heard) -> Iterable[int]:
        del heard
        if not message.payload:
            return ()
        state = State.from_bytes(message.payload)
        _agree(topic, state.device)
        self._roster.state(topic, state)
        return [state.device]

    _READERS: Mapping[str, Callable[["Births", Topic, Message, _Heard], Iterable[int]]] = {
        "birth": _on_birth,
        "death": _on_death,
        "state": _on_state,
    }

    def _give_up(self, heard: _Heard) -> None:
        """Once the gateways have had their time to come back, take the others for offline."""
        if self._doubt_ends is not None and time.monotonic() >= self._doubt_ends:
            self._doubt_ends = None
            heard.touched.update(self._roster.drop_doubtful())
            if not self._settled:
                self._settled = True
                heard.touched.update(self._left_online())

    def _left_online(self) -> Iterable[int]:
        """Return whom the graph still calls online, from before we came."""
        prefix = f"urn:tinyfleet:{self._fleet}:"
        for (device,) in self._graph.select(_ONLINE, limit=2**31).rows:
            number = str(device).removeprefix(prefix)
            if str(device).startswith(prefix) and number.isdecimal():
                self._online[int(number)] = True
                yield int(number)

    def _keep(self, heard: _Heard) -> None:
        """Register what is new, then note who is online; what fails is tried again when due."""
        for device, thing in heard.described.items():
            self._register(device, thing)
        now, changes = datetime.now(UTC), {}
        for device in heard.touched:
            online = self._roster.lives(device) and device in self._known
            if self._online.get(device, False) != online:
                changes[device] = online
        if not changes:
            return
        try:
            self._graph.set_status(
                Status(self._iri(device), online, now) for device, online in changes.items()
            )
        except FleetError as error:
            _log.error("%s", error)
            return
        with self._changed:
            self._online.update(changes)
            self._changed.notify_all()

    def _register(self, device: int, thing: Mapping[str, Any]) -> None:
        iri, source = self._iri(device), json.dumps(thing, ensure_ascii=False, default=str)
        try:
            if thing.get("id") != iri:
                raise DescriptionError(f"id: expected {iri}, got {thing.get('id')!r:.80}")
            if self._graph.thing(iri) != source:
                self._take_in(thing, source)
        except FleetError as error:
            with self._changed:
                self._counts["refused"] += 1
                self._refusals[device] = str(error)
                self._changed.notify_all()
            _log.warning("device %d: its description is refused: %s", device, error)
            return
        self._known.add(device)
        with self._changed:
            self._counts["registered"] += 1
            self._refusals.pop(device, None)

    def _iri(self, device: int) -> str:
        return f"urn:tinyfleet:{self._fleet}:{device}"

    def _count(self, name: str) -> None:
        with self._changed:
            self._counts[name] += 1


def _agree(topic: Topic, device: int) -> None:
    if topic.device != str(device):
        raise WireError(f"topic.device: expected {device} as in the message, got {topic.device!r}")
