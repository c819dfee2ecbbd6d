"""Which model fits which device, both ways and many to many, and why the others do not.

All devices of one profile have the same answers. So one device of each is compared with the models,
in one query, and the others are filled in as the answers are read.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Generic, Literal, Protocol, Self, TypeVar, cast

import rdflib
from rdflib import URIRef
from rdflib.term import Node

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.queries import Term
from tinyfleet.ontology.refusals import Reason, Refusal, Value

Task = Literal["infer", "train"]
Part = Literal["whole", "part", "head"]
Asked = Mapping[str, Term | Sequence[Term]]

SECONDS = 300.0
"""How long a comparison may take."""

_AT_ONCE = 64
"""Kinds of devices whose refusals are asked for at once."""


@dataclass(frozen=True)
class Pair:
    """A device and a model that fits it.

    Attributes:
        device: its IRI.
        model: its IRI.
        name: name of the model.
        latency: seconds of one inference, as the device's speed would have it; None if not known.
        energy: joules of one inference; None if not known.
        trains: the most of the model that the device has the RAM to train; None for nothing.
    """

    device: str
    model: str
    name: str
    latency: float | None = None
    energy: float | None = None
    trains: Part | None = None

    def at(self, device: str) -> "Pair":
        """Return the same of another device of its kind."""
        return Pair(device, self.model, self.name, self.latency, self.energy, self.trains)


class _OfDevice(Protocol):
    @property
    def device(self) -> str: ...

    def at(self, device: str) -> Self: ...


Row = TypeVar("Row", bound=_OfDevice)


class Expanded(Generic[Row]):
    """Rows of one device of each kind, read as rows of all devices of these kinds."""

    def __init__(
        self, examples: Callable[[], Iterable[Row]], alike: Mapping[str, Sequence[str]]
    ) -> None:
        self._read, self._alike = examples, alike

    @cached_property
    def examples(self) -> tuple[Row, ...]:
        """The rows of one device of each kind."""
        return tuple(self._read())

    def alike(self, row: Row) -> Sequence[str]:
        """Return the devices of the kind that a row is of."""
        return self._alike[row.device]

    def __iter__(self) -> Iterator[Row]:
        for row in self.examples if "examples" in vars(self) else self._read():
            for device in self._alike[row.device]:
                yield row.at(device)

    def __len__(self) -> int:
        return sum(len(self._alike[row.device]) for row in self.examples)


@dataclass(frozen=True)
class Matches:
    """What fits, and what does not.

    Attributes:
        pairs: the devices and the models that fit them.
        refusals: the reasons for all others; asked for as they are read.
        devices: IRIs of the devices of each kind, by the one that was compared.
        models: names of the models that were compared, by their IRIs.
    """

    pairs: Expanded[Pair]
    refusals: Expanded[Refusal]
    devices: Mapping[str, Sequence[str]]
    models: Mapping[str, str]


@dataclass(frozen=True)
class Limits:
    """What an inference may take: seconds and joules; None for no limit."""

    latency: float | None = None
    energy: float | None = None


NO_LIMITS = Limits()


def match(
    graph: FleetGraph,
    *,
    model: str | None = None,
    device: str | None = None,
    task: Task = "infer",
    limits: Limits = NO_LIMITS,
) -> Matches:
    """Compare the devices with the models of `graph`.

    Args:
        graph: the fleet's.
        model: IRI of the only model to compare.
        device: IRI of the only device to compare.
        task: what the device is to do with the model.
        limits: what an inference may take.

    Raises:
        DescriptionError: the graph has no such model or device, or a limit is no number.
    """
    called = _models(graph, model)
    devices = _devices(graph, device)
    asked: dict[str, Term | Sequence[Term]] = {"device": [URIRef(one) for one in devices]}
    asked["task"] = rdflib.Literal(task)
    if model is not None:
        asked["model"] = URIRef(model)
    for name, limit in (("latest", limits.latency), ("dearest", limits.energy)):
        if limit is not None and math.isnan(limit):
            raise DescriptionError("limits: expected seconds and joules, got nan")
        if limit is not None:
            asked[name] = rdflib.Literal(float(limit))

    def pairs() -> list[Pair]:
        rows = _rows(graph, "match", asked)
        return sorted((_pair(row, called) for row in rows), key=_order)

    def refusals() -> Iterator[Refusal]:
        has, kinds = _offers(graph), sorted(devices)
        for start in range(0, len(kinds), _AT_ONCE):
            some = [URIRef(one) for one in kinds[start : start + _AT_ONCE]]
            rows = _rows(graph, "match-refusals", {**asked, "device": some})
            yield from sorted((_refusal(row, called, has) for row in rows), key=_order)

    return Matches(Expanded(pairs, devices), Expanded(refusals, devices), devices, called)


def titles(graph: FleetGraph, devices: Iterable[str] | None = None) -> dict[str, str]:
    """Return what devices are called, all when none are named, by IRI; their IRIs if nothing."""
    if devices is None:
        devices = [str(device) for device, _ in _rows(graph, "match-devices", {})]
    called = {device: device for device in devices}
    asked: Asked = {"device": [URIRef(device) for device in called]}
    return called | {str(own): str(title) for own, title in _rows(graph, "match-titles", asked)}


def names(graph: FleetGraph) -> dict[str, str]:
    """Return what the models are called, by IRI; their IRIs if nothing."""
    return {str(own): str(name or own) for own, name in _rows(graph, "match-models", {})}


def facts(graph: FleetGraph, *, devices: bool) -> tuple[tuple[Node, Node, Node], ...]:
    """Return all that matching asks: of the devices, or else of the models."""
    rows = _rows(graph, f"match-{'device' if devices else 'model'}-facts", {})
    return cast("tuple[tuple[Node, Node, Node], ...]", rows)


def _rows(graph: FleetGraph, name: str, asked: Asked) -> tuple[tuple[Node | None, ...], ...]:
    folder = files("tinyfleet.ontology") / "queries"
    text = (folder / f"{name}.rq").read_text(encoding="utf-8")
    return graph.select(text, asked, limit=sys.maxsize, timeout=SECONDS).rows


def _models(graph: FleetGraph, model: str | None) -> dict[str, str]:
    """Return the names of the models to compare, by IRI."""
    known = names(graph)
    if model is None:
        return known
    if model not in known:
        raise DescriptionError(f"model: expected one of the graph, got {model}")
    return {model: known[model]}


def _devices(graph: FleetGraph, device: str | None) -> dict[str, list[str]]:
    """Return the devices of each kind, ascending, by the first of them."""
    asked: Asked = {} if device is None else {"device": URIRef(device)}
    kinds: dict[str, list[str]] = {}
    for own, profile in _rows(graph, "match-devices", asked):
        kinds.setdefault(str(profile), []).append(str(own))
    if device is not None and not kinds:
        raise DescriptionError(
            f"device: expected one of the graph that has a microcontroller, got {device}"
        )
    return {min(alike): sorted(alike) for alike in kinds.values()}


def _offers(graph: FleetGraph) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return what is there, ascending, by kind of device and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for kind, reason, has in _rows(graph, "match-offers", {}):
        found.setdefault((str(kind), str(reason)), []).append(str(has))
    return {key: tuple(sorted(values)) for key, values in found.items()}


def _pair(row: tuple[Node | None, ...], names: Mapping[str, str]) -> Pair:
    device, _, model, latency, energy, trains = row
    return Pair(
        str(device),
        str(model),
        names[str(model)],
        None if latency is None else float(str(latency)),
        None if energy is None else float(str(energy)),
        None if trains is None else cast("Part", str(trains)),
    )


def _refusal(
    row: tuple[Node | None, ...],
    names: Mapping[str, str],
    offers: Mapping[tuple[str, str], tuple[str, ...]],
) -> Refusal:
    device, profile, model, reason, needs, has = row
    there = offers.get((str(profile), str(reason)), ()) if has is None else (_value(has),)
    asked = None if needs is None else _value(needs)
    why = cast("Reason", str(reason))
    return Refusal(str(device), str(model), names[str(model)], why, asked, there)


def _value(term: Node) -> Value:
    """Return bytes as int, other figures as float, and all else as text."""
    value = term.value if isinstance(term, rdflib.Literal) else None
    if isinstance(value, str) or value is None:
        return str(term)
    return value if isinstance(value, int) else float(value)


def _order(row: Pair | Refusal) -> tuple[str, str, str]:
    return row.device, row.name, row.model
