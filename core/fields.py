"""CBOR maps with typed fields: nothing is taken that is not exactly what a field asks for.

A reader returns the value of a field, or raises ValueError with what it expected. The same readers
check what is written, so that nothing malformed leaves either.
"""

import io
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Self

import cbor2

from tinyfleet.errors import WireError

Reader = Callable[[Any], Any]

VERSION = 1
"""What every map says under "v"."""

_DEEPEST = 16
_TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799)


@dataclass(frozen=True)
class Payload:
    """A message whose map has the fields of the dataclass; abstract.

    Attributes:
        KIND: what errors call it.
        FIELDS: a reader for each field.
        MOST: bytes that it may have.
    """

    KIND: ClassVar[str]
    FIELDS: ClassVar[Mapping[str, Reader]]
    MOST: ClassVar[int] = 16 * 1024

    def to_bytes(self) -> bytes:
        """Return the message; `WireError` where a field is not what it must be."""
        return to_map(self.KIND, self.FIELDS, {name: getattr(self, name) for name in self.FIELDS})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return what `data` says; `WireError` where it is malformed."""
        return cls(**from_map(cls.KIND, cls.FIELDS, data, cls.MOST))


def to_map(kind: str, fields: Mapping[str, Reader], values: Mapping[str, Any]) -> bytes:
    """Return `values` as a CBOR map, `v` first, in the order of `fields`.

    Raises:
        WireError: a value is not what its field asks for.
    """
    checked = {"v": VERSION} | {name: _field(kind, name, fields, values) for name in fields}
    try:
        return cbor2.dumps(checked)
    except (cbor2.CBOREncodeError, RecursionError) as error:
        raise WireError(f"{kind}: expected values that CBOR can hold, got {error}") from None


def from_map(kind: str, fields: Mapping[str, Reader], data: bytes, most: int) -> dict[str, Any]:
    """Return the values of `fields` in the CBOR map `data`; other keys are ignored.

    Tags are refused, so that nothing but plain values is ever made of somebody else's bytes, and
    so are indefinite lengths, duplicate keys and bytes behind the map.

    Raises:
        WireError: more than `most` bytes, no such map, or a field is missing or ill-typed.
    """
    if len(data) > most:
        raise WireError(f"{kind}: expected at most {most} bytes, got {len(data)}")
    values = _decode(kind, data)
    if not isinstance(values, dict):
        raise WireError(f"{kind}: expected a CBOR map, got {type(values).__name__}")
    if type(values.get("v")) is not int or values["v"] != VERSION:
        raise WireError(
            f"{kind}.v: expected {VERSION}, got {values.get('v')!r:.40}; "
            "both sides must speak one version of the wire"
        )
    return {name: _field(kind, name, fields, values) for name in fields}


def _decode(kind: str, data: bytes) -> Any:
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(stream, **_STRICT).decode()
    except (cbor2.CBORError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise WireError(f"{kind}: expected plain CBOR, got {reason:.120}") from None
    if stream.tell() != len(data):
        raise WireError(
            f"{kind}: expected one CBOR map, got {len(data) - stream.tell()} more bytes"
        )
    return value


def _refuse_tag(*_: Any) -> NoReturn:
    raise ValueError("a tag")


_STRICT: dict[str, Any] = {
    "semantic_decoders": dict.fromkeys(_TAGS, _refuse_tag),
    "tag_hook": _refuse_tag,
    "max_depth": _DEEPEST,
    "allow_indefinite": False,
    "allow_duplicate_keys": False,
    "strict_hashable_types": True,
}


def _field(kind: str, name: str, fields: Mapping[str, Reader], values: Mapping[str, Any]) -> Any:
    if name not in values:
        raise WireError(f"{kind}.{name}: expected a value, got none")
    try:
        return fields[name](values[name])
    except ValueError as error:
        raise WireError(f"{kind}.{name}: expected {error}, got {values[name]!r:.80}") from None


def whole(least: int, most: int) -> Reader:
    """Read a whole number from `least` to `most`."""

    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return read


def number(value: Any) -> float:
    """Read a number, NaN and infinity included."""
    if type(value) not in (int, float):
        raise ValueError("a number")
    return float(value)


def finite(value: Any) -> float:
    """Read a finite number."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("a finite number")
    return float(value)


def text(most: int, pattern: str | None = None) -> Reader:
    """Read a text of 1 to `most` characters, all of it matching `pattern` if there is one."""
    compiled = re.compile(pattern or r"[^\x00]*", re.ASCII | re.DOTALL)

    def read(value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= most:
            raise ValueError(f"a text of 1 to {most} characters")
        if not compiled.fullmatch(value):
            raise ValueError(f"a text of the form {compiled.pattern}")
        return value

    return read


def line(most: int) -> Reader:
    """Read a text as one printable line, cut to `most` characters, for people.

    >>> line(7)("two\\nlines")
    'two lin'
    """

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("a text")
        joined = " ".join(value.split())[:most]
        return "".join(c if c.isprintable() else "\ufffd" for c in joined)

    return read


def one_of(*choices: str) -> Reader:
    """Read one of `choices`."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return value

    return read


def numbers(size: int) -> Reader:
    """Read bytes that hold numbers of `size` bytes each."""

    def read(value: Any) -> bytes:
        if not isinstance(value, bytes) or len(value) % size:
            raise ValueError(f"bytes in groups of {size}")
        return value

    return read


def nothing_or(reader: Reader) -> Reader:
    """Read null, or what `reader` reads."""
    return lambda value: None if value is None else reader(value)


def plain_map(value: Any) -> dict[str, Any]:
    """Read a map with text keys."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError("a map with text keys")
    return value
