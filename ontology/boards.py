"""The boards that we know: what each has, and where every figure stands."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.runtimes import RUNTIMES

Value = str | int | float | bool

_FIGURES: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {
        "clock": (int, float),
        "ram": (int,),
        "flash": (int,),
        "free_ram": (int,),
        "free_flash": (int,),
        "training_arena": (int,),
        "macs_per_second": (int, float),
        "active_power": (int, float),
        "instruction_set": (str,),
        "fpu": (bool,),
    }
)


@dataclass(frozen=True)
class Figure:
    """A figure of a board, and where it stands."""

    value: Value
    source: str


@dataclass(frozen=True)
class Sensor:
    """A sensor on a board: its kind, such as "Accelerometer", the part, and where that stands."""

    kind: str
    part: str
    source: str


@dataclass(frozen=True)
class Board:
    """A kind of board.

    Attributes:
        name: what devices of it call themselves.
        runtimes: what runs models on it, by their names in `RUNTIMES`.
        links: how it is reached, and how fast.
        link_source: where the links stand.
        figures: clock (Hz), ram, flash, free_ram, free_flash and training_arena (bytes),
            macs_per_second, active_power (W), instruction_set and fpu; those that are known.
        sensors: what it senses with.
    """

    name: str
    runtimes: tuple[str, ...]
    links: tuple[str, ...] = ()
    link_source: str = ""
    figures: Mapping[str, Figure] = field(default_factory=lambda: MappingProxyType({}))
    sensors: tuple[Sensor, ...] = ()

    def value(self, *names: str) -> Value | None:
        """Return the first of these figures that is known."""
        return next((self.figures[name].value for name in names if name in self.figures), None)


@cache
def boards() -> Mapping[str, Board]:
    """Return the boards of this installation, by name."""
    folder = files("tinyfleet.ontology") / "boards"
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".toml"):
            board = board_from_toml(entry.read_text(encoding="utf-8"), entry.name)
            found[board.name] = board
    return MappingProxyType(found)


def board_from_toml(text: str, place: str) -> Board:
    """Read a board from TOML; `place` is for errors.

    Raises:
        DescriptionError: a field is unknown, ill-typed or without a source.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DescriptionError(f"{place}: expected TOML, got {error}") from None
    sensors = table.pop("sensor", [])
    name, source = (_text(table.pop(key, ""), f"{place}: {key}") for key in ("name", "link_source"))
    runtimes, links = (
        _texts(table.pop(key, []), f"{place}: {key}") for key in ("runtimes", "links")
    )
    for runtime in runtimes:
        if runtime not in RUNTIMES:
            known = ", ".join(RUNTIMES)
            raise DescriptionError(f"{place}: runtimes: expected of {known}, got {runtime!r}")
    figures = {key: _figure(key, value, place) for key, value in table.items()}
    senses = tuple(_sensor(sensor, place) for sensor in _tables(sensors, f"{place}: sensor"))
    return Board(name, runtimes, links, source, MappingProxyType(figures), senses)


def _figure(name: str, table: Any, place: str) -> Figure:
    if name not in _FIGURES:
        known = ", ".join(_FIGURES)
        raise DescriptionError(f"{place}: expected only figures of {known}, got {name!r}")
    (found,) = _tables([table], f"{place}: {name}")
    value = found.get("value")
    if type(value) not in _FIGURES[name]:
        expected = " or ".join(kind.__name__ for kind in _FIGURES[name])
        raise DescriptionError(f"{place}: {name}.value: expected {expected}, got {value!r}")
    assert isinstance(value, Value)
    return Figure(value, _text(found.get("source"), f"{place}: {name}.source"))


def _sensor(table: Mapping[str, Any], place: str) -> Sensor:
    kind, part, source = (
        _text(table.get(key), f"{place}: sensor.{key}") for key in ("kind", "part", "source")
    )
    return Sensor(kind, part, source)


def _tables(value: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DescriptionError(f"{place}: expected a table, got {value!r:.80}")
    return value


def _texts(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DescriptionError(f"{place}: expected a list of texts, got {value!r:.80}")
    return tuple(_text(one, place) for one in value)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise DescriptionError(f"{place}: expected a text, got {value!r:.80}")
    return value
