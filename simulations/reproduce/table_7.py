"""Table 7 of TECS 2024: what a round of application II, keywords, takes of a Raspberry Pi 4."""

from collections.abc import Sequence

from tinyfleet.simulations import published
from tinyfleet.simulations.costs import RASPBERRY_PI_4
from tinyfleet.simulations.reproduce.cells import Cell, Table
from tinyfleet.simulations.reproduce.rounds import BATCH, Method, Rounds, cells_of, notes_of
from tinyfleet.simulations.reproduce.work import Work

ROUNDS = Rounds(
    "table-7",
    published.KEYWORDS,
    RASPBERRY_PI_4,
    parameters=105_124,
    activations=989_100,
    shared=0.42,
    small="keywords-mcu",
    methods=(
        Method("Reptile", "reptile", BATCH, None, (3.6, 13.4, 2.6, 19.6, 1, 8333, 39)),
        Method("TinyReptile", "tinyreptile", 1, None, (3.6, 6.5, 2.6, 12.7, 1, 1409, 26)),
        Method("TinyMetaFed, P = 75", "tinymetafed", 1, 0.75, (1.4, 6.3, 0.8, 8.5, 0.36, 1409, 15)),
    ),
)


def cells(work: Work) -> Sequence[Cell]:
    """Return the figures of each method, at their size and for our networks."""
    del work
    return cells_of(ROUNDS)


TABLE = Table(
    ROUNDS.table,
    "Table 7: one round of keywords on one device",
    "TECS 2024, Table 7 (printed)",
    cells,
    notes_of(),
)
