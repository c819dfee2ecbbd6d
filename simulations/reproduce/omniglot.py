"""Omniglot beside Reptile 2018: few-shot accuracy on characters that nobody has seen."""

from collections.abc import Sequence

from tinyfleet.simulations import published
from tinyfleet.simulations.comparison import plural
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.studies import study_file
from tinyfleet.simulations.reproduce.work import Work

NAME = "omniglot"
NOTES = """
TinyMetaFed on four convolutions of 32 filters, with a last layer that starts from zeros on every
device, N ways, without transduction; passes and rate of fine-tuning chosen on validation tasks.
Intervals are over 1,000 test tasks with 5 ways and 400 with 20, all of 200 characters that no
device trained on. Reptile 2018 trains four convolutions of 64 filters with batch normalisation and
Adam for 100,000 meta-steps on 1,200 characters; ours has no normalisation, so that a
microcontroller can train it one sample at a time, and learns from 700 characters in about twenty
minutes. Batched Reptile on as many filters (`tinyfleet simulate simulations/studies/reptile.toml`,
51 minutes, not part of this page's run) reached 92.2 ± 0.5 and 97.7 ± 0.2 % with one and five
shots, 5-way, on the same 1,000 test tasks.
"""

STUDIES = {5: "omniglot", 20: "omniglot-20"}
"""Study files by ways; their settings were found on validation tasks."""

_TRANSDUCTION = (
    "transduction normalises all queries of a task together; our networks have no batch "
    "normalisation, so there is nothing to normalise"
)


def cells(work: Work) -> Sequence[Cell]:
    """Return ours beside each published figure, with and without transduction."""
    found = []
    for then in published.OMNIGLOT:
        row = f"{then.ways}-way{', transduction' if then.transduction else ''}"
        place = NAME, row, plural(then.shots, "shot")
        if then.transduction:
            found.append(cell_of(place, None, then.accuracy, unit="%", why=_TRANSDUCTION))
            continue
        ran = work.study(f"omniglot-{then.ways}-way", study_file(STUDIES[then.ways]))
        found.append(cell_of(place, ran.score(then.shots), then.accuracy, unit="%"))
    return found


TABLE = Table(
    NAME,
    "Omniglot against Reptile 2018",
    "Reptile 2018, Omniglot results",
    cells,
    NOTES,
    needs=(published.CHARACTERS,),
)
