"""Who trains in a study: the graph in the run's folder, asked before every round, told after it.

The journal holds what every round did, so the graph of a run that goes on is built anew from it.
What the graph had seen beyond the checkpoint, before the run died, is thus forgotten.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tinyfleet.errors import StudyError
from tinyfleet.fleet import Fleet
from tinyfleet.ontology.describe_network import describe_network
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.provenance import RoundRecord, RunRecord, UpdateRecord, record_round
from tinyfleet.server import app
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.ledger import Ledger, digest
from tinyfleet.server.select import Selector, choose_nodes
from tinyfleet.server.strategy import Choose
from tinyfleet.simulations import journal
from tinyfleet.simulations.assemble import Setup
from tinyfleet.simulations.journal import State
from tinyfleet.simulations.population import iri_of, populate

RUN = "study"
"""The run in the graph of its folder, which holds no other: the same study, the same graph."""

_TOGETHER = 50  # rounds that are written again together


@dataclass(frozen=True)
class Selecting:
    """A study whose devices a query chooses.

    Attributes:
        fleet: the devices, heard as they answer.
        selector: asks the graph.
        ledger: tells it.
    """

    fleet: Fleet
    selector: Selector
    ledger: Ledger

    def choose(self, grid: FleetGrid) -> Choose:
        """Return what chooses among the nodes of `grid`."""
        return choose_nodes(self.selector, lambda: grid.devices, self.ledger.choose)

    def end(self, end: app.Round) -> Mapping[str, Any]:
        """Write a round down; return what its line in the journal says of it."""
        record = self.ledger.end(end.number, end.weights)
        if record is None:
            return {}
        return {
            "selected": [_number_of(device) for device in record.selected],
            "updates": [
                [_number_of(u.device), u.examples, u.loss, u.sent, u.received]
                for u in record.updates or ()
            ],
            "weights_sha256": record.generated,
        }


@contextmanager
def selecting(setup: Setup, folder: Path, state: State) -> Iterator[Selecting | None]:
    """Open the graph of the run in `folder`, as it stood at `state`; None for who selects nobody.

    Raises:
        StudyError: the journal does not say who was selected.
        QueryError: the graph cannot be written.
    """
    if setup.selection is None:
        yield None
        return
    study, place = setup.study, folder / journal.GRAPH
    shutil.rmtree(place, ignore_errors=True)
    with FleetGraph.open(place) as graph:
        model = graph.add_model(describe_network(setup.network).to_graph())
        populate(graph, setup.network, study.devices)
        run = RunRecord(
            RUN, study.strategy, study.seed, model, setup.selection.name, setup.selection.text
        )
        selector = Selector(
            graph, setup.selection, study.per_round, study.seed, model, setup.network.name
        )
        ledger = Ledger(graph, run, state.weights)
        records = _recorded(setup, journal.read_lines(folder, state))
        while some := list(islice(records, _TOGETHER)):
            graph.record(" ;\n".join(map(record_round, some)))
        yield Selecting(ledger.watch(setup.fleet), selector, ledger)


def _recorded(setup: Setup, lines: Iterator[Mapping[str, Any]]) -> Iterator[RoundRecord]:
    """Yield the rounds that a journal tells of, as they were first written."""
    used = digest(setup.network.init(setup.study.seed))
    for line in lines:
        try:
            updates = [
                UpdateRecord(iri_of(device), examples, loss, sent=sent, received=received)
                for device, examples, loss, sent, received in line["updates"]
            ]
            record = RoundRecord(
                run=RUN,
                number=line["round"],
                first=line["round"] == 1,
                selected=[iri_of(device) for device in line["selected"]],
                updates=updates,
                used=used,
                generated=line["weights_sha256"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StudyError(
                f"{journal.ROUNDS}: expected who was selected in every round, got a line without "
                f"({type(error).__name__}: {error}); start the run anew in another folder"
            ) from None
        yield record
        used = record.generated


def _number_of(device: str) -> int:
    return int(device.rpartition(":")[2])
