"""The threads in which devices learn: one for each board, one for all that live in this process.

A board that is slow or hangs keeps its own thread waiting and nobody else. Workers share nothing
with the daemon but two queues: orders go in, outcomes come out.
"""

import logging
import queue
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinyfleet.client.attach import Attach, Attached
from tinyfleet.client.thing import Facts
from tinyfleet.errors import FirmwareError, FleetError, WireError
from tinyfleet.mean import refusal
from tinyfleet.messages import Update
from tinyfleet.payloads import Order
from tinyfleet.wire import DeviceRefused

if TYPE_CHECKING:
    from tinyfleet.client.link import Link

log = logging.getLogger(__name__)

FIRST_DELAY, LAST_DELAY = 0.5, 30.0
"""Seconds before a board is looked for again, and the most; each is twice the one before."""

ATTEMPTS = 3
"""Times that one order is tried on a board that vanishes while it follows it."""


@dataclass(frozen=True)
class Here:
    """A device has been attached."""

    device: int
    facts: Facts
    by: str


@dataclass(frozen=True)
class Gone:
    """A device does not answer any more, or not yet."""

    device: int
    reason: str


@dataclass(frozen=True)
class Began:
    """A device has begun to follow an order."""

    device: int
    round: int


@dataclass(frozen=True)
class Learned:
    """A device has followed an order."""

    order: Order
    update: Update = field(repr=False)
    by: str


@dataclass(frozen=True)
class Declined:
    """An order will not be followed.

    Attributes:
        order: which.
        cause: one word for counters: "absent", "diverged", or the refusing error's.
        reason: one line for a person.
    """

    order: Order
    cause: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """A worker has come upon a mistake of the program, not of a device."""

    error: Exception = field(repr=False)


Outcome = Here | Gone | Began | Learned | Declined | Failed


class Worker:
    """A thread that attaches some devices and follows their orders, one after another.

    Args:
        name: what the thread is called.
        devices: how each of them is attached.
        outcomes: takes what happens, from the worker's thread.
    """

    def __init__(
        self, name: str, devices: Mapping[int, Attach], outcomes: Callable[[Outcome], None]
    ) -> None:
        self._attach = devices
        self._tell = outcomes
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._attached: dict[int, Attached] = {}
        self._delays: dict[int, float] = {}
        self._past_retries = self._past_dropped = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def retries(self) -> int:
        """Requests that were repeated to boards, so far."""
        return self._past_retries + sum(link.retries for link in self._links())

    @property
    def dropped(self) -> int:
        """Malformed frames that came from boards, so far."""
        return self._past_dropped + sum(link.dropped for link in self._links())

    def start(self) -> None:
        """Start to attach the devices."""
        self._thread.start()

    def follow(self, order: Order) -> None:
        """Have `order` followed; whatever comes of it goes to the outcomes."""
        self._orders.put(order)

    def stop(self) -> None:
        """Ask the thread to end after the order that it is following."""
        self._stopping.set()
        self._orders.put(None)

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end; return whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            for device in self._attach:
                self._find(device)
            while not self._stopping.is_set():
                self._step()
        except Exception as error:  # noqa: BLE001 - the daemon's thread raises it again
            self._tell(Failed(error))
        finally:
            for attached in self._attached.values():
                attached.close()

    def _step(self) -> None:
        """Follow the next order, or look for devices that are gone when none comes."""
        try:
            order = self._orders.get(timeout=min(self._delays.values(), default=None))
        except queue.Empty:
            for device in list(self._delays):
                self._find(device)
            return
        if order is not None and not self._stopping.is_set():
            self._follow(order)

    def _find(self, device: int) -> bool:
        """Attach `device`; return whether it is there."""
        try:
            attached = self._attach[device]()
        except FleetError as error:
            delay = min(LAST_DELAY, 2 * self._delays.get(device, FIRST_DELAY / 2))
            self._delays[device] = delay * (1 - random.random() / 4)  # noqa: S311 - jitter
            self._tell(Gone(device, str(error)))
            return False
        self._delays.pop(device, None)
        self._attached[device] = attached
        self._tell(Here(device, attached.facts, attached.by))
        return True

    def _follow(self, order: Order) -> None:
        reason = "the board does not answer"
        for _ in range(ATTEMPTS):
            if order.device not in self._attached and not self._find(order.device):
                break
            attached = self._attached[order.device]
            try:
                self._tell(self._followed(order, attached))
            except (WireError, FirmwareError) as error:
                reason = str(error)
                self._drop(order.device, reason)
                continue
            return
        self._tell(Declined(order, "absent", f"absent: {reason}"))

    def _followed(self, order: Order, attached: Attached) -> Outcome:
        try:
            assignment = order.assignment()
        except WireError as error:
            return Declined(order, "malformed", str(error))
        self._tell(Began(order.device, order.round))
        try:
            update = attached.learn(assignment)
        except DeviceRefused as error:
            return Declined(order, "device", str(error))
        except (WireError, FirmwareError):
            raise
        except FleetError as error:
            return Declined(order, _cause(error), str(error))
        except Exception as error:  # or the order would end the daemon again at every start
            log.exception("device %d, round %d", order.device, order.round)
            return Declined(order, "mistake", f"a mistake of the gateway's program: {error!r}")
        found = refusal(update, len(assignment.weights), order.round)
        if found is not None:
            return Declined(order, "diverged", f"update.{found}")
        return Learned(order, update, attached.by)

    def _links(self) -> "list[Link]":
        attached = list(self._attached.values())  # a copy: another thread may be asking
        return [one.link for one in attached if one.link is not None]

    def _drop(self, device: int, reason: str) -> None:
        lost = self._attached.pop(device)
        if lost.link is not None:
            self._past_retries += lost.link.retries
            self._past_dropped += lost.link.dropped
        lost.close()
        self._delays[device] = FIRST_DELAY
        self._tell(Gone(device, reason))


def _cause(error: FleetError) -> str:
    return type(error).__name__.removesuffix("Error").lower()
