"""Who learned what, when and from what: runs, rounds and deployments as PROV-O.

Each function returns one update, which `FleetGraph.record` runs whole or not at all. A round is a
named graph, so that writing it again replaces it. What selection reads, the turn in the waiting
lists and the last round of a device, changes in the same update.

Source: PROV-O, W3C Recommendation of 30 April 2013.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal as OneOf

from rdflib import PROV, RDF, RDFS, SSN, XSD, Literal, URIRef
from rdflib.namespace import DCTERMS
from rdflib.term import IdentifiedNode, Node

from tinyfleet.ontology.statements import block, triples_text, written
from tinyfleet.ontology.turns import turn
from tinyfleet.ontology.vocabulary import INDEX, SCHEMA, STATUS, TF
from tinyfleet.topics import check_name

DeploymentState = OneOf["Planned", "Installed", "Running", "Failed", "Retired"]

_Triple = tuple[IdentifiedNode, URIRef, Node]


@dataclass(frozen=True)
class RunRecord:
    """A run, as it is known before its first round.

    Attributes:
        name: names it in the graph, as a topic's part would.
        strategy: how the server moves the weights.
        seed: of whatever is drawn.
        model: IRI of the model that it trains; None where the graph has none.
        query: name of the query that chooses who trains; "" when none does.
        text: its text.
        before: name of the run that this one goes on from; "" for none.
    """

    name: str
    strategy: str
    seed: int
    model: str | None = None
    query: str = ""
    text: str = field(default="", repr=False)
    before: str = ""

    def __post_init__(self) -> None:
        check_name("run", self.name)

    @property
    def iri(self) -> str:
        """`urn:tinyfleet:run:<name>`."""
        return run_iri(self.name)


@dataclass(frozen=True)
class UpdateRecord:
    """What a device gave in a round.

    Attributes:
        device: its IRI.
        examples: samples that it learned from.
        loss: their mean loss, each scored before it was learned.
        accuracy: share of samples that it had right, 0 to 1; None where nobody counts.
        sent: bytes of weights, and of their places, that travelled from it; None where nobody
            counts.
        received: bytes of weights that travelled to it; None where nobody counts.
    """

    device: str
    examples: int
    loss: float
    accuracy: float | None = None
    sent: int | None = None
    received: int | None = None


@dataclass(frozen=True)
class RoundRecord:
    """A round that has ended.

    Attributes:
        run: name of the run.
        number: of the round, from 1.
        first: whether it is the first of its run.
        selected: IRIs of the devices that were asked, in the order of the query's answer.
        updates: what came back; None where only a mean of many devices is known.
        used: SHA-256 of the weights that went out, in hexadecimal.
        generated: SHA-256 of those that the round left.
        turns: rounds that the graph knew before the run, which order the waiting lists.
        started: when it began; None where no clock counts, as in a simulation.
        ended: when it ended.
    """

    run: str
    number: int
    first: bool
    selected: Sequence[str] = field(repr=False)
    updates: Sequence[UpdateRecord] | None = field(repr=False)
    used: str
    generated: str
    turns: int = 0
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def iri(self) -> str:
        """`urn:tinyfleet:run:<run>:<number>`."""
        return f"{run_iri(self.run)}:{self.number}"

    @property
    def participants(self) -> Sequence[str]:
        """IRIs of those that took part, as far as is known."""
        return self.selected if self.updates is None else [u.device for u in self.updates]


def run_iri(name: str) -> str:
    """Return the IRI of the run `name`."""
    return f"urn:tinyfleet:run:{name}"


def weights_iri(digest: str) -> str:
    """Return the IRI of weights by their SHA-256 in hexadecimal."""
    return f"urn:tinyfleet:weights:{digest[:16]}"


def begin_run(run: RunRecord) -> str:
    """Return the update that writes down a run.

    >>> begin_run(RunRecord("first", "tinyreptile", 1)).splitlines()[0]
    'DROP SILENT GRAPH <urn:tinyfleet:run:first> ;'
    """
    return _replaced(run.iri, _run_triples(run))


def record_round(record: RoundRecord) -> str:
    """Return the update that writes down a round and moves its participants' turns.

    The turn of each online participant comes behind those of all that have not trained since.
    """
    return " ;\n".join(
        [_replaced(record.iri, _round_triples(record)), *_turns(record), *_measures(record)]
    )


def deploy(device: str, model: str, weights: str, state: DeploymentState, at: datetime) -> str:
    """Return the update that writes down what is deployed on a device, and how far that is.

    Once weights run on a device, those that ran there before are retired.

    Args:
        device: its IRI.
        model: IRI of the model.
        weights: SHA-256 of the model's weights in hexadecimal.
        state: how far the deployment is.
        at: since when.
    """
    place = hashlib.sha256(f"{device} {weights}".encode()).hexdigest()[:16]
    deployment, entity = URIRef(f"urn:tinyfleet:deployment:{place}"), URIRef(weights_iri(weights))
    triples: list[_Triple] = [
        (deployment, RDF.type, SSN.Deployment),
        (deployment, RDF.type, TF.Deployment),
        (deployment, TF.deploys, URIRef(model)),
        (deployment, PROV.used, entity),
        (deployment, TF.deployedOn, URIRef(device)),
        (deployment, TF.state, TF[state]),
        (deployment, PROV.startedAtTime, _instant(at)),
    ]
    text = _replaced(str(deployment), triples)
    if state != "Running":
        return text
    stood, on = written(TF.state), written(TF.deployedOn)
    running, retired = written(TF.Running), written(TF.Retired)
    return (
        f"DELETE {{ GRAPH ?old {{ ?old {stood} {running} }} }}\n"
        f"INSERT {{ GRAPH ?old {{ ?old {stood} {retired} }} }}\n"
        f"WHERE {{ GRAPH ?old {{ ?old {on} {written(URIRef(device))} ; {stood} {running} }} }} ;\n"
        f"{text}"
    )


def _run_triples(run: RunRecord) -> Iterator[_Triple]:
    node = URIRef(run.iri)
    yield node, RDF.type, TF.Run
    yield node, RDF.type, PROV.Activity
    yield node, RDFS.label, Literal(run.name)
    yield node, TF.strategy, Literal(run.strategy)
    yield node, TF.seed, Literal(run.seed)
    if run.model:
        yield node, TF.trains, URIRef(run.model)
    if run.before:
        yield node, PROV.wasInformedBy, URIRef(run_iri(run.before))
    if run.query:
        plan = URIRef(f"{run.iri}:query")
        yield node, PROV.used, plan
        yield plan, RDF.type, PROV.Plan
        yield plan, RDFS.label, Literal(run.query)
        yield plan, SCHEMA.text, Literal(run.text)


def _round_triples(record: RoundRecord) -> Iterator[_Triple]:
    node, run = URIRef(record.iri), URIRef(run_iri(record.run))
    used, generated = URIRef(weights_iri(record.used)), URIRef(weights_iri(record.generated))
    yield node, RDF.type, TF.Round
    yield node, RDF.type, PROV.Activity
    yield node, TF.number, Literal(record.number)
    yield node, DCTERMS.isPartOf, run
    if not record.first:
        yield node, PROV.wasInformedBy, URIRef(f"{run}:{record.number - 1}")
    if record.started:
        yield node, PROV.startedAtTime, _instant(record.started)
    if record.ended:
        yield node, PROV.endedAtTime, _instant(record.ended)
    yield node, TF.participants, Literal(len(record.participants))
    yield node, PROV.used, used
    yield used, RDF.type, PROV.Entity
    yield used, TF.checksum, Literal(record.used)
    if generated != used:
        yield generated, RDF.type, PROV.Entity
        yield generated, TF.checksum, Literal(record.generated)
        yield generated, PROV.wasGeneratedBy, node
        yield generated, PROV.wasDerivedFrom, used
    selection = URIRef(f"{node}:selection")
    yield node, PROV.wasInformedBy, selection
    yield selection, RDF.type, TF.Selection
    yield selection, PROV.used, URIRef(f"{run}:query")
    for device in record.selected:
        yield node, TF.selected, URIRef(device)
    for device in record.participants:
        yield node, PROV.wasAssociatedWith, URIRef(device)
    for update in record.updates or ():
        yield from _update_triples(node, update)


def _update_triples(round_: URIRef, update: UpdateRecord) -> Iterator[_Triple]:
    name = hashlib.sha256(update.device.encode()).hexdigest()[:16]
    node = URIRef(f"{round_}:{name}")
    yield node, RDF.type, TF.Update
    yield node, RDF.type, PROV.Entity
    yield node, PROV.wasGeneratedBy, round_
    yield node, PROV.wasAttributedTo, URIRef(update.device)
    yield node, TF.examples, Literal(update.examples)
    if math.isfinite(update.loss):
        yield node, TF.loss, _number(update.loss)
    if update.accuracy is not None:
        yield node, TF.accuracy, _number(update.accuracy)
    if update.sent is not None:
        yield node, TF.bytesSent, Literal(update.sent)
    if update.received is not None:
        yield node, TF.bytesReceived, Literal(update.received)


def _turns(record: RoundRecord) -> Iterator[str]:
    if not record.participants:
        return
    last = record.turns + record.number
    nodes = [URIRef(device) for device in record.participants]
    turns = ([node, Literal(turn(node, last))] for node in nodes)
    kept = f"GRAPH {_INDEX} {{ ?device {_PROFILE} ?profile }}"
    yield (
        f"DELETE {{ GRAPH ?profile {{ ?device {_TURN} ?old }} }}\n"
        f"INSERT {{ GRAPH ?profile {{ ?device {_TURN} ?new }} }}\n"
        f"WHERE {{ {_values('?device ?new', turns)}\n{kept}\n"
        f"GRAPH ?profile {{ ?device {_TURN} ?old }} }}"
    )
    yield (
        f"DELETE {{ GRAPH {_STATUS} {{ ?device {_LAST} ?old }} }}\n"
        f"INSERT {{ GRAPH {_STATUS} {{ ?device {_LAST} {last} }} }}\n"
        f"WHERE {{ {_values('?device', ([node] for node in nodes))}\n{kept}\n"
        f"OPTIONAL {{ GRAPH {_STATUS} {{ ?device {_LAST} ?old }} }} }}"
    )


def _measures(record: RoundRecord) -> Iterator[str]:
    """Yield what replaces the loss and the accuracy of participants that are online."""
    for name in ("loss", "accuracy"):
        pairs = [(u.device, getattr(u, name)) for u in record.updates or ()]
        known = [(d, value) for d, value in pairs if value is not None and math.isfinite(value)]
        if not known:
            continue
        rows = ([URIRef(device), _number(value)] for device, value in known)
        term = written(TF[name])
        yield (
            f"DELETE {{ GRAPH ?profile {{ ?device {term} ?old }} }}\n"
            f"INSERT {{ GRAPH ?profile {{ ?device {term} ?new }} }}\n"
            f"WHERE {{ {_values('?device ?new', rows)}\n"
            f"GRAPH {_INDEX} {{ ?device {_PROFILE} ?profile }}\n"
            f"GRAPH ?profile {{ ?device {_TURN} ?turn }}\n"
            f"OPTIONAL {{ GRAPH ?profile {{ ?device {term} ?old }} }} }}"
        )


def _replaced(graph: str, triples: Iterable[_Triple]) -> str:
    text = block(graph, triples_text(triples))
    return f"DROP SILENT GRAPH {written(URIRef(graph))} ;\nINSERT DATA {{ {text} }}"


def _values(names: str, rows: Iterable[Sequence[Node]]) -> str:
    lines = "\n".join(f"({' '.join(map(written, row))})" for row in rows)
    return f"VALUES ({names}) {{\n{lines}\n}}"


def _number(value: float) -> Literal:
    return Literal(repr(float(value)), datatype=XSD.double)


def _instant(at: datetime) -> Literal:
    return Literal(at.isoformat(), datatype=XSD.dateTime)


_INDEX, _STATUS = written(INDEX), written(STATUS)
_PROFILE, _TURN, _LAST = (written(TF[name]) for name in ("profile", "turn", "lastRound"))
