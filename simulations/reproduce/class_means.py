"""The nearest class mean of the samples as they are: what a table of few shots stands beside."""

import numpy as np

from tinyfleet.simulations.evaluation import Estimate, Judge, Scores, accuracy, estimate
from tinyfleet.task import TaskBatch

_GROUP = 64  # tasks that are looked at side by side


def class_means(judge: Judge, shots: int) -> Estimate:
    """Return the accuracy in percent of naming the nearest class mean on the judge's tasks."""
    devices = np.arange(judge.tasks, dtype=np.int64)
    groups = np.array_split(devices, max(1, judge.tasks // _GROUP))
    rows = shots * judge.rows_per_shot
    scores = [nearest_class_mean(judge.family.batch(some, 0), rows) for some in groups]
    return estimate(np.concatenate(scores))


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
