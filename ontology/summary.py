"""The summary: counts of devices, of those online, and of models, kept current by every update."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from rdflib import Literal, URIRef

from tinyfleet.ontology.statements import block, values_of, written
from tinyfleet.ontology.vocabulary import SUMMARY, TF

Count = tuple[str, URIRef]
"""A node of the summary, and which of its counts."""


@dataclass(frozen=True)
class Known:
    """What the graph holds of a device: since when, its kind, its gateway, if it is online."""

    created: Literal
    profile: str | None
    gateway: str | None
    online: bool
    last_round: int | None


def counts_of(known: Known | None) -> Counter[Count]:
    """Return what a device adds to the summary's counts."""
    found: Counter[Count] = Counter()
    if known is None:
        return found
    for node in (str(SUMMARY), known.profile, known.gateway):
        if node:
            found[node, TF.devices] += 1
            if known.online:
                found[node, TF.onlineDevices] += 1
    return found


def set_counts(counts: Mapping[Count, int]) -> list[str]:
    """Return what writes counts of the summary; one of nothing is left out."""
    pattern = f"GRAPH {SUMMARY.n3()} {{ ?node ?count ?old }}"
    rows = values_of("?node ?count", counts)
    lines = [
        f"{written(URIRef(node))} {count.n3()} {value}"
        for (node, count), value in counts.items()
        if value
    ]
    insert = [f"INSERT DATA {{ {block(str(SUMMARY), lines)} }}"] if lines else []
    return [f"DELETE {{ {pattern} }} WHERE {{ {rows} {pattern} }}", *insert]
