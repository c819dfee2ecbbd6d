"""What a board and its gateway say to one another: the payloads of `docs/wire.md`, part 1.

Nothing here opens a port or waits. The frames that carry the payloads are `tinyfleet.frame`'s.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import Any

from tinyfleet.errors import WireError
from tinyfleet.frame import Frame as Frame
from tinyfleet.frame import FrameReader as FrameReader
from tinyfleet.frame import decode as decode
from tinyfleet.frame import encode as encode
from tinyfleet.plan import Plan

WIRE = 1
"""The version of `docs/wire.md` that this module speaks."""

SAFE_PAYLOAD = 32
"""Bytes of payload that any device takes, before its HELLO says how many it does."""

ANSWER, ERROR = 0x80, 0xFF
"""The bit that an answer adds to its request's type; the type of a refusal."""

KEEP = 1
"""Flag of a transfer of weights: keep a second copy, against which SELECT measures."""

_BEGIN = struct.Struct("<BBHIIfII")
_SENSE = struct.Struct("<fI")
_READ = struct.Struct("<BBH")
_NUMBER = struct.Struct("<I")
_RESULT = struct.Struct("<B3xIIf")
_HELLO = struct.Struct("<HH3BxIIIIIIII")
_COUNTERS = struct.Struct("<IQIIIIII")
_ERROR = struct.Struct("<B3xII")


class Request(IntEnum):
    """What the gateway asks: the type of a frame."""

    HELLO = 0x01
    BEGIN = 0x02
    CHUNK = 0x03
    COMMIT = 0x04
    SENSE = 0x05
    SELECT = 0x06
    READ = 0x07
    COUNTERS = 0x08


class Kind(IntEnum):
    """What a transfer brings to the device."""

    PROGRAM = 1
    WEIGHTS = 2
    LEARN = 3
    EVALUATE = 4


class Blob(IntEnum):
    """What READ reads: the whole vector, or the entries that SELECT chose."""

    WEIGHTS = 1
    SELECTION = 2


class Reason(IntEnum):
    """Why a device refuses."""

    UNKNOWN = 1
    TRANSFER = 2
    TOO_LARGE = 3
    CHECKSUM = 4
    PROGRAM = 5
    NOT_READY = 6
    NOT_FINITE = 7
    LENGTH = 8
    TRAINING = 9


_MEANING = {
    Reason.UNKNOWN: "it knows no such request, or a payload of another length",
    Reason.TRANSFER: "it has no such transfer under way",
    Reason.TOO_LARGE: "it lacks the memory",
    Reason.CHECKSUM: "the blob's CRC-32 is not the one announced",
    Reason.PROGRAM: "its kernel refuses the program, or lacks one of its layers",
    Reason.NOT_READY: "it has no program, weights, kept copy or sensor for this",
    Reason.NOT_FINITE: "the weights hold NaN or infinity",
    Reason.LENGTH: "the blob's length is not what program and samples ask for",
    Reason.TRAINING: "the rate is not positive and finite, or there are no samples",
}


class DeviceRefused(WireError):  # noqa: N818 - it says what happened
    """A device that answered ERROR.

    Attributes:
        reason: why.
        need: bytes that it would take, 0 where that means nothing.
        have: bytes that there are.
    """

    def __init__(self, asked: str, reason: Reason, need: int = 0, have: int = 0) -> None:
        bytes_text = f" (need {need} bytes, have {have})" if need or have else ""
        super().__init__(f"{asked}: the device refused: {_MEANING[reason]}{bytes_text}")
        self.reason, self.need, self.have = reason, need, have


@dataclass(frozen=True)
class Options:
    """What BEGIN says besides the blob.

    Attributes:
        flags: `KEEP` or 0, weights alone.
        rate: step size, learn alone.
        samples: samples of one pass, learn and evaluate.
        passes: times that the stream goes through them, learn and evaluate.
    """

    flags: int = 0
    rate: float = 0.0
    samples: int = 0
    passes: int = 1


def pack_begin(kind: Kind, blob: bytes, options: Options) -> bytes:
    """Return BEGIN's payload for `blob`, which travels `options.passes` times.

    Raises:
        WireError: it is longer than a transfer can be.
    """
    length, crc = len(blob) * options.passes, 0
    if length >= 2**32:
        raise WireError(
            f"transfer: expected less than 4 GiB, got {length} bytes; ask for fewer passes"
        )
    for _ in range(options.passes):
        crc = zlib.crc32(blob, crc)
    numbers = (options.flags, 0, length, crc, options.rate, options.samples, options.passes)
    return _BEGIN.pack(kind, *numbers)


def pack_sense(rate: float, samples: int) -> bytes:
    """Return SENSE's payload."""
    return _SENSE.pack(rate, samples)


def pack_select(count: int, ranges: Sequence[tuple[int, int]]) -> bytes:
    """Return SELECT's payload: how many entries, from which places `start..stop - 1`."""
    flat = [place for one in ranges for place in one]
    return struct.pack(f"<II{len(flat)}I", count, len(ranges), *flat)


def pack_read(blob: Blob, length: int) -> bytes:
    """Return READ's payload; the frame's offset says from where."""
    return _READ.pack(blob, 0, length)


def unpack_number(payload: bytes, field: str) -> int:
    """Return the one u32 that answers BEGIN, CHUNK and SELECT.

    Raises:
        WireError: the payload is not one u32.
    """
    number: int = _unpack(_NUMBER, payload, field)[0]
    return number


@dataclass(frozen=True)
class Result:
    """What COMMIT and SENSE answer.

    Attributes:
        kind: what the transfer brought.
        samples: samples that were scored.
        hits: how many of them were told right; 0 for mean square.
        loss: their mean loss, an exact float32.
    """

    kind: int
    samples: int
    hits: int
    loss: float

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Result":
        """Read the payload, or raise `WireError`."""
        return cls(*_unpack(_RESULT, payload, "result"))


@dataclass(frozen=True)
class Hello:
    """What a device says of itself.

    Attributes:
        payload_max: bytes of payload that it takes.
        firmware: major, minor, patch.
        session: another number after each restart.
        ram: bytes of the board.
        arena: bytes for program, weights, scratch, sample and kept copy.
        flash: bytes of the board.
        program: CRC-32 of the program in force, 0 for none.
        weights: CRC-32 of the weights last committed, 0 for none.
        kinds: bit k is set when layers of kind k (`tinyfleet.plan.KINDS`) are built in.
        steps: samples learned since the start.
        board: name of the board.
        sensors: names of its sensors.
    """

    payload_max: int
    firmware: tuple[int, int, int]
    session: int
    ram: int
    arena: int
    flash: int
    program: int
    weights: int
    kinds: int
    steps: int
    board: str
    sensors: tuple[str, ...]

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Hello":
        """Read the payload.

        Raises:
            WireError: it is cut short or too long, of another version, or its names no UTF-8.
        """
        if len(payload) >= 2 and (version := int.from_bytes(payload[:2], "little")) != WIRE:
            raise WireError(
                f"hello: expected wire version {WIRE}, got {version}; "
                "install firmware and tinyfleet of one release"
            )
        numbers = _unpack(_HELLO, payload[: _HELLO.size], "hello")
        payload_max, firmware = numbers[1], numbers[2:5]
        session, ram, arena, flash, program, weights, kinds, steps = numbers[5:]
        if payload_max < SAFE_PAYLOAD:
            raise WireError(
                f"hello: payload_max: expected {SAFE_PAYLOAD} or more, got {payload_max}"
            )
        board, rest = _text(payload[_HELLO.size :])
        count, rest = rest[:1], rest[1:]
        sensors = []
        for _ in range(count[0] if count else 0):
            sensor, rest = _text(rest)
            sensors.append(sensor)
        if rest or not count:
            raise WireError(f"hello: sensors: expected names and no more, got {rest[:20]!r}")
        return cls(
            payload_max,
            firmware,
            session,
            ram,
            arena,
            flash,
            program,
            weights,
            kinds,
            steps,
            board,
            tuple(sensors),
        )


@dataclass(frozen=True)
class Counters:
    """What a device has counted.

    Attributes:
        steps: samples learned since the start.
        cycles: of the port's clock while learning.
        stack: the most stack that was ever used, bytes.
        static: bytes of .data and .bss but the arena and link buffers.
        arena_used: bytes of the arena in use.
        buffers: bytes of link buffers.
        frames: good frames that came.
        dropped: malformed ones.
    """

    steps: int
    cycles: int
    stack: int
    static: int
    arena_used: int
    buffers: int
    frames: int
    dropped: int

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Counters":
        """Read the payload, or raise `WireError`."""
        return cls(*_unpack(_COUNTERS, payload, "counters"))


def refusal(payload: bytes, asked: str) -> WireError:
    """Return what an ERROR's payload says of the request `asked`."""
    try:
        code, need, have = _unpack(_ERROR, payload, f"{asked}: refusal")
        return DeviceRefused(asked, Reason(code), need, have)
    except ValueError:
        return WireError(f"{asked}: the device refused: expected a known code, got {payload[0]}")
    except WireError as error:
        return error


def pack_program(plan: Plan) -> bytes:
    """Return `plan` as the device's kernel reads it: the header, then a row for each layer."""
    header = (
        len(plan.rows),
        plan.first_trainable,
        plan.loss,
        plan.parameters,
        plan.inputs,
        plan.outputs,
        plan.scratch,
        0,
    )
    numbers = [*header, *(number for row in plan.rows for number in astuple(row))]
    return struct.pack(f"<{len(numbers)}i", *numbers)


def arena_need(plan: Plan, *, keep: bool = False) -> int:
    """Return the bytes of arena that `plan` takes, with a kept copy of the weights if `keep`."""
    parts = [
        len(pack_program(plan)),
        4 * plan.parameters,
        4 * plan.scratch,
        4 * (plan.inputs + plan.outputs),
        4 * plan.parameters * keep,
    ]
    return sum(-(-part // 8) * 8 for part in parts)


def _unpack(layout: struct.Struct, payload: bytes, field: str) -> tuple[Any, ...]:
    if len(payload) != layout.size:
        raise WireError(f"{field}: expected {layout.size} bytes, got {len(payload)}")
    return layout.unpack(payload)


def _text(data: bytes) -> tuple[str, bytes]:
    """Return a text of length u8 and UTF-8, and what lies behind it."""
    length = data[0] if data else 0
    text, rest = data[1 : 1 + length], data[1 + length :]
    if not data or len(text) != length:
        raise WireError(f"hello: name: expected {length} bytes of text, got {len(text)}")
    try:
        return text.decode(), rest
    except UnicodeDecodeError:
        raise WireError(f"hello: name: expected UTF-8, got {text[:20]!r}") from None
