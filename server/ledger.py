"""A run's rounds, written into the graph as they end: who was asked, what came back, what it made.

The same thread that runs the rounds writes, one update a round.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rdflib import Literal

from tinyfleet.fleet import Fleet
from tinyfleet.mean import refusal
from tinyfleet.messages import Assignment, Floats, Update
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.provenance import (
    RoundRecord,
    RunRecord,
    UpdateRecord,
    begin_run,
    record_round,
)
from tinyfleet.ontology.vocabulary import STATUS, TF
from tinyfleet.server.select import Chosen

_LAST = f"SELECT (MAX(?n) AS ?last) {{ GRAPH {STATUS.n3()} {{ ?device {TF.lastRound.n3()} ?n }} }}"


class Ledger:
    """Writes a run into a graph; use it from one thread.

    Args:
        graph: where it is written.
        run: what is known of the run.
        weights: those that it starts from, `(parameters,)` float32.
        first_round: number of its first round.
        turns: rounds that the graph knew before the run; see `known_rounds`.
        now: tells the time; None where no clock counts, as in a simulation.
    """

    def __init__(
        self,
        graph: FleetGraph,
        run: RunRecord,
        weights: Floats,
        *,
        first_round: int = 1,
        turns: int = 0,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._graph, self._run, self._now = graph, run, now
        self._first, self._turns = first_round, turns
        self._used = digest(weights)
        self._chosen: Chosen | None = None
        self._began: datetime | None = None
        self._parameters = len(weights)
        self._updates: dict[int, Update] | None = None
        graph.record(begin_run(run))

    def choose(self, chosen: Chosen) -> None:
        """Note who is asked in the round that begins."""
        self._chosen = chosen
        self._began = self._now() if self._now else None
        if self._updates is not None:
            self._updates = {}

    def watch(self, fleet: Fleet) -> Fleet:
        """Return `fleet` with every update noted as it passes."""
        self._updates = {}
        return _Watched(fleet, self._hear)

    def end(self, number: int, weights: Floats) -> RoundRecord | None:
        """Write down the round that has ended; None when nobody was chosen for it.

        Raises:
            QueryError: the graph cannot be written.
        """
        chosen, self._chosen = self._chosen, None
        if chosen is None or chosen.round != number:
            return None
        generated = digest(weights)
        record = RoundRecord(
            run=self._run.name,
            number=number,
            first=number == self._first,
            selected=chosen.devices,
            updates=None if self._updates is None else list(self._updates_of(chosen)),
            used=self._used,
            generated=generated,
            turns=self._turns,
            started=self._began,
            ended=self._now() if self._now else None,
        )
        self._used = generated
        self._graph.record(record_round(record))
        return record

    def _updates_of(self, chosen: Chosen) -> Iterator[UpdateRecord]:
        updates = self._updates or {}
        for number, device in zip(chosen.numbers, chosen.devices, strict=True):
            if number in updates:
                yield _record(device, updates[number])

    def _hear(self, update: Update) -> None:
        if self._updates is None or self._chosen is None:
            return
        if refusal(update, self._parameters, self._chosen.round) is None:
            self._updates[update.device] = update


@dataclass(frozen=True)
class _Watched:
    """A fleet whose updates somebody hears of as they pass."""

    fleet: Fleet
    hear: Callable[[Update], None]

    @property
    def devices(self) -> Sequence[int]:
        return self.fleet.devices

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        for update in self.fleet.run(assignments, timeout):
            self.hear(update)
            yield update


def known_rounds(graph: FleetGraph, first_round: int = 1) -> int:
    """Return what a new run's `turns` are, so that its rounds come behind all that the graph knows.

    Args:
        graph: what the run is written into.
        first_round: number of the run's first round.
    """
    ((last,),) = graph.select(_LAST).rows
    known = int(str(last)) if isinstance(last, Literal) else 0
    return known - first_round + 1


def _record(device: str, update: Update) -> UpdateRecord:
    places = 0 if update.indices is None else update.indices.nbytes
    return UpdateRecord(
        device,
        int(update.examples),
        float(update.loss),
        sent=update.values.nbytes + places,
        received=4 * update.received,
    )


def digest(weights: Floats) -> str:
    """Return the SHA-256 of a vector, in hexadecimal."""
    return hashlib.sha256(weights.tobytes()).hexdigest()
