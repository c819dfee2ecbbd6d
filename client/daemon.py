"""The edge client daemon: stands between a broker and the devices of one gateway.

One thread owns the daemon's state and its outbox. The network's thread and the workers only put on
its queue; it takes what has come in one go, writes it down in few transactions, and then acts.
"""

import logging
import queue
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from tinyfleet.client.attach import attach
from tinyfleet.client.bounded import Bounded
from tinyfleet.client.figures import Figures
from tinyfleet.client.gateway import Gateway
from tinyfleet.client.notify import notify, watchdog_seconds
from tinyfleet.client.outbox import Answer, Asked, Outbox
from tinyfleet.client.outgoing import Outgoing
from tinyfleet.client.presence import Device, Presence
from tinyfleet.client.sources import open_source
from tinyfleet.client.workers import (
    Began,
    Declined,
    Failed,
    Gone,
    Here,
    Learned,
    Outcome,
    Worker,
)
from tinyfleet.errors import BrokerError, WireError
from tinyfleet.payloads import (
    Ack,
    Death,
    Manifest,
    Order,
    Refused,
    Report,
    network_id,
)
from tinyfleet.session import Connected, Disconnected, Event, Message, Session
from tinyfleet.topics import GATEWAY, SERVER, Topic, topic_filter

log = logging.getLogger(__name__)

MOST_AT_ONCE, MOST_WAITING = 256, 4096
"""Events that are handled in one go, and that may wait; then network and workers wait."""

MOST_ORDERS = 8
"""Orders that may wait for one device."""

MOST_OUTBOX_BYTES = 64 * 2**20
"""Bytes of orders and answers that may wait; then new orders are not taken."""

MOST_UNREAD_BYTES = 16 * 2**20
"""Bytes from the broker that may wait for the daemon; then they wait at the broker."""

GOODBYE = 5.0
"""Seconds that devices have to finish, and the broker to take the goodbye."""


@dataclass
class _Batch:
    """What has come and must be written down before anybody acts on it."""

    orders: dict[str, tuple[Order, bytes]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)


class Daemon:
    """Runs a gateway until it is told to stop.

    Args:
        gateway: what its file says.

    Raises:
        FleetError: a source of samples cannot be opened.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.figures = Figures(gateway.fleet, gateway.gateway, secrets.token_hex(8))
        self._network_id = network_id(gateway.network)
        self._events: queue.Queue[Event | Outcome] = queue.Queue(MOST_WAITING)
        self._devices = dict(self._open_devices())
        self._workers = {device.worker for device in self._devices.values()}
        self._counts: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._acknowledged: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._unread = Bounded(MOST_UNREAD_BYTES)
        self._outbox: Outbox
        self._outgoing: Outgoing
        self._presence: Presence

    def stop(self) -> None:
        """Have `run` end in good order; may be called from any thread or signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Attach the devices and serve the broker until `stop`.

        Raises:
            FleetError: the outbox cannot be used, or the address of the status page is taken.
        """
        self._outbox = Outbox(self.gateway.folder / "outbox.sqlite")
        try:
            with self._status_served(), self._session() as session:
                self._outgoing = Outgoing(
                    session, self._outbox, self.gateway.fleet, self.gateway.gateway
                )
                self._presence = Presence(
                    self.gateway, self.figures.session, self._devices, self._outgoing
                )
                self._serve()
        finally:
            self._outbox.close()

    def _open_devices(self) -> Iterator[tuple[int, Device]]:
        """Open every source, and make a worker for each board and one for all other devices."""
        own = {}
        for at, table in enumerate(self.gateway.devices, 1):
            place = f"{self.gateway.path}: [[device]] {at}"
            source = open_source(table.source, self.gateway.network, f"{place}: source")
            for number in table.members:
                own[number] = (table, attach(table, number, self.gateway.network, source))
        inside = {n: a for n, (table, a) in own.items() if not table.is_board}
        shared = Worker("devices", inside, self._events.put)
        for number, (table, attaching) in own.items():
            if table.is_board:
                worker = Worker(f"device-{number}", {number: attaching}, self._events.put)
                yield number, Device(table, worker)
            else:
                yield number, Device(table, shared)

    # The session and the status page.

    @contextmanager
    def _session(self) -> Iterator[Session]:
        gateway = self.gateway
        death = Topic(gateway.fleet, gateway.gateway, GATEWAY, "death")
        session = Session(
            gateway.broker,
            f"tinyfleet-{gateway.fleet}-{gateway.gateway}",
            clean=False,
            will=(str(death), Death(self.figures.session, "the gateway vanished").to_bytes()),
        )
        session.subscribe(topic_filter(gateway.fleet, SERVER, GATEWAY, "model"))
        for name in ("assignment", "ack", "birth"):
            session.subscribe(topic_filter(gateway.fleet, gateway.gateway, topic=name))
        passing = threading.Thread(target=self._pass_on, args=(session,), daemon=True)
        session.start()
        passing.start()
        try:
            yield session
        finally:
            self._stopping.set()
            session.close(GOODBYE)
            session.events.put(Disconnected("closed"))
            passing.join(GOODBYE)

    def _pass_on(self, session: Session) -> None:
        """Move what the network brings to the daemon's own queue, where workers put theirs."""
        while True:
            event = session.events.get()
            self._unread.add(event, self._stopping)
            if self._stopping.is_set():
                return
            self._events.put(event)

    def _status_served(self) -> Any:
        if self.gateway.listen is None:
            return nullcontext()
        from tinyfleet.client.status import serving

        return serving(self.gateway.listen, lambda: self.figures)

    # The loop.

    def _serve(self) -> None:
        for worker in self._workers:
            worker.start()
        left = _Batch()
        for asked in self._outbox.unanswered():
            self._start(Order.from_bytes(asked.payload), left)
        self._write_down(left)
        alarm = watchdog_seconds()
        notify("READY=1")
        try:
            while not self._stopping.is_set():
                self._handle(self._take(self._outgoing.flush()))
                self._write_figures()
                if alarm is not None:
                    notify("WATCHDOG=1")
        finally:
            notify("STOPPING=1")
            self._say_goodbye()

    def _take(self, wait: float) -> list[Event | Outcome]:
        """Return what has come, at the latest after `wait` seconds."""
        events: list[Event | Outcome] = []
        try:
            events.append(self._events.get(timeout=wait))
            while len(events) < MOST_AT_ONCE:
                events.append(self._events.get_nowait())
        except queue.Empty:
            pass
        self._unread.remove(events)
        return events

    def _handle(self, events: Iterable[Event | Outcome]) -> None:
        batch = _Batch()
        for event in events:
            match event:
                case Message():
                    self._read(event, batch)
                case Learned() | Declined():
                    self._presence.finish(event.order.device, event.order.round)
                    batch.answers.append(self._answer(event))
                case Began(device, round_number):
                    self._presence.set_state(device, "learning", round_number)
                case Here(device, facts):
                    self._presence.welcome(device, facts)
                case Gone(device, reason):
                    self._presence.part(device, reason)
                case Connected():
                    self._presence.announce()
                case Disconnected(reason):
                    self._counts["disconnections"] += 1
                    log.warning("%s", reason)
                case Failed(error):
                    raise error
        self._write_down(batch)

    def _write_down(self, batch: _Batch) -> None:
        """Put what has come on disk, then follow new orders and publish answers."""
        if batch.acknowledged:
            self._outbox.acknowledge(batch.acknowledged)
        known: list[str] = []
        if batch.orders:
            asked = [Asked(o.id, o.device, o.round, data) for o, data in batch.orders.values()]
            new = [order.id for order in self._outbox.take(asked)]
            self._counts["orders"] += len(new)
            known = list(batch.orders.keys() - set(new))
            for name in new:
                self._start(batch.orders[name][0], batch)
        if batch.answers:
            self._outgoing.answer(self._outbox.answer(batch.answers))
        self._say_done(batch, known)
        self._outgoing.again(known)

    def _say_done(self, batch: _Batch, known: Iterable[str]) -> None:
        """Refuse what is asked again though its update was acknowledged: none comes any more."""
        for name in known:
            if self._outbox.is_done(name):
                order, reason = batch.orders[name][0], "its update was acknowledged before"
                self._refusals["done"] += 1
                refused = Refused(name, order.device, order.round, reason)
                self._outgoing.answer([Answer(name, order.device, "refusal", refused.to_bytes())])

    def _start(self, order: Order, batch: _Batch) -> None:
        """Have an order followed that is on disk, or refuse it at once."""
        objection = self._objection(order)
        if objection is not None:
            batch.answers.append(self._answer(Declined(order, *objection)))
            return
        device = self._devices[order.device]
        device.waiting += 1
        device.worker.follow(order)

    # What the broker brings.

    def _read(self, message: Message, batch: _Batch) -> None:
        self._counts["bytes_received"] += len(message.payload)
        try:
            topic = Topic.parse(message.topic)
            match topic.topic:
                case "assignment":
                    self._read_order(topic, message.payload, batch)
                case "ack":
                    ack = Ack.from_bytes(message.payload)
                    self._acknowledged[ack.status] += 1
                    batch.acknowledged.append(ack.id)
                case "model":
                    self._compare(message.payload)
                case "birth":
                    self._bury(topic, message)
        except WireError as error:
            self._counts["malformed"] += 1
            self._outgoing.tell("warning", f"{message.topic}: {error}")

    def _read_order(self, topic: Topic, payload: bytes, batch: _Batch) -> None:
        order = Order.from_bytes(payload)
        if order.device != topic.number:
            raise WireError(f"assignment.device: expected {topic.number}, got {order.device}")
        coming = sum(len(data) for _, data in batch.orders.values())
        if self._outbox.bytes + coming >= MOST_OUTBOX_BYTES:
            self._refusals["full"] += 1
            self._outgoing.tell(
                "error", "the outbox is full: no order is taken until answers are acknowledged"
            )
            return
        batch.orders[order.id] = (order, payload)

    def _objection(self, order: Order) -> tuple[str, str] | None:
        """Return why `order` cannot be followed at all, as a cause and a reason."""
        if order.network != self._network_id:
            network = self.gateway.network
            return "network", (
                f"assignment.network: expected {self._network_id} ({network.name}), "
                f"got {order.network}; give server and gateway one description"
            )
        device = self._devices.get(order.device)
        if device is None:
            return "unknown", f"assignment.device: gateway has no device {order.device}"
        if device.waiting >= MOST_ORDERS:
            return "busy", f"{MOST_ORDERS} orders wait for device {order.device} already"
        return None

    def _compare(self, payload: bytes) -> None:
        if payload and (manifest := Manifest.from_bytes(payload)).network != self._network_id:
            self._outgoing.tell(
                "error",
                f"model: the server trains network {manifest.network}, this gateway has "
                f"{self._network_id} ({self.gateway.network.name}); its orders will be refused",
            )

    def _bury(self, topic: Topic, message: Message) -> None:
        """Clear the birth of a device that this gateway had before its configuration changed."""
        if message.retained and message.payload and topic.number not in self._devices:
            self._outgoing.bury(topic.number)

    # What devices do.

    def _answer(self, outcome: Learned | Declined) -> Answer:
        order = outcome.order
        if isinstance(outcome, Learned):
            self._counts["updates"] += 1
            report = Report.from_update(order.id, order.network, outcome.update, outcome.by)
            return Answer(order.id, order.device, "update", report.to_bytes())
        self._refusals[outcome.cause] += 1
        log.info("device %d refused round %d: %s", order.device, order.round, outcome.reason)
        refused = Refused(order.id, order.device, order.round, outcome.reason)
        return Answer(order.id, order.device, "refusal", refused.to_bytes())

    def _say_goodbye(self) -> None:
        """Stop the workers, say that all devices go, and clear what the broker keeps of them."""
        for worker in self._workers:
            worker.stop()
        deadline = time.monotonic() + GOODBYE
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        self._handle(self._take(0))
        self._outgoing.flush()
        session = self._outgoing.session
        if not session.connected:
            return
        death = Death(self.figures.session, "the gateway was stopped").to_bytes()
        last = [(self._outgoing.topic(None, "death"), death)]
        for number in self._devices:
            last += [(self._outgoing.topic(number, name), b"") for name in ("birth", "state")]
        deadline = time.monotonic() + GOODBYE
        try:
            for topic, payload in last:
                left = max(0.0, deadline - time.monotonic())
                session.publish(str(topic), payload, retain=True, timeout=left)
        except BrokerError as error:
            log.warning("%s", error)

    def _write_figures(self) -> None:
        last, outbox, counts = self.figures, self._outbox, self._counts
        self.figures = Figures(
            last.fleet,
            last.gateway,
            last.session,
            connected=self._outgoing.session.connected,
            at=time.monotonic(),
            devices=self._presence.states(),
            orders=counts["orders"],
            updates=counts["updates"],
            refusals=dict(self._refusals),
            acknowledged=dict(self._acknowledged),
            malformed=counts["malformed"],
            resent=self._outgoing.resent,
            asked=outbox.asked,
            unacknowledged=outbox.answered,
            outbox_bytes=outbox.bytes,
            disconnections=counts["disconnections"],
            bytes_received=counts["bytes_received"],
            bytes_sent=self._outgoing.bytes_sent,
            link_retries=sum(worker.retries for worker in self._workers),
            link_dropped=sum(worker.dropped for worker in self._workers),
        )
