"""Table 3 of TECS 2024: what a round of application I, characters, takes of a Raspberry Pi 4."""

from collections.abc import Sequence

from tinyfleet.simulations import published
from tinyfleet.simulations.costs import RASPBERRY_PI_4
from tinyfleet.simulations.reproduce.cells import Cell, Table
from tinyfleet.simulations.reproduce.rounds import BATCH, Method, Rounds, cells_of, notes_of
from tinyfleet.simulations.reproduce.work import Work

ROUNDS = Rounds(
    "table-3",
    published.CHARACTERS,
    RASPBERRY_PI_4,
    parameters=108_229,
    activations=207_900,
    shared=0.35,
    small="characters-mcu",
    methods=(
        Method("Reptile", "reptile", BATCH, None, (3.7, 11.3, 2.8, 17.8, 1, 2096, 37)),
        Method("TinyReptile", "tinyreptile", 1, None, (3.7, 5.4, 2.8, 11.9, 1, 641, 24)),
        Method("TinyMetaFed, P = 75", "tinymetafed", 1, 0.75, (1.3, 5.2, 0.7, 7.2, 0.31, 641, 13)),
    ),
)


def cells(work: Work) -> Sequence[Cell]:
    """Return the figures of each method, at their size and for our networks."""
    del work
    return cells_of(ROUNDS)


TABLE = Table(
    ROUNDS.table,
    "Table 3: one round of characters on one device",
    "TECS 2024, Table 3 (printed)",
    cells,
    notes_of(),
)
