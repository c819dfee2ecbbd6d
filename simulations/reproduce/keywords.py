"""Keywords that nobody has heard, of speakers whom nobody has heard: 5 ways, 1 and 5 shots."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyfleet.simulations.evaluation import Judge, Scores, accuracy, estimate
from tinyfleet.simulations.reproduce.cells import Cell, Table, command_of
from tinyfleet.simulations.reproduce.work import Work
from tinyfleet.task import TaskBatch

NAME, WAYS, SHOTS = "keywords", 5, (1, 5)
NOTES = """
TinyMetaFed, tuned as in Table 4, on tasks of five keywords and of speakers that are both unseen,
beside the nearest class mean of the same tasks' MFCCs. *One speaker*: a device hears one person.
*Across speakers*: support and query are of different people. The *published* column holds a
nearest-class-mean reference that was measured before on this data set, not a paper's figure.
"""

SETTINGS: Mapping[str, tuple[Mapping[str, Any], tuple[float, float]]] = {
    "one speaker": ({"speakers": 1, "support": 4, "training": {"rate": 0.01}}, (74.4, 91.6)),
    "across speakers": ({"across": True, "training": {"rate": 0.04}}, (44.5, 68.3)),
}
"""How a device's tasks are made, and the reference with one and five shots."""


def nearest_class_mean(batch: TaskBatch, rows: int) -> Scores:
    """Return the accuracy in percent of naming the nearest class mean, `(n,)`.

    Args:
        batch: tasks with one-hot targets, and a support in blocks of one row a class.
        rows: support rows that are known.
    """
    n, classes = len(batch), batch.support_y.shape[2]
    known, labels = batch.support_x[:, :rows].reshape(n, rows, -1), batch.support_y[:, :rows]
    asked = batch.query_x.reshape(n, batch.query_x.shape[1], -1)
    counts = labels.sum(axis=1)[..., None]
    means = np.einsum("nrc,nrf->ncf", labels, known, dtype=np.float64) / counts
    apart = np.empty((n, asked.shape[1], classes))
    for c in range(classes):
        apart[:, :, c] = ((asked - means[:, c, None]) ** 2).sum(axis=2)
    return accuracy(-apart.astype(np.float32), batch.query_y)


def cells(work: Work) -> Sequence[Cell]:
    """Return ours and the nearest class mean, within one speaker and across speakers."""
    found = []
    for setting, (values, reference) in SETTINGS.items():
        asked: dict[str, Any] = {
            "app": "keywords",
            "strategy": "tinymetafed",
            "share": 1.0,
            "ways": WAYS,
        }
        asked |= {"network": "keywords-mcu-5", "shots": list(SHOTS)}
        ran = work.study(f"keywords-{setting.replace(' ', '-')}", {**asked, **values})
        for shots, told in zip(SHOTS, reference, strict=True):
            column, score = f"{shots} shot{'s' if shots > 1 else ''}", ran.score(shots)
            plain = estimate(_means(ran.setup.test, shots))
            again = command_of(NAME)
            for who, found_score in (("TinyMetaFed", score), ("nearest class mean", plain)):
                row = f"5-way, {setting}, {who}"
                found.append(
                    Cell(NAME, row, column, found_score.mean, found_score.ci95, told, again, "%")
                )
    return found


def _means(judge: Judge, shots: int) -> Scores:
    devices = np.arange(judge.tasks, dtype=np.int64)
    batches = np.array_split(devices, max(1, judge.tasks // 64))
    rows = shots * judge.rows_per_shot
    return np.concatenate(
        [nearest_class_mean(judge.family.batch(some, 0), rows) for some in batches]
    )


TABLE = Table(NAME, "Keywords and speakers that nobody has heard", "ours", cells, NOTES)
