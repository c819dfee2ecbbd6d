"""Who trains in a mixed fleet: a query is asked, and its answers kept, for the report too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tinyfleet.fleet import Fleet
from tinyfleet.messages import Floats
from tinyfleet.ontology.provenance import RunRecord
from tinyfleet.server.app import Round
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.ledger import Ledger
from tinyfleet.server.left_out import left_out
from tinyfleet.server.select import Chosen, Selector, choose_nodes
from tinyfleet.server.strategy import Choice, Choose
from tinyfleet.simulations.choices import Choices, ChosenRound, LeftOut
from tinyfleet.simulations.study import Study

NAME = "mixed"
"""The fleet in topics, the run in ids, and the folder for what must not outlive the rounds."""


class Choosing:
    """Asks a query who trains, writes the rounds into the graph, and keeps why others did not.

    Args:
        selector: asks the graph.
        start: the weights that the rounds start from.
        study: what the rounds go on with.
    """

    def __init__(self, selector: Selector, start: Floats, study: Study) -> None:
        self._selector = selector
        run = RunRecord(
            NAME, "tinyreptile", study.seed, selector.model,
            selector.selection.name, selector.selection.text,
        )  # fmt: skip
        self._ledger = Ledger(
            selector.graph, run, start, first_round=study.rounds + 1, now=lambda: datetime.now(UTC)
        )
        self._rounds: list[ChosenRound] = []

    def watch(self, fleet: Fleet) -> Fleet:
        """Return `fleet` with every update noted as it passes."""
        return self._ledger.watch(fleet)

    def choose(self, grid: FleetGrid) -> Choose:
        """Return what chooses among the nodes of `grid`."""
        return choose_nodes(self._selector, lambda: grid.devices, self._keep)

    def end(self, end: Round) -> None:
        """Write down a round that has ended."""
        if end.tally is not None:
            self._ledger.end(end.number, end.weights)

    @property
    def choices(self) -> Choices:
        """Who was chosen so far."""
        selection = self._selector.selection
        return Choices(selection.name, selection.text, self._selector.model, tuple(self._rounds))

    def _keep(self, chosen: Chosen) -> None:
        self._ledger.choose(chosen)
        others = left_out(self._selector, chosen)
        gone = tuple(LeftOut(_number(device), reason) for device, reason in others.items())
        self._rounds.append(ChosenRound(chosen.round, chosen.numbers, gone))


def _number(device: str) -> int:
    return int(device.rpartition(":")[2])


@dataclass(frozen=True)
class Again:
    """Makes choices that were made before, and writes nothing down."""

    choices: Choices

    def choose(self, grid: FleetGrid) -> Choose:
        """Return what chooses on a grid whose nodes are single devices."""
        chosen = {one.round: sorted(one.devices) for one in self.choices.rounds}

        def choose(round_number: int, nodes: Sequence[int]) -> Choice:
            del nodes
            places = {device: place for place, device in enumerate(grid.devices)}
            return Choice([places[device] for device in chosen[round_number]])

        return choose

    def end(self, end: Round) -> None:
        """Do nothing."""
