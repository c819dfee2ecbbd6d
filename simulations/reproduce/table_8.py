"""Table 8 of TECS 2024: what a round of application III, presence, takes of a Cortex-M4."""

from collections.abc import Sequence

from tinyfleet.simulations import published
from tinyfleet.simulations.costs import CORTEX_M4
from tinyfleet.simulations.reproduce.cells import Cell, Table
from tinyfleet.simulations.reproduce.rounds import BATCH, Method, Rounds, cells_of, notes_of
from tinyfleet.simulations.reproduce.work import Work

ROUNDS = Rounds(
    "table-8",
    published.PRESENCE,
    CORTEX_M4,
    parameters=4_513,
    activations=550,
    shared=0.53,
    small="",
    methods=(
        Method("Reptile", "reptile", BATCH, None, (6.2, 8.3, 4.2, 18.7, 1, 22, 5.1)),
        Method("TinyReptile", "tinyreptile", 1, None, (6.2, 2.2, 4.2, 12.6, 1, 18, 3.9)),
        Method("TinyMetaFed, P = 50", "tinymetafed", 1, 0.5, (3.3, 2.2, 1.4, 6.9, 0.39, 18, 2.1)),
    ),
)


def cells(work: Work) -> Sequence[Cell]:
    """Return the figures of each method, at their size and for our networks."""
    del work
    return cells_of(ROUNDS)


TABLE = Table(
    ROUNDS.table,
    "Table 8: one round of presence on one device",
    "TECS 2024, Table 8 (printed)",
    cells,
    notes_of(),
)
