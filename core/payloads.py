"""What gateways and server tell each other: CBOR maps, as `docs/wire.md` part 2 has them.

`from_bytes` raises `WireError` that names the first field which is missing, ill-typed or out of
its range; `to_bytes` raises it for the same reasons. Texts for people are cut to one printable
line both ways. Vectors stay bytes until somebody wants them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from tinyfleet.description import network_from_toml, network_to_toml
from tinyfleet.envelope import ASSIGNMENT, assignment_from_config, assignment_to_config
from tinyfleet.errors import FleetError, WireError
from tinyfleet.fields import (
    Payload,
    Reader,
    finite,
    line,
    nothing_or,
    number,
    numbers,
    one_of,
    plain_map,
    text,
    whole,
)
from tinyfleet.messages import Assignment, Floats, Update
from tinyfleet.network import Network
from tinyfleet.topics import MOST_DEVICE

DeviceKind = Literal["emulated", "serial", "in-process", "simulated"]
DeviceState = Literal["idle", "learning", "absent"]
Status = Literal["accepted", "refused", "late"]
Level = Literal["debug", "info", "warning", "error"]

MOST_BYTES = 64 * 1024 * 1024
"""The largest order or report that is looked at."""

_MIDDLE = 256 * 1024
_REASON, _LOG = 500, 2000
_MOST_COUNT = 2**53

_device = whole(0, MOST_DEVICE)
_round = whole(0, 2**31 - 1)
_id = text(200, r"[!-~]+")
_session = text(64, r"[!-~]+")
_network = text(16, r"[0-9a-f]{16}")
_reason = line(_REASON)


@lru_cache(maxsize=16)
def network_id(network: Network) -> str:
    """Return 16 hexadecimal digits that change with anything but the network's name.

    They are the first of the SHA-256 of its description as TOML under the name "network".
    """
    described = network_to_toml(replace(network, name="network"))
    return hashlib.sha256(described.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Birth(Payload):
    """A device is there.

    Attributes:
        device: its number in the fleet.
        session: random text of the gateway's start, the same for all its devices.
        kind: how it is attached.
        thing: its W3C Thing Description.
    """

    device: int
    session: str
    kind: DeviceKind
    thing: Mapping[str, Any] = field(repr=False)

    KIND: ClassVar[str] = "birth"
    MOST: ClassVar[int] = _MIDDLE
    FIELDS: ClassVar[Mapping[str, Reader]] = {
        "device": _device,
        "session": _session,
        "kind": one_of(*get_args(DeviceKind)),
        "thing": plain_map,
    }


@dataclass(frozen=True)
class Death(Payload):
    """A gateway has gone, or a device has been detached.

    Attributes:
        session: the session that ends; births of another one stay valid.
        reason: one line for a person.
    """

    session: str
    reason: str

    KIND: ClassVar[str] = "death"
    FIELDS: ClassVar[Mapping[str, Reader]] = {"session": _session, "reason": _reason}


@dataclass(frozen=True)
class State(Payload):
    """What a device is doing.

    Attributes:
        device: its number in the fleet.
        state: "idle", "learning", or "absent" where the gateway cannot reach it.
        round: the last round that it was asked in, 0 for none.
        at: when, in seconds since 1970.
    """

    device: int
    state: DeviceState
    round: int
    at: float

    KIND: ClassVar[str] = "state"
    FIELDS: ClassVar[Mapping[str, Reader]] = {
        "device": _device,
        "state": one_of(*get_args(DeviceState)),
        "round": _round,
        "at": finite,
    }


@dataclass(frozen=True)
class Manifest(Payload):
    """The network that the fleet trains.

    Attributes:
        network: its `network_id`.
        description: its description in TOML.
        parameters: length of its vector.
    """

    network: str
    description: str = field(repr=False)
    parameters: int

    KIND: ClassVar[str] = "model"
    MOST: ClassVar[int] = _MIDDLE
    FIELDS: ClassVar[Mapping[str, Reader]] = {
        "network": _network,
        "description": text(_MIDDLE),
        "parameters": whole(0, 2**31 - 1),
    }

    @classmethod
    def from_network(cls, network: Network) -> "Manifest":
        """Return the manifest of `network`."""
        return cls(network_id(network), network_to_toml(network), network.parameters)

    def to_network(self) -> Network:
        """Return the network; `WireError` where the three fields do not agree."""
        try:
            network = network_from_toml(self.description, "model.description")
        except FleetError as error:
            raise WireError(str(error)) from None
        found = (network_id(network), network.parameters)
        if found != (self.network, self.parameters):
            raise WireError(
                f"model: expected network {self.network} of {self.parameters} parameters, "
                f"got a description of {found[0]} of {found[1]}"
            )
        return network


@dataclass(frozen=True)
class Order(Payload):
    """An assignment on its way to a device.

    Attributes:
        id: names run, round and device; what comes back carries it.
        device: whom it is for.
        round: number of the round.
        network: `network_id` of what is trained.
        weights: the vector to start from, little-endian float32.
        config: the rest of the assignment; see `tinyfleet.envelope`.
    """

    id: str
    device: int
    round: int
    network: str
    weights: bytes = field(repr=False)
    config: Mapping[str, Any]

    KIND: ClassVar[str] = "assignment"
    MOST: ClassVar[int] = MOST_BYTES
    FIELDS: ClassVar[Mapping[str, Reader]] = {
        "id": _id,
        "device": _device,
        "round": _round,
        "network": _network,
        "weights": numbers(4),
        "config": plain_map,
    }

    @classmethod
    def from_assignment(
        cls,
        id_: str,
        device: int,
        network: str,
        assignment: Assignment,
    ) -> "Order":
        """Return the order that brings `assignment` to `device`."""
        weights = assignment.weights.astype("<f4", copy=False).tobytes()
        config = assignment_to_config(assignment)
        return cls(id_, device, assignment.round, network, weights, config)

    def assignment(self) -> Assignment:
        """Return what is asked.

        Raises:
            WireError: the weights are not finite, or the config cannot be followed, is of another
                round, or asks something that is not known here.
        """
        weights = _floats(self.weights)
        if not np.isfinite(weights).all():
            raise WireError("assignment.weights: expected finite numbers, got NaN or infinity")
        unknown = ", ".join(sorted(set(self.config) - ASSIGNMENT))
        if unknown:  # or a device would answer something else than it was asked
            raise WireError(
                f"assignment.config: expected keys that are known here, got {unknown:.80}; "
                "update the gateway"
            )
        try:
            assignment = assignment_from_config(self.config, weights)
        except FleetError as error:
            raise WireError(f"assignment.{error}") from None
        if assignment.round != self.round:
            raise WireError(
                f"assignment.round: expected {self.round} in config, too, got {assignment.round}"
            )
        return assignment


@dataclass(frozen=True)
class Report(Payload):
    """An update on its way to the server. It may hold NaN: a device that diverged says so.

    Attributes:
        id: the order that it answers.
        device: who learned.
        round: number of the round.
        network: `network_id` of what was trained.
        values: what came back, little-endian float32.
        indices: their places in the vector, little-endian int32; None for a whole vector.
        examples: samples that the device learned from.
        loss: their mean loss.
        received: parameters that travelled to the device.
        by: what computed it, such as "firmware 0.1.0 on nrf52840-emulated"; for people.
    """

    id: str
    device: int
    round: int
    network: str
    values: bytes = field(repr=False)
    indices: bytes | None = field(repr=False)
    examples: int
    loss: float
    received: int
    by: str

    KIND: ClassVar[str] = "update"
    MOST: ClassVar[int] = MOST_BYTES
    FIELDS: ClassVar[Mapping[str, Reader]] = {
        "id": _id,
        "device": _device,
        "round": _round,
        "network": _network,
        "values": numbers(4),
        "indices": nothing_or(numbers(4)),
        "examples": whole(1, _MOST_COUNT),
        "loss": number,
        "received": whole(0, _MOST_COUNT),
        "by": line(200),
    }

    @classmethod
    def from_update(cls, id_: str, network: str, update: Update, by: str) -> "Report":
        """Return the report that brings `update`, computed `by`, to the server."""
        indices = update.indices
        return cls(
            id_,
            update.device,
            update.round,
            network,
            update.values.astype("<f4", copy=False).tobytes(),
            None if indices is None else indices.astype("<i4", copy=False).tobytes(),
            int(update.examples),
            float(update.loss),
            int(update.received),
            by,
        )

    def update(self) -> Update:
        """Return what the device learned, not judged yet."""
        places = None
        if self.indices is not None:
            places = np.frombuffer(self.indices, "<i4").astype(np.int32, copy=False)
        return Update(
            self.device,
            self.round,
            _floats(self.values),
            places,
            self.examples,
            self.loss,
            self.received,
        )


@dataclass(frozen=True)
class Refused(Payload):
    """A gateway or device will not follow an order.

    Attributes:
        id: the order.
        device: whom it was for.
        round: number of the round.
        reason: one line for a person.
    """

    id: str
    device: int
    round: int
    reason: str

    KIND: ClassVar[str] = "refusal"
    FIELDS: ClassVar[Mapping[str, Reader]] = {
        "id": _id,
        "device": _device,
        "round": _round,
        "reason": _reason,
    }


@dataclass(frozen=True)
class Ack(Payload):
    """The server has done with a report: the gateway may forget it.

    Attributes:
        id: the order that it answered.
        status: "accepted" once the server has it, on disk where it has an inbox; "refused"; or
            "late".
        reason: one line for a person, empty when accepted.
    """

    id: str
    status: Status
    reason: str = ""

    KIND: ClassVar[str] = "ack"
    FIELDS: ClassVar[Mapping[str, Reader]] = {
        "id": _id,
        "status": one_of(*get_args(Status)),
        "reason": _reason,
    }


@dataclass(frozen=True)
class LogLine(Payload):
    """Something that a gateway wants a person to know.

    Attributes:
        at: when, in seconds since 1970.
        level: how much it matters.
        text: one line.
    """

    at: float
    level: Level
    text: str

    KIND: ClassVar[str] = "log"
    FIELDS: ClassVar[Mapping[str, Reader]] = {
        "at": finite,
        "level": one_of(*get_args(Level)),
        "text": line(_LOG),
    }


def _floats(data: bytes) -> Floats:
    return np.frombuffer(data, "<f4").astype(np.float32, copy=False)
