"""A gateway in a few lines for tests: the real session and the real kernel, no disk."""

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from tinyfleet import KernelLearner, Network
from tinyfleet.broker import Broker
from tinyfleet.payloads import Ack, Birth, Death, Order, Report, network_id
from tinyfleet.session import Connected, Message, Session
from tinyfleet.simulations.tasks.sine import Sine
from tinyfleet.topics import GATEWAY, Topic, topic_filter

TASKS = Sine(seed=1)


def honest(report: Report) -> list[bytes]:
    """Send what was learned, once."""
    return [report.to_bytes()]


@dataclass
class Memory:
    """What outlives a restart: reports by id, those not acknowledged, and the acknowledgements."""

    reports: dict[str, tuple[Topic, list[bytes]]] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    acks: list[Ack] = field(default_factory=list)
    learned: list[str] = field(default_factory=list)


class SmallGateway:
    """Follows orders in a thread of its own, between `start` and `stop` or `vanish`."""

    def __init__(
        self,
        broker: Broker,
        devices: Iterable[int],
        network: Network,
        *,
        name: str = "gw-1",
        answer: Mapping[int, Callable[[Report], list[bytes]]] | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.name, self.devices = name, list(devices)
        self.memory = memory or Memory()
        self._answer = answer or {}
        self._network, self._learner = network, KernelLearner(network)
        self._id = secrets.token_hex(4)
        will = (str(self._topic(GATEWAY, "death")), Death(self._id, "vanished").to_bytes())
        self.session = Session(broker, name, clean=True, will=will)
        for topic in ("assignment", "ack"):
            self.session.subscribe(topic_filter("lab", name, topic=topic))
        self._stop = threading.Event()
        self._acknowledged = threading.Condition()
        self._thread = threading.Thread(target=self._work)

    def _topic(self, device: int | str, topic: str) -> Topic:
        return Topic("lab", self.name, str(device), topic)

    def _work(self) -> None:
        while not self._stop.is_set():
            event = self.session.events.get()
            if isinstance(event, Connected):
                self._announce()
            elif isinstance(event, Message) and event.payload:
                topic = Topic.parse(event.topic)
                if topic.topic == "assignment":
                    self._follow(topic, Order.from_bytes(event.payload))
                else:
                    ack = Ack.from_bytes(event.payload)
                    with self._acknowledged:
                        self.memory.acks.append(ack)
                        self.memory.waiting.discard(ack.id)
                        self._acknowledged.notify_all()

    def _announce(self) -> None:
        for device in self.devices:
            birth = Birth(device, self._id, "simulated", {"title": f"device {device}"})
            self.session.publish(str(self._topic(device, "birth")), birth.to_bytes(), retain=True)
        for id_ in sorted(self.memory.waiting):
            self._send(id_)

    def _follow(self, topic: Topic, order: Order) -> None:
        if order.id not in self.memory.reports:
            assignment = order.assignment()
            batch = TASKS.batch(np.array([order.device]), order.round)
            update = self._learner.learn(assignment, batch.task(0), order.device)
            self.memory.learned.append(order.id)
            report = Report.from_update(order.id, network_id(self._network), update, "kernel")
            sent = self._answer.get(order.device, honest)(report)
            self.memory.reports[order.id] = (self._topic(topic.device, "update"), sent)
            self.memory.waiting.add(order.id)
        self._send(order.id)

    def _send(self, id_: str) -> None:
        topic, messages = self.memory.reports[id_]
        for message in messages:
            self.session.publish(str(topic), message)

    def statuses(self, device: int, count: int = 1) -> list[str]:
        """Return how the server acknowledged what `device` sent, once it did `count` times."""

        def found() -> list[str]:
            return [a.status for a in self.memory.acks if a.id.split("/")[2] == str(device)]

        with self._acknowledged:
            assert self._acknowledged.wait_for(lambda: len(found()) >= count, 20.0)
            return found()

    def start(self) -> None:
        """Connect and follow orders."""
        self.session.start()
        self._thread.start()

    def stop(self) -> None:
        """End without a word; the broker has no will to tell."""
        self._stop.set()
        self.session.events.put(Message("", b""))
        self._thread.join()
        self.session.close()

    def __enter__(self) -> "SmallGateway":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
