"""Which devices of a gateway are here, and what they do: births, states and deaths."""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from tinyfleet.client.gateway import Gateway
from tinyfleet.client.outgoing import Outgoing
from tinyfleet.client.tables import DeviceTable
from tinyfleet.client.thing import Facts, thing
from tinyfleet.client.workers import Worker
from tinyfleet.network import Network
from tinyfleet.payloads import Birth, Death, DeviceState, Level, State
from tinyfleet.plan import plan
from tinyfleet.wire import arena_need

log = logging.getLogger(__name__)


def room(facts: Facts, network: Network) -> tuple[bool, str]:
    """Return whether a device has the memory to train all of `network`, and a sentence on it."""
    if not facts.arena:
        return True, "its memory is not known"
    need = arena_need(plan(network))
    told = f"{network.name} needs {need} of {facts.arena} bytes"
    if need <= facts.arena:
        return True, told
    return False, f"{told}; take a smaller network or have the server freeze its first layers"


@dataclass
class Device:
    """What the daemon knows of a device.

    Attributes:
        table: what the configuration says of it.
        worker: who has its orders followed.
        facts: what it is; None while it is away.
        state: what it does.
        round: the last round that it began to learn in, 0 for none.
        waiting: orders that its worker has and has not done with.
        reason: why it is away.
    """

    table: DeviceTable
    worker: Worker
    facts: Facts | None = None
    state: DeviceState = "absent"
    round: int = 0
    waiting: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Presence:
    """The devices of a gateway, as its server shall see them.

    Attributes:
        gateway: what the configuration says.
        session: the text that tells this start of the daemon from others.
        devices: by number.
        outgoing: where births, states and deaths go.
    """

    gateway: Gateway
    session: str
    devices: Mapping[int, Device]
    outgoing: Outgoing

    def welcome(self, number: int, facts: Facts) -> None:
        """Announce a device that has been attached."""
        device = self.devices[number]
        device.facts = facts
        self.outgoing.birth(number, partial(self._birth, number))
        self.set_state(number, "idle", device.round)
        level = logging.INFO if device.table.is_board else logging.DEBUG
        log.log(level, "device %d is here: %s, %s", number, facts.board, facts.software)
        fits, told = room(facts, self.gateway.network)
        if not fits:
            matters: Level = "warning" if device.table.is_board else "info"
            self.outgoing.tell(matters, f"device {number}: {told}")

    def part(self, number: int, reason: str) -> None:
        """Say that a device has gone, or is not there yet, and why."""
        device = self.devices[number]
        if device.facts is not None:
            device.facts = None
            death = Death(self.session, reason)
            self.outgoing.gone(number, death.to_bytes())
            self.outgoing.tell("warning", f"device {number} is gone: {reason}")
        elif device.reason != reason:
            log.info("device %d is not there: %s", number, reason)
        device.reason = reason
        self.set_state(number, "absent", device.round)

    def set_state(self, number: int, state: DeviceState, round_number: int) -> None:
        """Say what a device does."""
        device = self.devices[number]
        device.state, device.round = state, round_number
        self.outgoing.state(State(number, state, round_number, time.time()))

    def announce(self) -> None:
        """Say everything again to a broker that may have forgotten it."""
        for number, device in self.devices.items():
            if device.facts is not None:
                self.outgoing.birth(number, partial(self._birth, number))
            self.outgoing.state(State(number, device.state, device.round, time.time()))
        self.outgoing.reconnected()
        log.info("connected to %s", self.gateway.broker)

    def finish(self, number: int, round_number: int) -> None:
        """Note that a device has done with an order."""
        device = self.devices[number]
        device.waiting -= 1
        if device.state == "learning":
            self.set_state(number, "idle", round_number)

    def states(self) -> Mapping[str, int]:
        """Count the devices by what they do."""
        return Counter(device.state for device in self.devices.values())

    def _birth(self, number: int) -> bytes:
        device = self.devices[number]
        if device.facts is None:
            return b""
        topic, kind = self.outgoing.topic(number, "birth"), device.table.kind
        broker = self.gateway.broker
        address = f"{'mqtts' if broker.ca else 'mqtt'}://{broker}"
        described = thing(device.facts, kind, self.gateway.network, topic, address)
        return Birth(number, self.session, kind, described).to_bytes()
