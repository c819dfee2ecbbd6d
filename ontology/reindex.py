"""The index made anew, from the descriptions that a graph holds."""

import json
from collections import Counter
from datetime import UTC, datetime

from rdflib import Graph, URIRef

from tinyfleet.ontology.entry import Entry, gateway_of
from tinyfleet.ontology.facts import known_of, listed
from tinyfleet.ontology.profile import needs_of, profile_of
from tinyfleet.ontology.registration import (
    fit,
    index_lines,
    instant,
    offer,
    source_lines,
)
from tinyfleet.ontology.statements import block, triples_text, written
from tinyfleet.ontology.store import Store
from tinyfleet.ontology.summary import Count, Known, counts_of, set_counts
from tinyfleet.ontology.turns import turn
from tinyfleet.ontology.vocabulary import FITS, INDEX, PREFIXES, SOURCES, SUMMARY, TF


def reindexed(store: Store) -> tuple[list[str], int, int]:
    """Return the operations that make the index anew, and how many devices and models it has.

    Raises:
        DescriptionError: a description gives a figure that is none.
    """
    entries = [_entry(store, str(device)) for (device,) in listed(store, "devices")]
    models = [str(model) for (model,) in listed(store, "models")]
    known = known_of(store, [entry.device for entry in entries])
    moment = instant(datetime.now(UTC))
    index, sources = [], []
    counts: Counter[Count] = Counter()
    profiles = {}
    waiting = []
    online = _online(store)
    for entry in entries:
        index += index_lines(entry)
        if entry.device not in known:
            sources += source_lines(entry, moment, moment, None)
        profile = entry.profile.iri if entry.profile else None
        here, last = online.get(entry.device, (False, None))
        counts.update(counts_of(Known(moment, profile, entry.gateway, here, last)))
        if entry.profile and profile:
            profiles[profile] = (entry.profile, entry.device)
            if here:
                waiting.append((entry.device, profile, turn(entry.device, last)))
    for model in models:
        index += triples_text(needs_of(_described(store, model), model).triples())
    counts[str(SUMMARY), TF.models] = len(models)
    operations = [f"DROP SILENT GRAPH {graph.n3()}" for graph in (INDEX, FITS, SUMMARY)]
    operations.append(
        f"INSERT DATA {{ {block(str(INDEX), index)} {block(str(SOURCES), sources)} }}"
    )
    operations += [offer(profile) for profile, _ in profiles.values()]
    if profiles and models:
        operations.append(fit((iri, device) for iri, (_, device) in profiles.items()))
    return [*operations, *_lists(waiting), *set_counts(counts)], len(entries), len(models)


def _entry(store: Store, device: str) -> Entry:
    graph = _described(store, device)
    text = graph.serialize(format="json-ld", context=dict(PREFIXES), auto_compact=False)
    found = json.loads(text)
    source = found if isinstance(found, dict) else {"@graph": found}
    return Entry(
        device,
        json.dumps({**source, "id": device}),
        (),
        profile_of(graph, device),
        gateway_of(graph, device),
    )


def _described(store: Store, name: str) -> Graph:
    own = written(URIRef(name))
    found = store.query(f"CONSTRUCT {{ ?s ?p ?o }} WHERE {{ GRAPH {own} {{ ?s ?p ?o }} }}").graph
    assert found is not None
    return found


def _online(store: Store) -> dict[str, tuple[bool, int | None]]:
    """Return which devices are online, and the last round of each."""
    return {
        str(device): (True, None if last is None else int(str(last)))
        for device, last in listed(store, "online")
    }


def _lists(waiting: list[tuple[str, str, int]]) -> list[str]:
    """Return what puts devices on the lists of their profiles, and takes them off all others."""
    listed = f"GRAPH ?old {{ ?device {TF.turn.n3()} ?turn ; ?p ?o }}"
    at = f"GRAPH {INDEX.n3()} {{ ?device {TF.profile.n3()} ?profile }}"
    leave = (
        f"DELETE {{ GRAPH ?old {{ ?device ?p ?o }} }} WHERE {{ {listed} {at} "
        "FILTER (?old != ?profile) }"
    )
    if not waiting:
        return [leave]
    rows = " ".join(
        f"({written(URIRef(device))} {written(URIRef(profile))} {place})"
        for device, profile, place in waiting
    )
    place = f"GRAPH ?profile {{ ?device {TF.turn.n3()}"
    absent = f"FILTER NOT EXISTS {{ {place} ?any }} }}"
    values = f"VALUES (?device ?profile ?turn) {{ {rows} }}"
    return [leave, f"INSERT {{ {place} ?turn }} }} WHERE {{ {values} {absent} }}"]
