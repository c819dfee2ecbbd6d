"""What matching found, as JSON that is written as it is read, and as a table for a person."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rdflib import URIRef
from rdflib.term import Node
from rich.table import Table
from rich.text import Text

from tinyfleet.ontology.matching import Limits, Matches, Pair
from tinyfleet.ontology.refusals import Refusal
from tinyfleet.ontology.vocabulary import TF

Facts = Iterable[tuple[Node, Node, Node]]


def as_json(found: Matches, limit: int | None = None) -> Iterator[str]:
    """Yield pieces of one JSON document: `{"pairs": [...], "refusals": [...]}`.

    Args:
        found: what fits, and what does not.
        limit: the most pairs, and the most refusals.
    """
    yield '{"pairs": ['
    yield from _items(_pair(pair) for pair in islice(found.pairs, limit))
    yield '], "refusals": ['
    yield from _items(_refusal(refusal) for refusal in islice(found.refusals, limit))
    yield "]}\n"


def as_table(
    found: Matches, titles: Mapping[str, str], limit: int | None = None, *, why: bool
) -> tuple[Table, str]:
    """Return a table, and a line that counts.

    Args:
        found: what fits, and what does not.
        titles: what the devices that were compared are called.
        limit: the most rows.
        why: a row for each device and model, with the reasons; else one for each kind of device.
    """
    rows = list(islice(_each(found, titles) if why else _kinds(found, titles), limit))
    table = _each_table(rows) if why else Table("device", "models that fit", "refused for")
    if not why:
        for row in rows:
            table.add_row(*map(Text, row))
    devices = sum(map(len, found.devices.values()))
    summary = f"{len(found.pairs):,} of {devices * len(found.models):,} pairs fit"
    return table, summary


def unjudged(found: Matches, devices: Facts, models: Facts, limits: Limits) -> Iterator[str]:
    """Yield a line for each limit that some device or model states too little to be held to.

    Args:
        found: what was compared.
        devices: what the graph states of the devices.
        models: what it states of the models.
        limits: those that were asked for.
    """
    stated = {(subject, predicate) for subject, predicate, _ in models}
    kinds = {}
    for subject, predicate, value in devices:
        stated.add((subject, predicate))
        if predicate == TF.profile:
            kinds[str(subject)] = value
    asked = (
        ("latency", limits.latency, (TF.macsPerSecond,)),
        ("energy", limits.energy, (TF.macsPerSecond, TF.activePower)),
    )
    for name, limit, figures in asked:
        if limit is None:
            continue
        for figure in figures:
            silent = [d for d in found.devices if (kinds.get(d), figure) not in stated]
            count = sum(len(found.devices[device]) for device in silent)
            of = sum(map(len, found.devices.values()))
            yield from _not_judged(name, count, of, "devices", _FIGURES[figure])
        without = [model for model in found.models if (URIRef(model), TF.macs) not in stated]
        yield from _not_judged(
            name, len(without), len(found.models), "models", "multiply-accumulates"
        )


_FIGURES = {
    TF.macsPerSecond: "multiply-accumulates a second",
    TF.activePower: "power while computing",
}


def _not_judged(name: str, count: int, of: int, kind: str, figure: str) -> Iterator[str]:
    if count:
        yield f"{name} not judged for {count:,} of {of:,} {kind}: they state no {figure}"


def _each_table(rows: Sequence[tuple[str, ...]]) -> Table:
    """Return a table without empty columns; its title is the device or the model of all rows."""
    heads = ("device", "model", "fits", "latency", "energy", "why not")
    columns = dict(zip(heads, zip(*rows, strict=True), strict=True)) if rows else {}
    same = [head for head in ("device", "model") if len(set(columns.get(head, ()))) == 1]
    title = ", ".join(columns.pop(head)[0] for head in same)
    shown = {head: cells for head, cells in columns.items() if any(cells)}
    table = Table(*shown, title=Text(title), title_justify="left")
    for row in zip(*shown.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def _items(values: Iterable[dict[str, Any]]) -> Iterator[str]:
    before = "\n"
    for value in values:
        yield before + json.dumps(value)
        before = ",\n"


def _pair(pair: Pair) -> dict[str, Any]:
    told: dict[str, Any] = {"device": pair.device, "model": pair.model, "name": pair.name}
    known = {"latency_s": pair.latency, "energy_j": pair.energy, "trains": pair.trains}
    return told | {key: value for key, value in known.items() if value is not None}


def _refusal(refusal: Refusal) -> dict[str, Any]:
    has = refusal.has[0] if len(refusal.has) == 1 else list(refusal.has)
    return {
        "device": refusal.device,
        "model": refusal.model,
        "name": refusal.name,
        "reason": refusal.reason,
        "needs": refusal.needs,
        "has": has,
        "text": refusal.text,
    }


def _each(found: Matches, titles: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each kind of device and each model: those that fit, then the others."""
    for pair in found.pairs.examples:
        latency = "" if pair.latency is None else f"{pair.latency:.3g} s"
        energy = "" if pair.energy is None else f"{pair.energy:.3g} J"
        device = _called(found, titles, pair.device)
        yield device, pair.name, "yes", latency, energy, ""
    reasons: dict[tuple[str, str], list[Refusal]] = {}
    for refusal in found.refusals.examples:
        reasons.setdefault((refusal.device, refusal.model), []).append(refusal)
    for (device, _), refused in reasons.items():
        why = "; ".join(refusal.text for refusal in refused)
        yield _called(found, titles, device), refused[0].name, "no", "", "", why


def _kinds(found: Matches, titles: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each kind of device, those first that most models fit."""
    fits = Counter(pair.device for pair in found.pairs.examples)
    reasons: dict[str, Counter[str]] = {device: Counter() for device in found.devices}
    for device, _, reason in {(r.device, r.model, r.reason) for r in found.refusals.examples}:
        reasons[device][reason] += 1
    for device in sorted(found.devices, key=lambda device: (-fits[device], titles[device])):
        told = sorted(reasons[device].items(), key=lambda item: (-item[1], item[0]))
        why = ", ".join(f"{reason} {count}" for reason, count in told)
        count = f"{fits[device]} of {len(found.models)}"
        yield _called(found, titles, device), count, why


def _called(found: Matches, titles: Mapping[str, str], device: str) -> str:
    more = len(found.devices[device]) - 1
    return f"{titles[device]} and {more:,} like it" if more else titles[device]
