"""One held-out curve before and after fine-tuning, for people to look at."""

import io
from dataclasses import replace

import numpy as np

from tinyfleet.binding import variants
from tinyfleet.follow import follow
from tinyfleet.kernel_learner import Kernel
from tinyfleet.messages import Assignment, Floats
from tinyfleet.simulations.evaluation import Judge


def example_of(judge: Judge, weights: Floats, points: int, passes: int, rate: float) -> bytes:
    """Return an .npz of the judge's first task, fine-tuned on `points` points.

    Its arrays are `x`, `truth`, `before` and `after`, `(q,)` each, and `support_x` and `support_y`,
    `(points,)`.
    """
    kernel = Kernel(judge.network, variants()[-1])
    tasks = judge.family.batch(np.zeros(1, np.int64), 0)
    support = replace(
        tasks,
        support_x=tasks.support_x[:, :points],
        support_y=tasks.support_y[:, :points],
        counts=np.array([points], np.int32),
    )
    training = replace(judge.training, passes=passes, rate=rate)
    start = judge.start(weights, [0])
    assignment = Assignment(0, start, training, frozen=judge.frozen)
    tuned = follow(kernel, assignment, support, [0]).weights
    order = np.argsort(tasks.query_x.reshape(-1), kind="stable")
    block = io.BytesIO()
    np.savez(
        block,
        x=tasks.query_x.reshape(-1)[order],
        truth=tasks.query_y.reshape(-1)[order],
        before=kernel.predict(start, tasks.query_x).reshape(-1)[order],
        after=kernel.predict(tuned, tasks.query_x).reshape(-1)[order],
        support_x=support.support_x.reshape(-1),
        support_y=support.support_y.reshape(-1),
    )
    return block.getvalue()
