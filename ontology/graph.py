"""The fleet's memory: one graph of devices, models, and what they learned.

Each device's description is a named graph, replaced whole; what changes lies apart from what stays.
Whatever one call writes, it writes in one update: all of it or nothing, even when the process is
killed. One process has a graph on disk open; its threads read beside one writer.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

from rdflib import RDF, Dataset, Graph, URIRef
from rdflib.query import Result

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology import registration, transfer
from tinyfleet.ontology.entry import Entry, read_entry
from tinyfleet.ontology.evaluate import Answer, Question
from tinyfleet.ontology.facts import (
    Registration,
    counts_after,
    examples,
    has_model,
    known_of,
    registration_of,
)
from tinyfleet.ontology.kinds import read_kind
from tinyfleet.ontology.profile import needs_of
from tinyfleet.ontology.queries import Term, bind, guard
from tinyfleet.ontology.registration import Status
from tinyfleet.ontology.reindex import reindexed
from tinyfleet.ontology.rows import Row, Rows, select
from tinyfleet.ontology.shapes import check as check_shapes
from tinyfleet.ontology.statements import block, triples_text, written
from tinyfleet.ontology.store import Store, open_store
from tinyfleet.ontology.summary import Count, Known, counts_of, set_counts
from tinyfleet.ontology.vocabulary import FITS, INDEX, NNET, SUMMARY, TF

__all__ = ["Bindings", "FleetGraph", "Registration", "Row", "Rows", "Status"]

Bindings = Mapping[str, Term | Sequence[Term]]

NOTHING: Bindings = {}

BATCH = 4000
"""Devices that one update registers when many of a kind come."""


class FleetGraph:
    """A graph of one fleet; open it with `FleetGraph.open`.

    >>> with FleetGraph.open() as graph:
    ...     graph.select("SELECT ?s { ?s ?p ?o }").rows
    ()
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = RLock()

    @classmethod
    def open(cls, place: Path | str | None = None, *, read_only: bool = False) -> Self:
        """Open the graph at `place`.

        Args:
            place: None for memory; a directory, made when absent; or the address of a SPARQL 1.1
                endpoint, to which /query and /update are added unless it ends in /sparql.
            read_only: see a directory as it is now, beside the process that writes it.

        Raises:
            QueryError: another process has the directory, or it cannot be used.
        """
        return cls(open_store(place, read_only=read_only))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left to the disk, and let others have the directory."""
        self._store.flush()
        self._store.close()

    def flush(self) -> None:
        """Write all that was acknowledged to the disk, so that a loss of power cannot take it."""
        self._store.flush()

    @property
    def dataset(self) -> Dataset:
        """The same graph as rdflib sees it; give it SPARQL as plain text alone."""
        return self._store.dataset

    def register(
        self,
        thing: Mapping[str, Any],
        *,
        source: str | None = None,
        check: bool = True,
        expires: datetime | None = None,
    ) -> bool:
        """Write a device's Thing Description over the one it had; return whether it had none.

        Args:
            thing: the description.
            source: its text as it came, which `thing` returns.
            check: whether to hold it against the schema and the shapes.
            expires: when it is no longer to be trusted.

        Raises:
            DescriptionError: it is refused; what was there before stays.
        """
        entry = read_entry(thing, source, check=check)
        with self._lock:
            known = known_of(self._store, [entry.device]).get(entry.device)
            operations, after = registration.put(entry, known, datetime.now(UTC), expires)
            change = counts_of(after)
            change.subtract(counts_of(known))
            counts = counts_after(self._store, change)
            operations += self._profiles(entry, known, counts)
            self._write([*operations, *set_counts(counts)])
        return known is None

    def register_kind(
        self, model: Mapping[str, Any], values: Iterable[Mapping[str, str]]
    ) -> Iterator[int]:
        """Write the Thing Descriptions of many devices of one kind, `BATCH` at a time.

        Descriptions are written before an update registers their devices. Killed between the two,
        the graph has descriptions of devices that it does not know; do it again.

        Args:
            model: their Thing Model: a description with placeholders such as `{{NUMBER}}`.
            values: of the placeholders, for each device.

        Yields:
            How many devices are written so far.

        Raises:
            DescriptionError: the model or a value is refused, or a device is there already;
                what was yielded stays.
        """
        kind = read_kind(model)
        done = 0
        for batch in batched(values, BATCH):
            entries = [kind.entry(one) for one in batch]
            with self._lock:
                devices = [entry.device for entry in entries]
                for device in (*known_of(self._store, devices), *_twice(devices)):
                    raise DescriptionError(
                        f"{device}: expected a new device, got one that is there"
                    )
                self._store.extend(registration.described(entries))
                insert, change = registration.put_new(entries, datetime.now(UTC))
                counts = counts_after(self._store, change)
                first = entries[0]
                offered = []
                if first.profile and counts[first.profile.iri, TF.devices] == len(entries):
                    offered = [
                        registration.offer(first.profile),
                        registration.fit([(first.profile.iri, first.device)]),
                    ]
                self._write([insert, *offered, *set_counts(counts)])
            done += len(entries)
            yield done

    def _profiles(
        self, entry: Entry, known: Known | None, counts: Mapping[Count, int]
    ) -> list[str]:
        """Return what writes the profile that came with its first device, and its fits."""
        operations = []
        profile = entry.profile
        old = known.profile if known else None
        if old and not counts.get((old, TF.devices), 1):
            operations += registration.withdraw(old)
        if profile and profile.iri != old and counts[profile.iri, TF.devices] == 1:
            operations.append(registration.offer(profile))
            operations.append(registration.fit([(profile.iri, entry.device)]))
        return operations

    def retire(self, device: str) -> bool:
        """Take a device out of the graph; what it learned stays. Return whether it was there."""
        with self._lock:
            known = known_of(self._store, [device]).get(device)
            if known is None:
                return False
            change: Counter[Count] = Counter()
            change.subtract(counts_of(known))
            counts = counts_after(self._store, change)
            operations = registration.retire(device, known)
            if known.profile and not counts[known.profile, TF.devices]:
                operations += registration.withdraw(known.profile)
            self._write([*operations, *set_counts(counts)])
        return True

    def set_status(self, statuses: Iterable[Status]) -> int:
        """Write down who is online, in one update; return how many of the devices are known.

        Of several statuses of one device the last counts.
        """
        latest = {status.device: status for status in statuses}
        with self._lock:
            known = known_of(self._store, latest)
            change: Counter[Count] = Counter()
            for device, before in known.items():
                change.update(counts_of(replace(before, online=latest[device].online)))
                change.subtract(counts_of(before))
            if known:
                counts = counts_after(self._store, change)
                self._write([*registration.tell(latest, known), *set_counts(counts)])
        return len(known)

    def thing(self, device: str) -> str | None:
        """Return a device's description as it came; None where there is none."""
        found = self.registration(device)
        return None if found is None else found.source

    def registration(self, device: str) -> Registration | None:
        """Return a device's description and when it came; None where there is none."""
        return registration_of(self._store, device)

    def add_model(self, graph: Graph) -> str:
        """Write a model's description over the one it had; return its IRI.

        Raises:
            DescriptionError: it breaks a shape, or describes no model or several.
        """
        models = sorted({str(s) for s in graph.subjects(RDF.type, NNET.NeuralNetwork)})
        if len(models) != 1:
            raise DescriptionError(
                f"model: expected one nnet:NeuralNetwork, got {len(models)}: {models[:3]}"
            )
        check_shapes(graph)
        model = models[0]
        own = URIRef(model)
        facts = [(own, RDF.type, NNET.NeuralNetwork), *needs_of(graph, model).triples()]
        blocks = [
            block(model, triples_text(graph)),
            block(str(INDEX), triples_text(facts)),
        ]
        with self._lock:
            new = not has_model(self._store, model)
            have = examples(self._store)
            operations = [*_forget_model(model), f"INSERT DATA {{ {' '.join(blocks)} }}"]
            if have:
                operations.append(registration.fit(have, [model]))
            counts = counts_after(self._store, Counter({(str(SUMMARY), TF.models): int(new)}))
            self._write([*operations, *set_counts(counts)])
        return model

    def remove_model(self, model: str) -> bool:
        """Take a model out of the graph; return whether it was there."""
        with self._lock:
            if not has_model(self._store, model):
                return False
            counts = counts_after(self._store, Counter({(str(SUMMARY), TF.models): -1}))
            self._write([*_forget_model(model), *set_counts(counts)])
        return True

    def record(self, update: str) -> None:
        """Do an update: all of it, or nothing."""
        with self._lock:
            self._write([update])

    def import_(self, path: Path, *, base: str | None = None) -> tuple[int, int]:
        """Take in a file of Turtle, TriG, N-Quads, JSON-LD or Thing Descriptions.

        A graph of the file replaces the one of its name. What Turtle says goes to the graphs of
        the devices and models that it describes.

        Args:
            path: the file.
            base: what relative IRIs in it are relative to; None for one of the file's own.

        Returns:
            How many devices and models the graph then has.

        Raises:
            DescriptionError: the file cannot be read to its end; nothing of it is taken in.
        """
        return self.take_in(transfer.read([path], base))

    def take_in(self, taken: transfer.Taken) -> tuple[int, int]:
        """Write what files say, and make the index anew; return how many devices and models."""
        with self._lock:
            if taken.graphs:
                self._write([transfer.inserted(taken.graphs)])
            for thing, source in taken.things:
                self.register(thing, source=source, check=False)
            return self.reindex()

    def reindex(self) -> tuple[int, int]:
        """Make the index, the fits and the summary anew; return how many devices and models.

        Raises:
            DescriptionError: a description gives a figure that is none; the old index stays.
        """
        with self._lock:
            operations, devices, models = reindexed(self._store)
            self._write(operations)
        return devices, models

    def export(self, path: Path) -> int:
        """Write the graph to a file; return how many statements. Turtle takes those of all graphs.

        Raises:
            DescriptionError: the file's name says none of the formats, or it cannot be written.
        """
        return transfer.export(self._store, path)

    def select(
        self,
        text: str,
        bindings: Bindings = NOTHING,
        *,
        limit: int = 10_000,
        timeout: float = 30.0,
    ) -> Rows:
        """Return what a SELECT of our own finds.

        Args:
            text: the query.
            bindings: terms for its variables.
            limit: rows at most.
            timeout: seconds after which no further row is read. One that others wrote may take
                longer to its first row: give it to `answer`.

        Raises:
            QueryError: the query is malformed or no SELECT, or takes too long.
        """
        return select(self._store, _bound(text, bindings), limit, timeout)

    def query(self, text: str, bindings: Bindings = NOTHING) -> Result:
        """Return what a query of our own finds, whatever its form.

        Raises:
            QueryError: the query is malformed.
        """
        found = self._store.query(_bound(text, bindings))
        if found.type == "SELECT":
            found.bindings  # noqa: B018  reads all now: a cursor must end in its own thread
        return found

    def answer(self, question: Question, bindings: Bindings = NOTHING) -> Answer:
        """Return what a query of others finds, within its limits of time, memory and rows.

        It is evaluated in a process apart, over the graph as it is when it is asked.

        Raises:
            QueryError: it is malformed, not allowed, or takes too long or too much memory.
        """
        guard(question.query)
        return self._store.answer(replace(question, query=_bound(question.query, bindings)))

    def _write(self, operations: Sequence[str]) -> None:
        self._store.update(" ;\n".join(operations))


def _forget_model(model: str) -> list[str]:
    own = written(URIRef(model))
    return [
        f"DROP SILENT GRAPH {own}",
        f"DELETE WHERE {{ GRAPH {INDEX.n3()} {{ {own} ?p ?o }} }}",
        f"DELETE WHERE {{ GRAPH {FITS.n3()} {{ ?p {TF.fits.n3()} {own} }} }}",
    ]


def _bound(text: str, bindings: Bindings) -> str:
    return bind(text, bindings) if bindings else text


def _twice(names: Sequence[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def batched(values: Iterable[Mapping[str, str]], size: int) -> Iterator[list[Mapping[str, str]]]:
    """Yield lists of `size`; the last may be shorter."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch
