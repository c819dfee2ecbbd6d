"""Adam on the server (FedAdam; Reddi et al. 2021, arXiv 2003.00295) beside a plain step."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinyfleet.simulations.evaluation import estimate
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.studies import study_file
from tinyfleet.simulations.reproduce.work import Work

NAME, SEEDS, SHOTS = "server-optimizer", 6, 8
NOTES = """
Sines after eight points, within two million parameters communicated, both ways: the mean over six
trainings, each from its own seed and judged on 500 test curves of that seed, with an interval over
the trainings; passes and rate chosen on validation curves. *Plain* steps along the mean difference,
from 0.5 down to 0; *Adam* from 0.03, which validation curves liked best. *Gain* is plain less Adam,
paired by seed, above 0 where Adam's error is smaller. Adam helps the plain algorithm and harms our
best settings, which is why these do without it.
"""

STEPS = {"sgd": 0.5, "adam": 0.03}
"""The server's first step, by its optimiser."""

_PLAIN: dict[str, Any] = {"app": "sine", "strategy": "tinyreptile", "rounds": 867, "shots": [SHOTS]}


def cells(work: Work) -> Sequence[Cell]:
    """Return the error of both optimisers in two settings, and what Adam gains."""
    best = {**study_file("sine"), "shots": [SHOTS]}
    ways = ("TinyReptile", _PLAIN), ("best", best)
    return [cell for name, values in ways for cell in _cells(work, name, values)]


def _cells(work: Work, name: str, values: dict[str, Any]) -> Iterator[Cell]:
    column, seeds = "mean square error", range(work.seed, work.seed + work.pick(SEEDS, 2))
    scores = {}
    for optimizer, step in STEPS.items():
        asked = {**values, "server_optimizer": optimizer, "step": step, "step_end": 0.0}
        label = f"sine-{name.lower()}-{optimizer}"
        runs = [work.study(f"{label}-{seed}", {**asked, "seed": seed}) for seed in seeds]
        scores[optimizer] = np.array([ran.score(SHOTS).mean for ran in runs])
        row = f"{name}, {'Adam' if optimizer == 'adam' else 'plain'}"
        yield cell_of((NAME, row, column), estimate(scores[optimizer]))
    gain = estimate(scores["sgd"] - scores["adam"])
    yield cell_of((NAME, f"{name}, gain of Adam", column), gain)


TABLE = Table(NAME, "Adam on the server", "ours", cells, NOTES)
