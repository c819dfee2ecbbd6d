"""The bytes that carry a message: MQTT and CBOR between server and gateway, frames to a board.

Counted on messages of `tinyfleet.payloads` and frames of `tinyfleet.frame` as they are, for names
of usual length. Not counted: TCP, IP and TLS below MQTT, what is sent once for a network (its
description, its program on a board), and anything sent again.
"""

from dataclasses import dataclass

from tinyfleet.exchange import Exchange
from tinyfleet.messages import Assignment
from tinyfleet.network import Network
from tinyfleet.payloads import Ack, Order, Report
from tinyfleet.plan import plan
from tinyfleet.topics import Topic
from tinyfleet.wire import Blob, Options, pack_begin, pack_program, pack_read, pack_select
from tinyfleet.wire import Kind as BlobKind

FLEET, GATEWAY, DEVICE = "lab", "gateway-1", 17
ID = "study-1/120/17/0123456789ab"
NETWORK_ID = "0123456789abcdef"
BY = "firmware 0.1.0 on nano-33-ble"
PAYLOAD_MAX = 1025
"""Bytes that a board takes in a frame: those of our firmware for the nRF52840."""

_FRAME = 1 + 1 + 4 + 4 + 1  # type, transfer, offset, CRC-32 and the closing zero
_NUMBER, _RESULT, _HELLO_ANSWER, _PUBACK = 4, 16, 60, 4


@dataclass(frozen=True)
class Carried:
    """Bytes of a round on one leg, to the device and from it."""

    down: int
    up: int

    def __add__(self, other: "Carried") -> "Carried":
        return Carried(self.down + other.down, self.up + other.up)


def over_mqtt(asked: Assignment, down: int, up: int) -> Carried:
    """Return the bytes of a round between server and gateway.

    An order brings `down` bytes of weights, a report `up` bytes of update, an ack ends it; each is
    published at quality of service 1, so that a PUBACK answers it.

    Args:
        asked: what the order says besides.
        down: bytes of the message of weights.
        up: bytes of the message of the update.
    """
    order = Order.from_assignment(ID, DEVICE, NETWORK_ID, asked).to_bytes()
    report = Report(ID, DEVICE, asked.round, NETWORK_ID, b"", None, 32, 0.25, 1, BY).to_bytes()
    ack = Ack(ID, "accepted").to_bytes()
    bare = 4 * len(asked.weights)
    return Carried(
        _published("assignment", _grown(len(order), bare, down)) + _published("ack", len(ack)),
        _published("update", _grown(len(report), 0, up)),
    ) + Carried(_PUBACK, 2 * _PUBACK)


def over_serial(down: int, up: int, payload_max: int = PAYLOAD_MAX) -> Carried:
    """Return the bytes of a round on the line to a board whose own sensor gives the samples.

    HELLO, a transfer of `down` bytes of weights, SENSE, and as many READs as `up` bytes take.
    """
    hello = Carried(_framed(0), _framed(_HELLO_ANSWER))
    sense = Carried(_framed(8), _framed(_RESULT))
    read = Carried(0, 0)
    asked = _framed(len(pack_read(Blob.WEIGHTS, 1)))
    for offset in range(0, up, payload_max):
        read += Carried(asked, _framed(min(payload_max, up - offset)))
    return hello + _transfer(down, payload_max) + sense + read


def over_serial_today(
    network: Network, asked: Assignment, payload_max: int = PAYLOAD_MAX
) -> Carried:
    """Return the bytes of the same round as `docs/wire.md`, version 1, has it.

    All weights go down as float32, entries come up as a u32 place and a float32 each, and where
    layers are local two programs take turns.
    """
    exchange = Exchange.of(network, asked)
    entries, share = exchange.up.entries, asked.share
    chosen = max(1, round(share * entries))
    found = over_serial(4 * network.parameters, (4 if share == 1.0 else 8) * chosen, payload_max)
    if share < 1.0:
        found += Carried(_framed(len(pack_select(chosen, [(0, entries)]))), _framed(_NUMBER))
    if asked.local:
        program = _transfer(len(pack_program(plan(network))), payload_max)
        found += program + program
    return found


def _transfer(size: int, payload_max: int) -> Carried:
    begin = _framed(len(pack_begin(BlobKind.WEIGHTS, b"", Options())))
    total = Carried(begin + _framed(0), _framed(_NUMBER) + _framed(_RESULT))
    for offset in range(0, size, payload_max):
        total += Carried(_framed(min(payload_max, size - offset)), _framed(_NUMBER))
    return total


def _framed(payload: int) -> int:
    """Return the most bytes of a frame: COBS adds one, and one for every 254 without a zero."""
    plain = _FRAME - 1 + payload
    return plain + 1 + plain // 254 + 1


def _published(topic: str, payload: int) -> int:
    """Return the bytes of a PUBLISH: type, length, topic, packet's number, payload."""
    name = str(Topic(FLEET, GATEWAY, str(DEVICE), topic))
    remaining = 2 + len(name) + 2 + payload
    length = 1 + (remaining > 127) + (remaining > 16_383) + (remaining > 2_097_151)
    return 1 + length + remaining


def _grown(message: int, before: int, now: int) -> int:
    """Return the length of a CBOR map whose one byte string of `before` bytes has `now` instead."""
    return message - _cbor_string(before) + _cbor_string(now)


def _cbor_string(size: int) -> int:
    return size + 1 + (size > 23) + (size > 255) + 2 * (size > 65_535)
