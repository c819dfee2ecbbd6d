"""What a model's file cannot say, as TOML: what it is for, whose it is, what it asks.

name = "Person detection"
description = "Tells whether a person is in the picture."
category = "Classification"     # or ObjectDetection, FeatureExtraction, Unsupervised
author = "Google"
licence = "Apache-2.0"          # an SPDX identifier or an address
created = 2021-12-12
citation = "https://github.com/tensorflow/tflite-micro"
dataset = "https://cocodataset.org"
sensors = ["Camera"]            # or an IRI
runtime = "TFLite Micro"
input = "a grey picture, 96 x 96"
output = "0: nobody, 1: somebody"

[metrics]
top-1-accuracy = 0.84

[ram]                           # in place of the arena that describe states
bytes = 94128
tool = "TensorFlow Lite Micro of 2020, x86-64"

[limits]
latency = 0.5                   # seconds
energy = 0.02                   # joules
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pyoxigraph
from rdflib import URIRef

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.vocabulary import PREFIXES, SOSA_EXTEND

CATEGORIES: Final = ("Classification", "FeatureExtraction", "ObjectDetection", "Unsupervised")
SENSORS: Final = (
    *("Accelerometer", "Camera", "Gyroscope", "Magnetometer", "Microphone", "Thermometer"),
)
_MOST_BYTES: Final = 2**20
_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True)
class Meta:
    """What people say of a model; "" and None for what nobody said.

    Attributes:
        category: a term of the neural-network schema, without its namespace.
        sensors: classes of the sensors that its input comes from.
        metrics: numbers by name; "top-1-accuracy" is the schema's own.
        ram: bytes that were measured, in place of the arena stated; `ram_tool` measured them.
        latency: the most seconds that one inference may take.
        energy: the most joules that it may take.
    """

    name: str = ""
    description: str = ""
    category: str = ""
    author: str = ""
    licence: str = ""
    created: date | None = None
    citation: str = ""
    dataset: str = ""
    sensors: tuple[URIRef, ...] = ()
    runtime: str = ""
    input: str = ""
    output: str = ""
    metrics: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    ram: int | None = None
    ram_tool: str = ""
    latency: float | None = None
    energy: float | None = None


def read_meta(path: str | Path) -> Meta:
    """Read the TOML file at `path`.

    Raises:
        DescriptionError: it cannot be read, is no TOML, or a field is unknown or ill-typed.
    """
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise DescriptionError(f"{path}: expected at most {_MOST_BYTES} bytes, got more")
        table = tomllib.loads(data.decode())
    except OSError as error:
        raise DescriptionError(
            f"{path}: expected a TOML file about the model, got {error.strerror or error}"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DescriptionError(f"{path}: expected TOML in UTF-8, got {reason:.120}") from None
    ram = _section(table, "ram", _RAM, f"{path}")
    limits = _section(table, "limits", _LIMITS, f"{path}")
    values = _fields(table, _TOP, f"{path}")
    if ("bytes" in ram) != ("tool" in ram):
        raise DescriptionError(
            f"{path}: ram: expected both bytes and tool, got only {', '.join(ram)}; "
            "say what measured it"
        )
    return Meta(
        **values,
        ram=ram.get("bytes"),
        ram_tool=ram.get("tool", ""),
        latency=limits.get("latency"),
        energy=limits.get("energy"),
    )


def is_iri(text: str) -> bool:
    """Return whether `text` is an absolute IRI.

    >>> is_iri("https://example.org/a"), is_iri("https://example.org/a b"), is_iri("x:%zz")
    (True, False, False)
    """
    try:
        pyoxigraph.NamedNode(text)
    except ValueError:
        return False
    return True


def _section(
    table: dict[str, Any], name: str, readers: Mapping[str, Callable[[Any], Any]], place: str
) -> dict[str, Any]:
    section = table.pop(name, {})
    if not isinstance(section, dict):
        raise DescriptionError(f"{place}: {name}: expected a table [{name}], got {section!r:.80}")
    return _fields(section, readers, f"{place}: {name}")


def _fields(
    table: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]], place: str
) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        if key not in readers:
            raise DescriptionError(
                f"{place}: expected only the keys {', '.join(readers)}, got {key!r:.80}; "
                "remove it or mend its spelling"
            )
        try:
            values[key] = readers[key](value)
        except ValueError as error:
            raise DescriptionError(f"{place}: {key}: expected {error}, got {value!r:.80}") from None
    return values


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("a printable text in quotes")
    return value.strip()


def _category(value: Any) -> str:
    wanted = str(value).replace("-", "").replace("_", "").replace(" ", "").lower()
    for category in CATEGORIES:
        if category.lower() == wanted:
            return category
    raise ValueError(f"one of {', '.join(CATEGORIES)}")


def _day(value: Any) -> date:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("a date such as 2026-01-31, without quotes")
    return value


def _sensors(value: Any) -> tuple[URIRef, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError('a list such as ["Microphone"]')
    return tuple(dict.fromkeys(_sensor(name) for name in value))


def _sensor(name: str) -> URIRef:
    known = {sensor.lower(): sensor for sensor in SENSORS}
    prefix, colon, local = name.partition(":")
    if name.lower() in known:
        return SOSA_EXTEND[known[name.lower()]]
    expanded = PREFIXES[prefix] + local if colon and prefix in PREFIXES else name
    if not is_iri(expanded):
        raise ValueError(f"of each one of {', '.join(SENSORS)}, or an IRI")
    return URIRef(expanded)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a finite number")
    return float(value)


def _positive(value: Any) -> float:
    if (number := _number(value)) <= 0:
        raise ValueError("a number above 0")
    return number


def _bytes(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("a whole number of bytes")
    return value


def _metrics(value: Any) -> Mapping[str, float]:
    if not isinstance(value, dict):
        raise ValueError("a table [metrics]")
    return MappingProxyType({_text(name): _number(number) for name, number in value.items()})


_TOP: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        **dict.fromkeys(("name", "description", "author", "licence", "citation", "dataset"), _text),
        **dict.fromkeys(("runtime", "input", "output"), _text),
        "category": _category,
        "created": _day,
        "sensors": _sensors,
        "metrics": _metrics,
    }
)
_RAM: Final = MappingProxyType({"bytes": _bytes, "tool": _text})
_LIMITS: Final = MappingProxyType({"latency": _positive, "energy": _positive})
