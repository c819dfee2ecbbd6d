"""A fleet behind a broker: devices of gateways, asked and heard over MQTT.

The thread that calls it does all the work; the session's thread only queues what comes. What a
device sent is judged, kept, acknowledged and only then yielded.
"""

import contextlib
import logging
import math
import queue
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from tinyfleet.broker import Broker
from tinyfleet.errors import BrokerError, FleetError, WireError
from tinyfleet.inbox import Inbox
from tinyfleet.messages import Assignment, Update
from tinyfleet.network import Network
from tinyfleet.open_round import OpenRound, Reason
from tinyfleet.payloads import Ack, Birth, Death, Manifest, Refused, Report, State, Status
from tinyfleet.roster import Roster
from tinyfleet.session import Connected, Disconnected, Event, Message, Session
from tinyfleet.topics import GATEWAY, SERVER, Topic, check_name, topic_filter

GRACE = 10.0
"""Seconds that a gateway has to come back before its devices are given up."""

# In this order, so that a retained death is known before the births that it ends.
_HEARD = ("death", "birth", "state", "update", "refusal")
_BATCH = 256  # events that are handled, and reports that reach the disk, together
_TICK = 0.5  # seconds between looks for whom to give up
_PAUSE = 0.05  # seconds between looks whether orders can be sent
_MOST_HELD, _MOST_HELD_BYTES = 4096, 64 * 2**20  # of reports whose round is not asked yet

_log = logging.getLogger(__name__)


class MqttFleet:
    """Devices behind a broker; a `Fleet`. Enter it to connect, use it from one thread at a time.

    A fleet, or each of its gateways, has one server at a time: what answers to another one's order
    is refused.

    An order's id names run, round, device and what is asked. With an inbox, a server that has been
    killed and runs the same round again therefore finds what it had acknowledged, asks only the
    others, and takes no update twice. Without one, every call of `run` has ids of its own.

    Args:
        broker: where the broker is.
        fleet: the fleet's name in topics.
        network: what is trained; published for gateways to compare with theirs.
        run: names this run in ids, as a topic's part would.
        gateway: the only gateway whose devices count; None for all.
        inbox: file in which accepted updates are kept before they are acknowledged; without one
            they live in this process alone, and a killed server loses its round.

    Raises:
        WireError: the name of fleet, run or gateway has other characters or another length.
        BrokerError: a file of the broker's certificates cannot be used.
    """

    def __init__(
        self,
        broker: Broker,
        fleet: str,
        network: Network,
        *,
        run: str,
        gateway: str | None = None,
        inbox: Path | None = None,
    ) -> None:
        self._fleet, self._run = check_name("fleet", fleet), check_name("run", run)
        self._network = network
        self._path = inbox
        self._inbox: Inbox | None = None
        name = f"tinyfleet-{fleet}-{secrets.token_hex(6)}"
        self._session = Session(broker, name, clean=True)
        chosen = "+" if gateway is None else check_name("gateway", gateway)
        for topic in _HEARD:
            self._session.subscribe(topic_filter(fleet, chosen, topic=topic))
        self._roster = Roster()
        self._round: OpenRound | None = None
        self._taken: Set[str] = frozenset()  # ids of the round before
        self._missing: dict[int, float] = {}
        self._doubt_ends = math.inf
        self._next_look = 0.0
        self._accepted: list[tuple[Topic, str, bytes]] = []
        self._held: dict[str, Message] = {}
        self._held_bytes = 0
        self._outgoing: deque[Message] = deque()
        self._counts: Counter[Reason] = Counter()
        self._computed_by: dict[int, str] = {}
        self._handlers: Mapping[str, Callable[[Topic, Message], None]] = {
            "birth": self._on_birth,
            "death": self._on_death,
            "state": self._on_state,
            "update": self._on_update,
            "refusal": self._on_refusal,
        }

    @property
    def devices(self) -> Sequence[int]:
        """The devices that live now, ascending."""
        self._catch_up()
        return self._roster.living()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many messages were refused, by `Reason`."""
        return {str(reason): count for reason, count in self._counts.items()}

    @property
    def computed_by(self) -> Mapping[int, str]:
        """What computed the last update that each device had accepted."""
        return dict(self._computed_by)

    def wait_for(self, devices: int, timeout: float) -> None:
        """Wait until at least `devices` devices live.

        Raises:
            BrokerError: fewer live after `timeout` seconds.
        """
        ends = time.monotonic() + timeout
        while len(living := self.devices) < devices:
            left = ends - time.monotonic()
            if left <= 0:
                raise BrokerError(
                    f"fleet {self._fleet}: expected {devices} devices, got {len(living)} in "
                    f"{timeout:g} s; check that their gateways run and use this broker and fleet"
                )
            self._attend(min(left, _TICK))

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        """Ask each device and yield what comes back within `timeout` seconds, in their order.

        A device whose gateway refuses, or stays away for `GRACE` seconds, is not waited for.

        Raises:
            NetworkError: an assignment is not of this network.
            FleetError: the inbox cannot be written; what is not in it is not acknowledged.
        """
        now = time.monotonic()
        ends = math.inf if timeout is None else now + timeout
        token = None if self._inbox else secrets.token_hex(6)
        round_ = OpenRound(
            self._network, assignments, run=self._run, token=token, before=self._taken, now=now
        )
        self._taken = round_.taken
        self._restore(round_)
        self._catch_up()
        self._missing = {d: now for d in assignments if not self._roster.lives(d)}
        self._round = round_
        try:
            held, self._held, self._held_bytes = self._held, {}, 0
            for message in held.values():
                self._handle(message)
            while True:
                self._keep_accepted()
                yield from round_.ready()
                now = time.monotonic()
                if round_.over or now >= ends:
                    break
                all_asked = self._ask(round_, now)
                next_due = round_.next_due() if all_asked else now + _PAUSE
                self._attend(min(ends, next_due, now + _TICK) - now)
            self._catch_up()
            round_.give_up_all()
            yield from round_.ready()
        finally:
            if self._round is round_:
                self._round = None

    def close(self) -> None:
        """Send what waits, and leave the broker."""
        try:
            self._keep_accepted()
        finally:
            self._session.close()
            if self._inbox is not None:
                self._inbox.close()

    def __enter__(self) -> "MqttFleet":
        """Connect.

        Raises:
            BrokerError: the broker cannot be reached or does not take us.
            FleetError: the inbox cannot be opened.
        """
        self._inbox = None if self._path is None else Inbox(self._path)
        try:
            self._session.start(timeout=10.0)
        except BrokerError:
            if self._inbox is not None:
                self._inbox.close()
            raise
        self._catch_up()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _restore(self, round_: OpenRound) -> None:
        """Take what the inbox has of this round."""
        if self._inbox is None:
            return
        for id_ in round_.ids:
            data = self._inbox.get(id_)
            if data is not None:
                report = Report.from_bytes(data)
                if round_.fault(report) is None:
                    self._take(round_, report)

    def _take(self, round_: OpenRound, report: Report) -> None:
        round_.take(report)
        self._computed_by[report.device] = report.by

    def _keep_accepted(self) -> None:
        """Bring accepted reports to the disk in one transaction, then acknowledge them."""
        accepted, self._accepted = self._accepted, []
        if accepted and self._inbox is not None:
            try:
                self._inbox.put([(id_, data) for _, id_, data in accepted])
            except FleetError:
                # What is not kept is new when it comes again; copies may be acknowledged here.
                self._taken = frozenset()
                self._outgoing.clear()
                raise
        for topic, id_, _ in accepted:
            self._acknowledge(topic, Ack(id_, "accepted"))
        while self._outgoing and self._session.room:
            message = self._outgoing.popleft()
            self._session.publish(message.topic, message.payload, retain=message.retained)

    def _acknowledge(self, topic: Topic, ack: Ack) -> None:
        self._outgoing.append(Message(str(replace(topic, topic="ack")), ack.to_bytes()))

    def _ask(self, round_: OpenRound, now: float) -> bool:
        """Send the orders that are due; return whether all of them went."""
        if not (self._session.connected and self._session.room):
            return False
        for device in round_.due(now):
            gateway = self._roster.gateway_of(device)
            if gateway is None or not self._roster.lives(device):
                continue  # its birth will ask for it
            topic = Topic(self._fleet, gateway, str(device), "assignment")
            order = round_.order(device, gateway, now)
            self._session.publish(str(topic), order.to_bytes())
            if not self._session.room:
                return False
        return True

    def _catch_up(self) -> None:
        """Handle all that has come until now."""
        waiting = self._session.events.qsize()
        for _ in range(0, waiting, _BATCH):
            self._attend(0.0)
        self._keep_accepted()

    def _attend(self, wait: float) -> None:
        """Handle what has come, up to a batch; wait at most `wait` seconds for the first of it."""
        events = self._session.events
        with contextlib.suppress(queue.Empty):
            event = events.get(timeout=wait) if wait > 0 else events.get_nowait()
            self._handle(event)
            for _ in range(_BATCH - 1):
                self._handle(events.get_nowait())
        self._look_for_missing(time.monotonic())

    def _look_for_missing(self, now: float) -> None:
        """Give up whoever has been away for too long."""
        if now < self._next_look:
            return
        self._next_look = now + _TICK
        if now >= self._doubt_ends:
            self._doubt_ends = math.inf
            self._note(self._roster.drop_doubtful())
        if self._round is not None:
            for device, since in self._missing.items():
                if now - since >= GRACE:
                    self._round.give_up(device)

    def _note(self, devices: Iterable[int]) -> None:
        """Note since when each of `devices` is missing, or that it is there."""
        now = time.monotonic()
        for device in devices:
            if self._roster.lives(device):
                self._missing.pop(device, None)
            else:
                self._missing.setdefault(device, now)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Message):
            try:
                topic = Topic.parse(event.topic)
                self._handlers[topic.topic](topic, event)
            except WireError as error:
                self._counts[Reason.MALFORMED] += 1
                _log.info("%s: %s", event.topic, error)
        elif isinstance(event, Disconnected):
            _log.warning("%s", event.reason)
        elif isinstance(event, Connected):
            manifest = Topic(self._fleet, SERVER, GATEWAY, "model")
            data = Manifest.from_network(self._network).to_bytes()
            self._outgoing.append(Message(str(manifest), data, retained=True))
            now = time.monotonic()
            self._roster.doubt()
            self._doubt_ends = now + GRACE
            if self._round is not None:
                self._round.ask_all_again(now)

    def _on_birth(self, topic: Topic, message: Message) -> None:
        device = topic.number
        if not message.payload:
            self._note(self._roster.unborn(topic))
            return
        birth = Birth.from_bytes(message.payload)
        _agree(topic, birth.device)
        if self._roster.birth(topic, birth, retained=message.retained):
            self._ask_again(device)
        self._note([device])

    def _on_death(self, topic: Topic, message: Message) -> None:
        if message.payload:
            self._note(self._roster.death(topic, Death.from_bytes(message.payload)))
        else:
            self._roster.undead(topic)

    def _on_state(self, topic: Topic, message: Message) -> None:
        if not message.payload:
            return
        state = State.from_bytes(message.payload)
        _agree(topic, state.device)
        if self._roster.state(topic, state):
            self._ask_again(state.device)
        self._note([state.device])

    def _on_update(self, topic: Topic, message: Message) -> None:
        round_ = self._round
        if round_ is None:
            self._hold(message)
            return
        report = Report.from_bytes(message.payload)
        _agree(topic, report.device)
        if report.round > round_.last_round and report.id.startswith(f"{self._run}/"):
            self._hold(message)
            return
        if self._roster.gateway_of(report.device) in (None, topic.gateway):
            round_.may_answer(report.device, topic.gateway)
        fault = round_.fault(report, topic.gateway)
        if fault is None:
            self._take(round_, report)
            self._accepted.append((topic, report.id, message.payload))
            return
        if fault in _SETTLING:
            round_.give_up(report.device)
        self._counts[fault] += 1
        self._acknowledge(topic, Ack(report.id, _STATUS.get(fault, "refused"), fault))

    def _on_refusal(self, topic: Topic, message: Message) -> None:
        refused = Refused.from_bytes(message.payload)
        _agree(topic, refused.device)
        fault = None if self._round is None else self._round.refused(refused, topic.gateway)
        self._counts[fault or Reason.BY_GATEWAY] += 1
        if fault is None:
            _log.warning("%s: device %d refused: %s", topic.gateway, refused.device, refused.reason)

    def _hold(self, message: Message) -> None:
        """Keep the last report of a device until a round is asked that it may belong to.

        It is not acknowledged, so what does not fit comes again.
        """
        before = self._held.get(message.topic)
        size = self._held_bytes + len(message.payload) - (len(before.payload) if before else 0)
        if (before or len(self._held) < _MOST_HELD) and size <= _MOST_HELD_BYTES:
            self._held[message.topic], self._held_bytes = message, size

    def _ask_again(self, device: int) -> None:
        if self._round is not None:
            self._round.ask_again(device, time.monotonic())


# It is the answer to the order, and there will be no better one.
_SETTLING = frozenset({Reason.NETWORK, Reason.NOT_FINITE, Reason.LENGTH, Reason.INDICES})

_STATUS: Mapping[Reason, Status] = {
    Reason.DUPLICATE: "accepted",
    Reason.OLD_ROUND: "late",
    Reason.LATE: "late",
}


def _agree(topic: Topic, device: int) -> None:
    if topic.device != str(device):
        raise WireError(f"topic.device: expected {device} as in the message, got {topic.device!r}")
