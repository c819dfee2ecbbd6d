"""What matching found, as JSON that is written as it is read, and as a table for a person."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from rich.table import Table
from rich.text import Text

from tinyfleet.ontology.matching import Matches, Pair
from tinyfleet.ontology.refusals import Refusal


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
    rows = _each(found, titles) if why else _kinds(found, titles)
    heads = ("device", "model", "fits", "latency", "energy", "why not")
    table = Table(*(heads if why else ("device", "models that fit", "refused for")))
    for row in islice(rows, limit):
        table.add_row(*map(Text, row))
    devices = sum(map(len, found.devices.values()))
    summary = f"{len(found.pairs):,} of {devices * len(found.models):,} pairs fit"
    return table, summary


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
