"""How numbers of a vector travel: as float32, float16 or int8, all of them or some, in bytes.

Whoever sends and whoever receives know the `Form` beforehand; the message says the rest. A message
of all entries as float32 is the vector itself, little-endian. Every other one is

    "tu" | version u8, 1 | numbers u8 + 16 x places u8 | entries u32 | count u32 | places | numbers

with numbers 0 float32, 1 float16, 2 int8, and places 0 all, 1 bitmap, 2 gaps: little-endian, one
number behind the other. A bitmap has a bit for each entry, the lowest bit first. Gaps are the
entries passed over before each place, as LEB128 varints (7 bits a byte, lowest first, top bit: more
follow). The smaller of the two is taken, the bitmap where they are equal. int8 starts with a
float32 scale for each layer: the largest magnitude of its numbers over 127. A number travels as the
whole number nearest to its quotient by the scale, halves to the even one; so no draw is made, and
every machine sends the same bytes (uniform quantisation, see Jacob et al. 2018, section 2).
"""

import struct
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import WireError

Encoding = Literal["float32", "float16", "int8"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

VERSION = 1
_MAGIC = b"tu"
_HEADER = struct.Struct("<2sBBII")
_ALL, _BITMAP, _GAPS = range(3)
_TYPES = (np.dtype("<f4"), np.dtype("<f2"), np.dtype("<i1"))
_LARGEST = float(np.finfo(np.float16).max)
_STEPS = 127  # of int8 on either side of zero

Floats = NDArray[np.float32]
Places = NDArray[np.int32]


@dataclass(frozen=True)
class Form:
    """What both ends know before anything travels.

    Attributes:
        entries: length of the vector between them.
        layers: where each layer's entries end, ascending; the last is `entries`.
        encoding: how numbers are sent.
        whole: whether all entries were asked for.
    """

    entries: int
    layers: tuple[int, ...]
    encoding: Encoding = "float32"
    whole: bool = True

    @property
    def bare(self) -> bool:
        """Whether a message is the vector itself and needs no header."""
        return self.whole and self.encoding == "float32"


def encode(
    form: Form, numbers: Floats, places: Places | None = None, encoding: Encoding | None = None
) -> bytes:
    """Return the message that brings `numbers`.

    Args:
        form: what the receiver knows.
        numbers: `(entries,)`, or `(k,)` at `places`; finite, unless they travel as float32.
        places: ascending places `(k,)` below `form.entries`; None for all of them.
        encoding: other than the form's, which the receiver learns from the header.

    >>> form = Form(8, (8,), "int8", whole=False)
    >>> encode(form, np.array([1.0, -0.5], np.float32), np.array([2, 3], np.int32)).hex(" ")
    '74 75 01 12 08 00 00 00 02 00 00 00 0c 04 02 01 3c 7f c0'
    """
    kind = ENCODINGS.index(encoding or form.encoding)
    if form.bare and kind == 0:
        return numbers.astype("<f4", copy=False).tobytes()
    how, packed = (_ALL, b"") if places is None else _pack_places(form.entries, places)
    header = _HEADER.pack(_MAGIC, VERSION, kind | how << 4, form.entries, len(numbers))
    if kind == 2:
        scales, codes = _to_int8(form, numbers, places)
        return header + packed + scales.astype("<f4").tobytes() + codes.tobytes()
    return header + packed + _clipped(numbers, kind).tobytes()


def decode(form: Form, data: bytes) -> tuple[Floats, Places | None, Encoding]:
    """Return numbers, their places (None for all), and how they travelled.

    Raises:
        WireError: `data` is no such message: another magic, version or vector, cut short or
            grown, places that do not ascend below `form.entries`, or numbers that are not finite.
    """
    if form.bare:
        _expect(len(data) == 4 * form.entries, f"{4 * form.entries} bytes", f"{len(data)}")
        return np.frombuffer(data, "<f4").astype(np.float32, copy=False), None, "float32"
    _expect(len(data) >= _HEADER.size, f"{_HEADER.size} bytes or more", f"{len(data)}")
    magic, version, both, entries, count = _HEADER.unpack_from(data)
    kind, how = both & 15, both >> 4
    _expect(magic == _MAGIC and version == VERSION, f"{_MAGIC!r} {VERSION}", f"{magic!r} {version}")
    _expect(kind < 3 and how < 3, "a known form", f"{both:#04x}")
    _expect(entries == form.entries, f"{form.entries} entries", f"{entries}")
    _expect(count <= entries and (how != _ALL or count == entries), "a count of them", f"{count}")
    places, at = _unpack_places(data, how, entries, count)
    scales = 4 * len(form.layers) if kind == 2 else 0
    size = at + scales + count * _TYPES[kind].itemsize
    _expect(len(data) == size, f"{size} bytes", f"{len(data)}")
    if kind == 2:
        codes = np.frombuffer(data, np.int8, offset=at + scales)
        steps = np.frombuffer(data, "<f4", len(form.layers), at).astype(np.float32)
        good = bool((steps >= 0).all() and np.isfinite(steps).all() and (codes > -128).all())
        _expect(good, "finite scales of 0 or more, and codes from -127", "others")
        return _from_int8(form, steps, codes, places), places, "int8"
    found = np.frombuffer(data, _TYPES[kind], offset=at + scales).astype(np.float32)
    _expect(kind == 0 or bool(np.isfinite(found).all()), "finite float16", "others")
    return found, places, ENCODINGS[kind]


def arriving(form: Form, numbers: Floats, places: Places | None = None) -> Floats:
    """Return what `decode` makes of `encode(form, numbers, places)`, without the bytes."""
    kind = ENCODINGS.index(form.encoding)
    if kind == 2:
        return _from_int8(form, *_to_int8(form, numbers, places), places)
    return _clipped(numbers, kind).astype(np.float32)


def encoded_bytes(
    form: Form, places: Places | None = None, encoding: Encoding | None = None
) -> int:
    """Return the length of what `encode` returns for any numbers at `places`."""
    kind = ENCODINGS.index(encoding or form.encoding)
    if form.bare and kind == 0:
        return 4 * form.entries
    count = form.entries if places is None else len(places)
    held = 0 if places is None else min(-(-form.entries // 8), _gap_bytes(places))
    scales = 4 * len(form.layers) if kind == 2 else 0
    return _HEADER.size + held + scales + count * _TYPES[kind].itemsize


def _clipped(numbers: Floats, kind: int) -> NDArray[np.float32 | np.float16]:
    """Return the numbers in their type; what float16 cannot hold becomes its largest."""
    if kind == 1:
        numbers = numbers.clip(-_LARGEST, _LARGEST)
    return numbers.astype(_TYPES[kind])


def _layer_of(form: Form, places: Places | None) -> NDArray[np.intp]:
    """Return the layer of each number, `(k,)`."""
    at = np.arange(form.entries) if places is None else places
    return np.searchsorted(form.layers, at, side="right")


def _to_int8(form: Form, numbers: Floats, places: Places | None) -> tuple[Floats, NDArray[np.int8]]:
    """Return scales `(layers,)` and codes `(k,)`."""
    layer = _layer_of(form, places)
    largest = np.zeros(len(form.layers), np.float32)
    np.maximum.at(largest, layer, np.abs(numbers))
    scales = largest / np.float32(_STEPS)
    quotients = np.divide(
        numbers, scales[layer], out=np.zeros(len(numbers), np.float32), where=scales[layer] > 0
    )
    return scales, np.rint(quotients).clip(-_STEPS, _STEPS).astype(np.int8)


def _from_int8(
    form: Form, scales: Floats, codes: NDArray[np.int8], places: Places | None
) -> Floats:
    product: Floats = scales[_layer_of(form, places)] * codes.astype(np.float32)
    return product


def _pack_places(entries: int, places: Places) -> tuple[int, bytes]:
    if -(-entries // 8) <= _gap_bytes(places):
        bits = np.zeros(entries, np.bool_)
        bits[places] = True
        return _BITMAP, np.packbits(bits, bitorder="little").tobytes()
    packed = bytearray()
    for gap in _gaps(places).tolist():
        while gap > 127:
            packed.append(gap & 127 | 128)
            gap >>= 7
        packed.append(gap)
    return _GAPS, bytes(packed)


def _gaps(places: Places) -> NDArray[np.int64]:
    passed: NDArray[np.int64] = np.diff(places, prepend=np.int32(-1)).astype(np.int64) - 1
    return passed


def _gap_bytes(places: Places) -> int:
    gaps = _gaps(places)
    return len(gaps) + sum(int((gaps >> bits > 0).sum()) for bits in (7, 14, 21, 28))


def _unpack_places(data: bytes, how: int, entries: int, count: int) -> tuple[Places | None, int]:
    """Return places and where they end in `data`."""
    at = _HEADER.size
    if how == _ALL:
        return None, at
    if how == _BITMAP:
        stop = at + -(-entries // 8)
        bits = np.unpackbits(np.frombuffer(data[at:stop], np.uint8), bitorder="little")
        _expect(len(data) >= stop and not bits[entries:].any(), "a bit an entry", "others")
        places = np.flatnonzero(bits).astype(np.int32)
        _expect(len(places) == count, f"{count} places", f"{len(places)}")
        return places, stop
    found, place = [], -1
    for _ in range(count):
        gap, at = _varint(data, at)
        place += gap + 1
        found.append(place)
        _expect(place < entries, f"places below {entries}", f"{place}")
    return np.array(found, np.int32), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at`, in the fewest bytes that hold it, and where it ends."""
    number = 0
    for shift in range(0, 35, 7):
        _expect(at < len(data), "a whole varint", "the end")
        byte, at = data[at], at + 1
        number |= (byte & 127) << shift
        if byte < 128:
            _expect(byte > 0 or shift == 0, "the shortest varint", "a longer one")
            return number, at
    raise WireError("encoded: expected varints of 5 bytes at most, got a longer one")


def _expect(good: bool, expected: str, got: str) -> None:
    if not good:
        raise WireError(f"encoded: expected {expected}, got {got}; both sides must speak one form")
