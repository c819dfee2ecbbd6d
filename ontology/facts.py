"""What the graph holds already, as far as writing needs to know it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from rdflib import Literal, URIRef
from rdflib.term import Node

from tinyfleet.ontology.queries import bind
from tinyfleet.ontology.registration import load
from tinyfleet.ontology.rows import Row, rows_of
from tinyfleet.ontology.statements import written
from tinyfleet.ontology.store import Store
from tinyfleet.ontology.summary import Count, Known
from tinyfleet.ontology.vocabulary import INDEX, NNET


@dataclass(frozen=True)
class Registration:
    """A device's description as it came, and when."""

    device: str
    source: str
    created: datetime
    modified: datetime
    expires: datetime | None


def known_of(store: Store, devices: Iterable[str]) -> dict[str, Known]:
    """Return what is known of those of `devices` that are registered."""
    found = {}
    for row in read(store, "known", "device", devices):
        device, created, profile, gateway, online, last = row
        found[str(device)] = Known(
            cast("Literal", created),
            None if profile is None else str(profile),
            None if gateway is None else str(gateway),
            str(online) == "true",
            None if last is None else int(str(last)),
        )
    return found


def counts_after(store: Store, change: Mapping[Count, int]) -> dict[Count, int]:
    """Return what the counts come to that a change alters."""
    altered = {count: more for count, more in change.items() if more}
    rows = read(store, "counts", "node", sorted({node for node, _ in altered}))
    now = {(str(node), str(count)): int(str(value)) for node, count, value in rows}
    return {
        (node, count): now.get((node, str(count)), 0) + more
        for (node, count), more in altered.items()
    }


def examples(store: Store) -> list[tuple[str, str]]:
    """Return the profiles, each with a device that has it."""
    found = []
    for (profile,) in listed(store, "profiles"):
        rows = read(store, "example", "profile", [str(profile)])
        found += [(str(profile), str(device)) for (device,) in rows]
    return found


def has_model(store: Store, model: str) -> bool:
    """Return whether a model is there."""
    pattern = f"{written(URIRef(model))} a {NNET.NeuralNetwork.n3()}"
    return bool(store.query(f"ASK {{ GRAPH {INDEX.n3()} {{ {pattern} }} }}").askAnswer)


def registration_of(store: Store, device: str) -> Registration | None:
    """Return a device's description and when it came; None where there is none."""
    for source, created, modified, expires in read(store, "source", "device", [device]):
        ends = None if expires is None else _moment(expires)
        return Registration(device, str(source), _moment(created), _moment(modified), ends)
    return None


def read(store: Store, name: str, variable: str, iris: Iterable[str]) -> list[Row]:
    """Return the rows of one of the queries that registering needs, for these IRIs."""
    bound = bind(load(name), {variable: [URIRef(iri) for iri in iris]})
    return list(rows_of(store.query(bound)))


def listed(store: Store, name: str) -> list[Row]:
    """Return the rows of one of the queries that takes no term."""
    return list(rows_of(store.query(load(name))))


def _moment(term: Node | None) -> datetime:
    return datetime.fromisoformat(str(term))
