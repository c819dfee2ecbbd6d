"""Frames: how a serial line that loses and damages bytes carries messages all the same.

COBS (Cheshire & Baker 1999) keeps zeros for the ends of frames; a CRC-32 tells the good ones.
"""

import struct
import zlib
from dataclasses import dataclass

from cobs import cobs

from tinyfleet.errors import WireError

_HEADER = struct.Struct("<BBI")
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class Frame:
    """One request or answer.

    Attributes:
        type: what is asked, or answered: `tinyfleet.wire.Request`.
        transfer: number of the transfer or request, 0..255; an answer repeats it.
        offset: place of a chunk's first byte; an answer repeats it.
        payload: the rest.
    """

    type: int
    transfer: int = 0
    offset: int = 0
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """Return the bytes of `frame` on the line, the closing zero included.

    >>> encode(Frame(1, 5)).hex(" ")
    '03 01 05 01 01 01 05 76 fd 7e b2 00'
    """
    plain = _HEADER.pack(frame.type, frame.transfer, frame.offset) + frame.payload
    encoded: bytes = cobs.encode(plain + _CRC.pack(zlib.crc32(plain)))
    return encoded + b"\0"


def decode(encoded: bytes) -> Frame:
    """Return the frame whose bytes before the closing zero are `encoded`.

    Raises:
        WireError: it is not COBS, shorter than a frame, or its CRC-32 is wrong.
    """
    try:
        plain: bytes = cobs.decode(encoded)
    except cobs.DecodeError as error:
        raise WireError(f"frame: expected COBS, got {len(encoded)} other bytes ({error})") from None
    if len(plain) < _HEADER.size + _CRC.size:
        raise WireError(
            f"frame: expected at least {_HEADER.size + _CRC.size} bytes, got {len(plain)}"
        )
    body, crc = plain[: -_CRC.size], _CRC.unpack(plain[-_CRC.size :])[0]
    if zlib.crc32(body) != crc:
        raise WireError(f"frame: expected CRC-32 {zlib.crc32(body):08x}, got {crc:08x}")
    asked, transfer, offset = _HEADER.unpack_from(body)
    return Frame(asked, transfer, offset, body[_HEADER.size :])


class FrameReader:
    """Finds frames in bytes as they come; whatever is none is dropped and counted.

    Args:
        limit: the most bytes of an encoded frame, its closing zero excluded.

    Attributes:
        dropped: malformed frames so far.
    """

    def __init__(self, limit: int = 2**17) -> None:
        self.limit = limit
        self.dropped = 0
        self._pending = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take `data` and return the good frames that end in it. Empty frames are ignored."""
        frames = []
        *ended, rest = data.split(b"\0")
        for part in ended:
            self._take(part)
            if self._overlong:
                self.dropped += 1
            elif self._pending:
                try:
                    frames.append(decode(bytes(self._pending)))
                except WireError:
                    self.dropped += 1
            self._pending.clear()
            self._overlong = False
        self._take(rest)
        return frames

    def _take(self, part: bytes) -> None:
        if self._overlong or len(self._pending) + len(part) > self.limit:
            self._overlong = True
            self._pending.clear()
        else:
            self._pending += part
