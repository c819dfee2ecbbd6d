"""What one device spends in one round: instructions, seconds, joules, bytes and memory.

Nothing is timed here. Instructions were counted on an emulated Cortex-M4 (`tinyfleet bench
device`), bytes are those of the messages themselves, and all else follows from the stated clock,
links and powers of a machine. `ASSUMPTIONS` says them in words, `docs/costs.md` what follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tinyfleet.cost import cost, layer_macs
from tinyfleet.encoding import encoded_bytes
from tinyfleet.exchange import Exchange
from tinyfleet.messages import Assignment, Training
from tinyfleet.network import Network
from tinyfleet.networks import named_network
from tinyfleet.simulations.carried import Carried, over_mqtt, over_serial


@dataclass(frozen=True)
class Machine:
    """What a device computes and sends with.

    Attributes:
        name: what people call it.
        hertz: clock of its processor.
        cycles: clock cycles that an instruction takes on average.
        down: bytes a second that reach it.
        up: bytes a second that leave it.
        round_watts: power above idle in a round: receive, train, send.
        compute_watts: power above idle while it computes alone.
        gateway: whether it speaks MQTT itself; else a serial line leads to it.
    """

    name: str
    hertz: float
    cycles: float
    down: float
    up: float
    round_watts: float
    compute_watts: float
    gateway: bool


RASPBERRY_PI_4 = Machine("Raspberry Pi 4", 1.5e9, 1.0, 117e3, 158e3, 2.0, 1.4, True)
CORTEX_M4 = Machine("Cortex-M4 at 64 MHz", 64e6, 1.3, 2.9e3, 4.3e3, 0.3, 0.24, False)

ASSUMPTIONS = (
    "Links: TECS 2024, tables 3, 7 and 8: 4 bytes a parameter over the printed seconds; 117 kB/s "
    "to the Pi, 155 to 162 from it (158 taken), 2.9 kB/s to the Arduino, 4.3 from it.",
    "Power above idle: the same tables' joules over their seconds, 2 W (Pi) and 0.3 W (Arduino); "
    "for one inference or update alone Table 2 implies 1.4 W and 0.24 W.",
    "Cortex-M4: instructions counted on the emulated board, 64 MHz, 1.3 cycles an instruction; "
    "1.2 to 1.4 is plausible: most take one cycle, a load two unless it follows another, a taken "
    "branch two to four (Arm DDI 0439, table 3-1); flash behind the nRF52840's cache waits seldom.",
    "Raspberry Pi 4: derived, not measured. The same instructions at 1.5 GHz, one a cycle: a "
    "Cortex-A72 starts up to three a cycle, but each addition of a sum waits four cycles for the "
    "one before it, and a multiply-accumulate is about four instructions. The scalar build on a "
    "2.6 GHz EPYC, whose additions take three, comes to the same within a tenth after scaling by "
    "clock and latency. Python, the network stack and reading the sensor are not counted.",
)
"""What the figures rest on, for people."""


@dataclass(frozen=True)
class Samples:
    """Samples that a device learns in a round; its query only where layers are local."""

    support: int
    query: int = 0


@dataclass(frozen=True)
class Spent:
    """What some work takes: seconds, and joules above idle."""

    seconds: float
    joules: float


@dataclass(frozen=True)
class Counted:
    """Instructions of one sample on the emulated board, `tinyfleet bench device`.

    Attributes:
        step: forward, backward and update of the whole network.
        head_step: the same with all but the last layer frozen.
    """

    step: int
    head_step: int


COUNTED: Mapping[str, Counted] = {
    "sine": Counted(9_477, 3_564),
    "presence": Counted(33_243, 11_622),
    "characters-mcu": Counted(1_010_740, 367_296),
    "characters": Counted(1_509_811, 555_715),
    "keywords-mcu": Counted(2_304_539, 1_107_752),
}
"""Named networks that were counted; others are taken from their MACs by `_PER_MAC`."""

# Instructions a multiply-accumulate: of a step of presence, and of a step of characters.
_ONLINE = Training(rate=0.01)
_PER_MAC = {"dense": 2.58, "convolutions": 4.0}


def inference(network: Network, machine: Machine) -> Spent:
    """Return what one prediction of `network` takes on `machine`."""
    return _computed(inference_instructions(network), machine)


def head_update(features: int, outputs: int, machine: Machine) -> Spent:
    """Return what one step of a last dense layer takes, features `(features,)` being there.

    Scores, the loss's gradient and the update: two multiply-accumulates a weight.
    """
    return _computed(round(_PER_MAC["dense"] * 2 * (features + 1) * outputs), machine)


def step(network: Network, machine: Machine) -> Spent:
    """Return what one online step takes: forward, backward and update, one sample."""
    return _computed(step_instructions(network), machine)


def step_instructions(network: Network, frozen: frozenset[str] = frozenset()) -> int:
    """Return the instructions of one online step with some layers frozen.

    Counted ones where the network is one of `COUNTED` and nothing or all but its last layer is
    frozen; else its MACs times what one took in the networks that were counted.
    """
    counted = _counted(network.checksum)
    if counted and not frozen:
        return counted.step
    if counted and frozen == frozenset(list(network.parts)[:-1]):
        return counted.head_step
    macs = step_macs(network, frozen)
    per_mac = counted.step / step_macs(network) if counted else _per_mac(network)
    return round(per_mac * macs)


def inference_instructions(network: Network) -> int:
    """Return the instructions of one prediction: a step of the last layer, less what it learns."""
    counted, macs = _counted(network.checksum), layer_macs(network)
    if counted is None:
        return round(_per_mac(network) * sum(macs.values()))
    return counted.head_step - round(_PER_MAC["dense"] * list(macs.values())[-1])


def step_macs(network: Network, frozen: frozenset[str] = frozenset()) -> int:
    """Return the multiply-accumulates of one online step: forward, gradients, deltas."""
    return cost(network, _ONLINE, frozen).macs_training


@dataclass(frozen=True)
class RoundCost:
    """What one round takes of one device.

    Attributes:
        macs: multiply-accumulates.
        instructions: of the kernel.
        carried: bytes on the device's link, headers and places included.
        receive: seconds.
        train: seconds.
        send: seconds.
        joules: above idle, of all three.
        memory: bytes that the kernel needs, exactly: weights, scratch, sample and target.
        memory_published: bytes by the published formula, 4 P + batch x A.
    """

    macs: int
    instructions: int
    carried: Carried
    receive: float
    train: float
    send: float
    joules: float
    memory: int
    memory_published: int

    @property
    def total(self) -> float:
        """Seconds of the whole round."""
        return self.receive + self.train + self.send


def round_cost(
    network: Network, asked: Assignment, samples: Samples, machine: Machine
) -> RoundCost:
    """Return what one round of `asked` takes of a device with `samples`.

    A Raspberry Pi is its own gateway, so its link carries MQTT; a microcontroller's carries frames.
    """
    exchange = Exchange.of(network, asked)
    phases = _phases(network, asked, samples)
    passes = asked.training.passes
    macs = sum(count * step_macs(network, frozen) for count, frozen in phases) * passes
    instructions = sum(n * step_instructions(network, frozen) for n, frozen in phases) * passes
    carried = on_link(exchange, machine)
    receive, send = carried.down / machine.down, carried.up / machine.up
    train = instructions * machine.cycles / machine.hertz
    costs = [cost(network, asked.training, frozen, count) for count, frozen in phases]
    return RoundCost(
        macs,
        instructions,
        carried,
        receive,
        train,
        send,
        (receive + train + send) * machine.round_watts,
        max(found.training_ram_bytes for found in costs),
        max(found.training_ram_published_bytes for found in costs),
    )


def on_link(exchange: Exchange, machine: Machine) -> Carried:
    """Return the bytes of a round on the link of `machine`."""
    down, up = _messages(exchange)
    return over_mqtt(exchange.asked, down, up) if machine.gateway else over_serial(down, up)


def evenly(entries: int, share: float) -> NDArray[np.int32]:
    """Return a share of the places below `entries`, spread evenly: none of its size takes more."""
    return np.linspace(0, entries - 1, max(1, round(share * entries))).astype(np.int32)


def _messages(exchange: Exchange) -> tuple[int, int]:
    """Return the bytes of the message of weights, and of the largest that answers it."""
    asked, entries = exchange.asked, exchange.up.entries
    places = None if asked.share == 1.0 else evenly(entries, asked.share)
    return exchange.bytes_down, encoded_bytes(exchange.up, places)


def published_cost(network: Network, asked: Assignment) -> float:
    """Return the communication cost of TECS 2024, (|g| / |phi|) (1 + P) / 2, places not counted."""
    exchange = Exchange.of(network, asked)
    return exchange.up.entries / network.parameters * (1 + asked.share) / 2


def byte_cost(network: Network, asked: Assignment) -> float:
    """Return the bytes of both messages, places and headers included, over those of all floats."""
    return sum(_messages(Exchange.of(network, asked))) / (8 * network.parameters)


def _phases(
    network: Network, asked: Assignment, samples: Samples
) -> list[tuple[int, frozenset[str]]]:
    """Return how many samples are learned with which layers frozen, one after the other."""
    frozen, local = frozenset(asked.frozen), frozenset(asked.local)
    if not local:
        return [(samples.support, frozen)]
    others = frozenset(network.parts) - local
    return [(samples.support, others | frozen), (samples.query, local | frozen)]


def _per_mac(network: Network) -> float:
    return _PER_MAC["dense" if len(network.input_shape) == 1 else "convolutions"]


@cache
def _counted(checksum: str) -> Counted | None:
    return next((c for n, c in COUNTED.items() if named_network(n).checksum == checksum), None)


def _computed(instructions: int, machine: Machine) -> Spent:
    seconds = instructions * machine.cycles / machine.hertz
    return Spent(seconds, seconds * machine.compute_watts)
