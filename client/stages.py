"""The streams that a board learns in one round, one after the other, and what they come to."""

from dataclasses import dataclass

import numpy as np

from tinyfleet.errors import TrainingError
from tinyfleet.follow import rows
from tinyfleet.messages import Assignment, Floats
from tinyfleet.network import Network
from tinyfleet.plan import Plan, plan
from tinyfleet.task import Task
from tinyfleet.wire import Result


@dataclass(frozen=True)
class Stage:
    """One stream to learn.

    Attributes:
        plan: the program that learns it.
        samples: how many there are.
        stream: the samples, `(samples, inputs + outputs)`; None for the board's own sensor's.
    """

    plan: Plan
    samples: int
    stream: Floats | None = None


def stages_of(network: Network, assignment: Assignment, task: Task) -> list[Stage]:
    """Return what `tinyfleet.follow.follow` would train: one stream, or two for local layers."""
    frozen, local = frozenset(assignment.frozen), frozenset(assignment.local)
    support = len(task.support_x), stream_of(task.support_x, task.support_y)
    if not local:
        return [Stage(plan(network, frozen), *support)]
    if assignment.learns_query and not len(task.query_x):
        raise TrainingError("assignment.local: expected a query to learn from, got none")
    others = frozenset(network.parts) - local
    then = support
    if assignment.learns_query:
        then = len(task.query_x), stream_of(task.query_x, task.query_y)
    return [
        Stage(plan(network, others | frozen), *support),
        Stage(plan(network, local | frozen), *then),
    ]


def stream_of(x: Floats, y: Floats) -> Floats:
    """Return `(n, inputs + outputs)`: each sample, then its target."""
    return np.concatenate([rows(x[None])[0], y], axis=1)


def mean_of(results: list[Result], stages: list[Stage], passes: int) -> tuple[np.float32, int]:
    """Return the mean loss of all stages and the samples learned, as `follow` computes them."""
    losses = np.array([result.loss for result in results], np.float32)
    counts = [stage.samples for stage in stages]
    if len(counts) == 1:
        return losses[0], counts[0] * passes
    s, q = counts
    loss = (losses[:1] * s + losses[1:] * q) / (s + q)
    return loss.astype(np.float32)[0], (s + q) * passes
