"""Table 5 of TECS 2024: what the parts of TinyMetaFed cost and save."""

from collections.abc import Sequence

from tinyfleet.simulations import published
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.studies import APPS, comparable, tinymetafed, tinyreptile
from tinyfleet.simulations.reproduce.work import Ran, Work

NAME, SHOTS = "table-5", 8
NOTES = """
Accuracy after 8 shots a class, tuned as in Table 4, with intervals over the same 1,000 test devices
of each application; the rows are one training each. The paper does not say its shots. The
communication cost is what travels in a round, both ways, in bytes with every index and header, over
the bytes of a round that moves the whole network as float32 both ways. The published cost is (|g| /
|phi|) (1 + P) / 2 and counts no index. *Partial*: the local layers never leave a device.
*Schedule*: the server's step restarts warm. *int8*: updates travel as int8 and weights as float16,
which the paper does not do; it stands beside the printed row of the same share. The networks are
ours, so the part that travels is, too. As in Table 4 the test devices are of 6 speakers and of one
room: intervals say little of other speakers, and nothing of other rooms.
"""

COUNTED = "ours counts places and headers, the published cost does not"

# Name, share, schedule, int8 up and float16 down.
_VARIANTS = (
    ("partial, P = 100", 1.0, False, False),
    ("partial, schedule, P = 100", 1.0, True, False),
    ("partial, schedule, P = 75", 0.75, True, False),
    ("partial, schedule, P = 50", 0.5, True, False),
    ("partial, schedule, P = 50, int8", 0.5, True, True),
)

# Printed: application, variant -> accuracy in percent, communication cost.
_PUBLISHED = {
    published.CHARACTERS: ((90.0, 0.35), (90.6, 0.35), (89.4, 0.31), (87.3, 0.26)),
    published.KEYWORDS: ((88.1, 0.42), (88.3, 0.42), (87.2, 0.36), (85.9, 0.29)),
    published.PRESENCE: ((89.3, 0.53), (89.6, 0.53), (88.7, 0.46), (86.5, 0.39)),
}


def communication_cost(ran: Ran) -> float:
    """Return the bytes that a run sent over those of as many whole networks, both ways."""
    visits = sum(line["devices"] for line in ran.rounds)
    whole = 2 * 4 * ran.result["parameters"] * visits
    return float(ran.result["bytes_communicated"] / whole)


def cells(work: Work) -> Sequence[Cell]:
    """Return accuracy and communication cost of TinyReptile and of TinyMetaFed's variants."""
    found = []
    for app in APPS:
        runs: list[tuple[str, Ran, tuple[float | None, float]]] = [
            ("TinyReptile", tinyreptile(work, app), (None, 1.0))
        ]
        printed = *_PUBLISHED[app], _PUBLISHED[app][-1]  # int8 beside the same share
        for (name, share, schedule, coarse), then in zip(_VARIANTS, printed, strict=True):
            ran = tinymetafed(work, app, share, schedule=schedule, coarse=coarse)
            runs.append((f"TinyMetaFed, {name}", ran, then))
        for name, ran, (accuracy, cost) in runs:
            row, why = f"{app}, {name}", comparable(app)
            place = NAME, row, "accuracy"
            found.append(cell_of(place, ran.score(SHOTS), accuracy, unit="%", why=why))
            place, paid = (NAME, row, "communication cost"), communication_cost(ran)
            found.append(cell_of(place, paid, cost, why=COUNTED if ran.study.share < 1 else ""))
    return found


TABLE = Table(
    NAME,
    "Table 5: what partial learning, the share and the schedule do",
    "TECS 2024, Table 5 (printed)",
    cells,
    NOTES,
    needs=APPS,
)
