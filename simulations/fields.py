"""Reads JSON that a run wrote, field by field, so that whatever does not fit is named."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tinyfleet.errors import StudyError


@dataclass(frozen=True)
class Fields:
    """One JSON object and where it stands, so that whatever does not fit can be named.

    Every method raises `StudyError` when the field is missing or of another type.
    """

    place: str
    values: Mapping[str, object]

    def _refuse(self, name: str, expected: str) -> StudyError:
        got = json.dumps(self.values[name])[:60] if name in self.values else "nothing"
        return StudyError(f"{self.place}: {name}: expected {expected}, got {got}; run it again")

    def has(self, name: str) -> bool:
        """Say whether the field is there and not null."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """Return a string."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self._refuse(name, "a text")
        return value

    def number(self, name: str) -> float:
        """Return a number; NaN for null, which stands for whatever was not finite."""
        value = self.values.get(name, "")
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refuse(name, "a number or null")
        return float(value) if math.isfinite(value) else math.nan

    def count(self, name: str) -> int:
        """Return a whole number, 0 or more."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._refuse(name, "a whole number, 0 or more")
        return value

    def counts(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers, 0 or more."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(type(n) is int and n >= 0 for n in value):
            raise self._refuse(name, "a list of whole numbers")
        return tuple(value)

    def fields(self, name: str) -> "Fields":
        """Return an object."""
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self._refuse(name, "an object")
        return Fields(f"{self.place}: {name}", value)

    def rows(self, name: str) -> Iterator["Fields"]:
        """Yield the objects of a list."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise self._refuse(name, "a list of objects")
        for number, row in enumerate(value, start=1):
            yield Fields(f"{self.place}: {name} {number}", row)

    def shots(self, name: str) -> Iterator[tuple[int, str, "Fields"]]:
        """Yield the keys of an object that are numbers of shots: as number, as key, the object."""
        inner = self.fields(name)
        for key in inner.values:
            if not key.isdecimal():
                raise StudyError(f"{inner.place}: expected shots as keys, got {key[:60]!r}")
        for key in sorted(inner.values, key=int):
            yield int(key), key, inner
