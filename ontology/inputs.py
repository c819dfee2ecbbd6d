"""What of a device goes into a model: numbers of its Thing Description, in the model's order."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from tinyfleet.errors import DescriptionError

MOST_CHANNELS: Final = 4096
_AXES: Final = ("x", "y", "z")
_AXED: Final = frozenset({"Accelerometer", "Gyroscope", "Magnetometer"})
_STREAMS: Final = frozenset({"Camera", "Microphone"})  # a reading of theirs is no number
_NUMERIC: Final = frozenset({"integer", "number"})
_NO_SENSORS: Final = frozenset({"Sensor", "System", "MicroController"})
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Accelerometer": ("accelerat", "gravity"),
    "Barometer": ("pressure",),
    "Gyroscope": ("gyro", "angular", "rotation", "orientation"),
    "HumiditySensor": ("humidity",),
    "Magnetometer": ("magnet", "compass"),
    "ProximitySensor": ("proximity", "distance"),
    "Thermometer": ("temperature",),
}
"""Beginnings of words by which a property tells the sensor that it is read from."""


@dataclass(frozen=True)
class Channel:
    """A number that a device can read.

    Attributes:
        name: of the number, unique in its device, such as "acceleration.x".
        property: of the Thing Description; several numbers may be one property's.
        sensor: class of the sensor that it comes from, such as "Accelerometer"; "" if not known.
        part: what the sensor is called, such as "LSM9DS1"; "" if not known.
        unit: as the description has it; "" if it has none.
        minimum, maximum: of what may be read; None where the description states not both.
    """

    name: str
    property: str
    sensor: str = ""
    part: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Mapped:
    """How a sample of a model is made of readings.

    Attributes:
        channels: numbers of one reading, in the model's order; none where nothing fits.
        window: readings of one sample.
    """

    channels: tuple[Channel, ...] = ()
    window: int = 1


def map_inputs(thing: Mapping[str, Any], shape: Sequence[int], sensors: Sequence[str]) -> Mapped:
    """Find what of `thing` makes a sample of `shape`.

    These are the numbers of the sensors that the model needs, all of them where it names none; if
    these do not fit, those of the only property that does; if none does, three numbers for each one
    that stands for all axes of a needed sensor, as published boards have it. A vector takes as many
    readings as fill it; of any other shape, the first side counts readings and the others hold one.

    Args:
        thing: a Thing Description, as JSON has it.
        shape: of one sample, without the side that counts samples.
        sensors: classes of sensors that the model needs, names or IRIs.
    """
    known = channels(thing)
    wanted = {_local(sensor) for sensor in sensors}
    chosen = tuple(one for one in known if one.sensor in wanted) if wanted else known
    if wanted & _STREAMS:
        return Mapped()
    if window := _window(len(chosen), shape):
        return Mapped(chosen, window)
    groups = [tuple(group) for _, group in groupby(chosen, key=lambda one: one.property)]
    whole = math.prod(shape)
    fitting = [
        group
        for group in groups
        if len(group) == whole or (len(group) > 1 and _window(len(group), shape))
    ]
    if len(fitting) == 1:
        return Mapped(fitting[0], _window(len(fitting[0]), shape))
    along = tuple(axis for one in chosen for axis in _along(one)) if wanted else ()
    return Mapped(along, window) if (window := _window(len(along), shape)) else Mapped()


def _along(channel: Channel) -> Iterator[Channel]:
    """Yield the axes of a number that stands for all of them, or else the number."""
    if channel.sensor in _AXED and channel.name == channel.property:
        yield from (replace(channel, name=f"{channel.name}.{axis}") for axis in _AXES)
    else:
        yield channel


def _window(count: int, shape: Sequence[int]) -> int:
    """Return how many readings of `count` numbers make a sample; 0 where none do."""
    sides = list(shape)
    while len(sides) > 1 and sides[-1] == 1:
        sides.pop()
    if not count:
        return 0
    if len(sides) == 1:
        return 0 if sides[0] % count else sides[0] // count
    return sides[0] if math.prod(sides[1:]) == count else 0


def channels(thing: Mapping[str, Any]) -> tuple[Channel, ...]:
    """Return the numbers that a Thing can read, those of its properties or else of its sensors.

    Raises:
        DescriptionError: there are more than `MOST_CHANNELS`.
    """
    sensors = tuple(_sensors(thing))
    found = [
        channel
        for name, schema in _items(thing.get("properties"))
        for channel in _of_property(name, schema, sensors)
    ] or [channel for sensor in sensors for channel in _of_sensor(*sensor)]
    if len(found) > MOST_CHANNELS:
        raise DescriptionError(
            f"properties: expected at most {MOST_CHANNELS} numbers, got {len(found)}"
        )
    return tuple(found)


def _items(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, Mapping):
        return []
    return [(str(name), schema) for name, schema in value.items() if isinstance(schema, Mapping)]


def _of_property(
    name: str, schema: Mapping[str, Any], sensors: Sequence[tuple[str, str]]
) -> Iterator[Channel]:
    if schema.get("writeOnly") is True or "const" in schema or "enum" in schema:
        return
    kinds = {_local(kind) for kind in _texts(schema.get("@type"))}
    sensor = next((known for known, _ in sensors if known in kinds), None) or _told(name, schema)
    part = next((part for known, part in sensors if known == sensor), "")
    for path, number in _numbers(name, schema):
        low, high = _finite(number.get("minimum")), _finite(number.get("maximum"))
        stated = low is not None and high is not None and low < high
        unit = number.get("unit", schema.get("unit"))
        yield Channel(
            path,
            name,
            sensor,
            part,
            _local(unit) if isinstance(unit, str) else "",
            low if stated else None,
            high if stated else None,
        )


def _numbers(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the path and the schema of each number in a property, one level down."""
    kind = schema.get("type")
    if _is_number(schema):
        yield path, schema
    elif kind == "object":
        for name, inner in _items(schema.get("properties")):
            if _is_number(inner):
                yield f"{path}.{name}", inner
    elif kind == "array" and isinstance(items := schema.get("items"), Mapping):
        size = schema.get("minItems")
        fixed = type(size) is int and size == schema.get("maxItems") and 0 < size <= MOST_CHANNELS
        if _is_number(items) and fixed:
            yield from ((f"{path}.{at}", items) for at in range(int(size or 0)))


def _is_number(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return isinstance(kind, str) and kind in _NUMERIC


def _told(name: str, schema: Mapping[str, Any]) -> str:
    """Return the class of sensor that a property's name or title tells."""
    text = f"{name} {schema.get('title', '')}".lower()
    for sensor, words in _WORDS.items():
        if any(word in text for word in words):
            return sensor
    return ""


def _sensors(thing: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the class and the name of each sensor."""
    parts = thing.get("ssn:hasSubSystem", thing.get("hasSubSystem"))
    for part in parts if isinstance(parts, list) else [parts]:
        if not isinstance(part, Mapping):
            continue
        name = part.get("schema:name", part.get("name"))
        kinds = [_local(kind) for kind in _texts(part.get("@type"))]
        if "MicroController" not in kinds:
            for kind in kinds:
                if kind not in _NO_SENSORS:
                    yield kind, name if isinstance(name, str) else ""


def sensor_names(thing: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the sensors of a Thing are called, each once."""
    return tuple(dict.fromkeys(part or kind for kind, part in _sensors(thing)))


def _of_sensor(sensor: str, part: str) -> Iterator[Channel]:
    """Yield the numbers that a sensor has by its class, where no property states any."""
    if sensor in _STREAMS:
        return
    name = sensor.lower()
    for axis in _AXES if sensor in _AXED else ("",):
        yield Channel(f"{name}.{axis}" if axis else name, name, sensor, part)


def class_names(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return what classes of sensors are called, such as "Accelerometer", of names or IRIs."""
    return tuple(sorted({_local(kind) for kind in kinds}))


def _texts(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _local(name: str) -> str:
    """Return the last part of an IRI or of a prefixed name."""
    return name.rstrip("/").replace("#", "/").rpartition("/")[2].rpartition(":")[2]


def _finite(value: Any) -> float | None:
    """Return a number that float32 holds; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) < 1e30 else None
