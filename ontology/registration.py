"""The updates that register a device, retire one, or tell who is online, each all or nothing.

What a query must answer fast is kept beside the description: facts of the index, counts of the
summary, which profile fits which model, and the waiting list of each profile.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files

from rdflib import XSD, Literal, URIRef
from rdflib.namespace import DCTERMS

from tinyfleet.ontology.entry import Entry
from tinyfleet.ontology.profile import Profile
from tinyfleet.ontology.queries import bind, named_queries
from tinyfleet.ontology.statements import block, triples_text, values_of, written
from tinyfleet.ontology.summary import Count, Known, counts_of
from tinyfleet.ontology.turns import turn
from tinyfleet.ontology.vocabulary import FITS, INDEX, SOURCES, STATUS, TF

_NUMBER = re.compile(r":(\d{1,10})$")


@dataclass(frozen=True)
class Status:
    """Whether a device is online.

    Attributes:
        device: its IRI.
        online: whether it can be asked.
        seen: when it was last heard of.
    """

    device: str
    online: bool
    seen: datetime


@cache
def load(name: str) -> str:
    """Return the text of one of the queries that registering needs."""
    return (files("tinyfleet.ontology") / "updates" / f"{name}.rq").read_text(encoding="utf-8")


def index_lines(entry: Entry) -> list[str]:
    """Return the facts of a device in the index."""
    own = written(URIRef(entry.device))
    facts = []
    if entry.profile:
        facts.append(f"{own} {TF.profile.n3()} {written(URIRef(entry.profile.iri))}")
    if entry.gateway:
        facts.append(f"{own} {TF.gateway.n3()} {written(URIRef(entry.gateway))}")
    if number := _NUMBER.search(entry.device):
        facts.append(f"{own} {TF.number.n3()} {int(number[1])}")
    return facts


def source_lines(
    entry: Entry, created: Literal, modified: Literal, expires: Literal | None
) -> list[str]:
    """Return what the graph of sources holds of a device."""
    own = written(URIRef(entry.device))
    facts = [
        f"{own} {TF.source.n3()} {written(Literal(entry.source))}",
        f"{own} {DCTERMS.created.n3()} {written(created)}",
        f"{own} {DCTERMS.modified.n3()} {written(modified)}",
    ]
    if expires is not None:
        facts.append(f"{own} {TF.expires.n3()} {written(expires)}")
    return facts


def put(
    entry: Entry, known: Known | None, now: datetime, expires: datetime | None
) -> tuple[list[str], Known]:
    """Return the operations that write a description over what was `known`, and what then is."""
    moment = instant(now)
    created = known.created if known else moment
    profile = entry.profile.iri if entry.profile else None
    online, last = (known.online, known.last_round) if known else (False, None)
    after = Known(created, profile, entry.gateway, online, last)
    blocks = [
        block(entry.device, entry.statements),
        block(str(INDEX), index_lines(entry)),
        block(
            str(SOURCES),
            source_lines(entry, created, moment, instant(expires) if expires else None),
        ),
    ]
    operations = [*_forget(entry.device), f"INSERT DATA {{ {' '.join(blocks)} }}"]
    if known and known.profile and known.profile != profile:
        operations.append(_move(entry.device, known.profile, profile if online else None))
    if online and profile and not (known and known.profile):
        operations.append(f"INSERT DATA {{ {_wait(entry.device, profile, last)} }}")
    return operations, after


def put_new(entries: Iterable[Entry], now: datetime) -> tuple[str, Counter[Count]]:
    """Return what registers devices that were not there, and what they add to the counts.

    Their descriptions are in the graph already: see `described`.
    """
    moment = instant(now)
    index, sources = [], []
    change: Counter[Count] = Counter()
    for entry in entries:
        index += index_lines(entry)
        sources += source_lines(entry, moment, moment, None)[1:]  # `described` has the text
        profile = entry.profile.iri if entry.profile else None
        change.update(counts_of(Known(moment, profile, entry.gateway, False, None)))
    blocks = [block(str(INDEX), index), block(str(SOURCES), sources)]
    return f"INSERT DATA {{ {' '.join(blocks)} }}", change


def described(entries: Iterable[Entry]) -> str:
    """Return descriptions, as triples and as the text that came, as N-Quads."""
    lines = []
    for entry in entries:
        end = f" {written(URIRef(entry.device))} .\n"
        text = " .\n".join(entry.statements)
        lines.append(text.replace(" .\n", end) + end)
        own, source = written(URIRef(entry.device)), written(Literal(entry.source))
        lines.append(f"{own} {TF.source.n3()} {source} {SOURCES.n3()} .\n")
    return "".join(lines)


def retire(device: str, known: Known) -> list[str]:
    """Return the operations that take a device out of the graph; what it learned stays."""
    own = written(URIRef(device))
    operations = [*_forget(device), f"DELETE WHERE {{ GRAPH {STATUS.n3()} {{ {own} ?p ?o }} }}"]
    if known.profile:
        operations.append(_move(device, known.profile, None))
    return operations


def _forget(device: str) -> list[str]:
    own = written(URIRef(device))
    return [
        f"DROP SILENT GRAPH {own}",
        f"DELETE WHERE {{ GRAPH {INDEX.n3()} {{ {own} ?p ?o }} }}",
        f"DELETE WHERE {{ GRAPH {SOURCES.n3()} {{ {own} ?p ?o }} }}",
    ]


def _move(device: str, old: str, new: str | None) -> str:
    """Return what takes a device from one graph to another, or out of it."""
    own, source = written(URIRef(device)), written(URIRef(old))
    pattern = f"GRAPH {source} {{ {own} ?p ?o }}"
    if new is None:
        return f"DELETE WHERE {{ {pattern} }}"
    insert = f"INSERT {{ GRAPH {written(URIRef(new))} {{ {own} ?p ?o }} }}"
    return f"DELETE {{ {pattern} }} {insert} WHERE {{ {pattern} }}"


def _wait(device: str, profile: str, last: int | None) -> str:
    """Return the place of a device on its profile's waiting list."""
    own, place = written(URIRef(device)), turn(device, last)
    return block(profile, [f"{own} {TF.turn.n3()} {place}"])


def tell(statuses: Mapping[str, Status], known: Mapping[str, Known]) -> list[str]:
    """Return the operations that write down who of the `known` devices is online.

    What is known of a device's accuracy and loss waits in the graph of status while it is offline.
    """
    every = values_of("?device", [(device,) for device in known])
    facts, turns, came, went = [], [], [], []
    for device, before in known.items():
        status, own = statuses[device], written(URIRef(device))
        facts.append(f"{own} {TF.online.n3()} {str(status.online).lower()}")
        facts.append(f"{own} {TF.lastSeen.n3()} {written(instant(status.seen))}")
        if before.profile and status.online and not before.online:
            came.append((device, before.profile))
            turns.append(_wait(device, before.profile, before.last_round))
        elif before.profile and before.online and not status.online:
            went.append((device, before.profile))
    status_of = f"GRAPH {STATUS.n3()} {{ ?device ?p ?o }}"
    told = f"?p IN ({TF.online.n3()}, {TF.lastSeen.n3()})"
    return [
        f"DELETE {{ {status_of} }} WHERE {{ {every} {status_of} FILTER ({told}) }}",
        *(_leave(went) if went else []),
        f"INSERT DATA {{ {block(str(STATUS), facts)} {' '.join(turns)} }}",
        *(_come_back(came) if came else []),
    ]


def _leave(went: Iterable[tuple[str, str]]) -> list[str]:
    """Return what takes devices off their waiting lists and keeps what is known of them."""
    place, listed = values_of("?device ?profile", went), "GRAPH ?profile { ?device ?p ?o }"
    kept = f"GRAPH {STATUS.n3()} {{ ?device ?p ?o }}"
    return [
        f"INSERT {{ {kept} }} WHERE {{ {place} {listed} FILTER (?p != {TF.turn.n3()}) }}",
        f"DELETE {{ {listed} }} WHERE {{ {place} {listed} }}",
    ]


def _come_back(came: Iterable[tuple[str, str]]) -> list[str]:
    """Return what puts beside devices' turns again what was kept of them."""
    place, listed = values_of("?device ?profile", came), "GRAPH ?profile { ?device ?p ?o }"
    kept = f"GRAPH {STATUS.n3()} {{ ?device ?p ?o }}"
    only = f"FILTER (?p IN ({TF.accuracy.n3()}, {TF.loss.n3()}))"
    return [f"DELETE {{ {kept} }} INSERT {{ {listed} }} WHERE {{ {place} {kept} {only} }}"]


def fit(profiles: Iterable[tuple[str, str]], models: Iterable[str] = ()) -> str:
    """Return what writes down which profile fits which model.

    Args:
        profiles: IRIs of profiles, each with a device that is an example of it.
        models: IRIs of the models asked about; all when empty.
    """
    pairs = list(profiles)
    asked = {
        "profile": [URIRef(profile) for profile, _ in pairs],
        "device": [URIRef(device) for _, device in pairs],
    }
    if chosen := [URIRef(model) for model in models]:
        asked["model"] = chosen
    text = named_queries()["match"].text
    # Oxigraph takes prefixes at the start of an update alone, and every store declares them there.
    _, select, rest = bind(text, asked).partition("SELECT")
    insert = f"INSERT {{ GRAPH {FITS.n3()} {{ ?profile {TF.fits.n3()} ?model }} }}"
    return f"{insert} WHERE {{ {{ {select}{rest} }} }}"


def offer(profile: Profile) -> str:
    """Return what writes the facts of a profile that is new."""
    lines = triples_text([(s, p, o) for s, p, o in profile.triples()])
    return f"INSERT DATA {{ {block(str(INDEX), lines)} }}"


def withdraw(profile: str) -> list[str]:
    """Return what deletes the facts of a profile that no device has any more."""
    own = written(URIRef(profile))
    return [
        f"DELETE WHERE {{ GRAPH {INDEX.n3()} {{ {own} ?p ?o }} }}",
        f"DELETE WHERE {{ GRAPH {FITS.n3()} {{ {own} ?p ?o }} }}",
    ]


def instant(moment: datetime) -> Literal:
    """Return a moment as xsd:dateTime."""
    return Literal(moment.isoformat(), datatype=XSD.dateTime)
