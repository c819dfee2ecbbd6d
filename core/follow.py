"""How an assignment is followed, whatever computes: whole networks, frozen layers, local layers.

An `Engine` trains; this says what with, from where and on which samples, and packs what comes back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import NetworkError, TrainingError
from tinyfleet.messages import Assignment, Training, Update
from tinyfleet.network import Layout, Network, check_layers
from tinyfleet.task import TaskBatch, check_counts, check_finite

Floats = NDArray[np.float32]


class Engine(Protocol):
    """Trains `n` devices of one network on streams of one length."""

    @property
    def network(self) -> Network:
        """What is trained."""
        ...

    def train(
        self, training: Training, start: Floats, x: Floats, y: Floats, frozen: frozenset[str]
    ) -> tuple[Floats, Floats]:
        """Train from `start`, `(parameters,)` or `(n, parameters)`.

        Args:
            training: how; all devices alike.
            start: where from.
            x: samples `(n, s, inputs)`.
            y: targets `(n, s, outputs)`.
            frozen: layers that stay as they are.

        Returns:
            The weights `(n, parameters)` and the mean losses `(n,)`.
        """
        ...


@dataclass(frozen=True)
class Learned:
    """What `n` devices learned: weights `(n, parameters)`, mean losses and examples `(n,)`."""

    weights: Floats
    losses: Floats
    examples: NDArray[np.int64]


def rows(x: Floats) -> Floats:
    """Return `(n, s, inputs)` from `(n, s, *input_shape)`."""
    return x.reshape(*x.shape[:2], int(np.prod(x.shape[2:])))


def follow(
    engine: Engine, assignment: Assignment, tasks: TaskBatch, devices: Sequence[int]
) -> Learned:
    """Follow `assignment` on tasks whose supports all have the same length.

    Raises:
        TrainingError: supports of different lengths, or local layers without a query.
    """
    samples = int(tasks.counts[0])
    if (tasks.counts != samples).any():
        raise TrainingError("expected supports of one length; group the devices by it")
    x, y = rows(tasks.support_x[:, :samples]), tasks.support_y[:, :samples]
    if assignment.learns_query and not tasks.query_x.shape[1]:
        asking = "local" if assignment.local else "answer"
        raise TrainingError(f"assignment.{asking}: expected a query to learn from, got none")
    if assignment.local:
        return _reconstruct(engine, assignment, tasks, devices, (x, y))
    frozen, training = frozenset(assignment.frozen), assignment.training
    weights, losses = engine.train(training, assignment.weights, x, y, frozen)
    learned = Learned(weights, losses, tasks.counts * np.int64(training.passes))
    if assignment.answer == "gradient":
        return _gradient(engine, assignment, tasks, learned)
    return learned


def _gradient(
    engine: Engine, assignment: Assignment, tasks: TaskBatch, adapted: Learned
) -> Learned:
    """Move the received weights by the query's gradient at the adapted ones (first-order MAML)."""
    step = Training(rate=assignment.training.rate, batch=0)
    queries, frozen = rows(tasks.query_x), frozenset(assignment.frozen)
    stepped, second = engine.train(step, adapted.weights, queries, tasks.query_y, frozen)
    s, q = int(tasks.counts[0]), queries.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):  # a device that diverged is refused later
        weights = assignment.weights + (stepped - adapted.weights)
    losses = _mean_loss((adapted.losses, s), (second, q))
    return Learned(weights, losses, adapted.examples + q)


def _reconstruct(
    engine: Engine,
    assignment: Assignment,
    tasks: TaskBatch,
    devices: Sequence[int],
    support: tuple[Floats, Floats],
) -> Learned:
    """Rebuild the local part on the support, then learn the rest (TinyMetaFed, FedRep)."""
    local, frozen = frozenset(assignment.local), frozenset(assignment.frozen)
    others = frozenset(engine.network.parts) - local
    training, then = assignment.training, support
    if assignment.shared_from == "query":
        then = rows(tasks.query_x), tasks.query_y
    s, q = support[0].shape[1], then[0].shape[1]
    start = local_start(engine.network, assignment, devices)
    rebuilt, first = engine.train(training, start, *support, others | frozen)
    weights, second = engine.train(training, rebuilt, *then, local | frozen)
    losses = _mean_loss((first, s), (second, q))
    return Learned(weights, losses, np.full(len(devices), (s + q) * training.passes, np.int64))


def _mean_loss(one: tuple[Floats, int], other: tuple[Floats, int]) -> Floats:
    """Return the mean of two mean losses `(n,)`, each of so many samples."""
    (first, s), (second, q) = one, other
    with np.errstate(over="ignore"):
        return np.asarray((first * s + second * q) / (s + q), np.float32)


def local_start(network: Layout, assignment: Assignment, devices: Sequence[int]) -> Floats:
    """Return where devices start, `(n, parameters)`: received weights, but for local layers."""
    check_layers(network, assignment.local, "assignment.local")
    start = np.repeat(assignment.weights[None], len(devices), axis=0)
    if assignment.local_start == "received":
        return start
    for row, device in zip(start, devices, strict=True):
        seed = (assignment.seed, assignment.round, device)
        fresh = network.init(seed) if assignment.local_start == "fresh" else np.zeros_like(row)
        for name in assignment.local:
            part = network.parts[name].slice
            row[part] = fresh[part]
    return start


def check_assignment(network: Network, assignment: Assignment) -> None:
    """Raise `NetworkError` unless the weights and the named layers are this network's."""
    network.check_weights(assignment.weights, f"round {assignment.round}: weights")
    network.check_layers(assignment.frozen, "assignment.frozen")
    network.check_layers(assignment.local, "assignment.local")


def check_tasks(network: Network, tasks: TaskBatch) -> None:
    """Raise unless examples fit the network and each other, and are finite.

    Raises:
        NetworkError: an array is not float32, or has not the shape that `TaskBatch` tells.
        DatasetError: a number is NaN or infinity, or a count is none of its support.
    """
    x, y = network.input_shape, (network.outputs,)
    one_hot = f"labels one-hot, np.eye({network.outputs}, dtype=np.float32)[labels]"
    for part, inputs, targets in (
        ("support", tasks.support_x, tasks.support_y),
        ("query", tasks.query_x, tasks.query_y),
    ):
        length = np.shape(inputs)[1:2]
        for name, array, shape, hint in (
            (f"{part}_x", inputs, x, "np.float32(x) by device and row"),
            (f"{part}_y", targets, y, f"np.float32(y) by device and row, {one_hot}"),
        ):
            expected = (len(tasks), *length, *shape)
            if array.dtype != np.float32 or array.shape != expected:
                raise NetworkError(
                    f"{name}: {network.name} expects float32 of shape {expected}, "
                    f"got {array.dtype} of shape {array.shape}; give {hint}"
                )
            check_finite(name, array)
    check_counts(tasks)


def returned(network: Layout, assignment: Assignment) -> NDArray[np.int32] | None:
    """Return the places of the vector that a device may return; None stands for all of them.

    Local layers stay on the device, and frozen ones have not changed.
    """
    kept = set(assignment.local) | set(assignment.frozen)
    if not kept:
        return None
    parts = [np.arange(p.start, p.stop) for n, p in network.parts.items() if n not in kept]
    return np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int32)


def received(network: Layout, assignment: Assignment) -> int:
    """Return how many parameters travel to a device: all but those of its local layers."""
    local = sum(network.parts[n].stop - network.parts[n].start for n in assignment.local)
    return network.parameters - local


def to_update(
    device: int,
    assignment: Assignment,
    learned: tuple[Floats, np.float32, int],
    places: NDArray[np.int32] | None,
    down: int,
) -> Update:
    """Pack what one device learned, its top share by size of change first chosen, then ordered.

    Equal changes are taken from the lower place, so that every machine returns the same entries.
    A device that has diverged returns every entry that it may, whatever its share, so that nothing
    hides the NaN or infinity for which its update is refused.
    """
    weights, loss, examples = learned
    values, indices = weights, places
    if places is not None:
        values = weights[places]
    if assignment.share < 1.0 and np.isfinite(weights).all():
        if indices is None:
            indices = np.arange(len(weights), dtype=np.int32)
        with np.errstate(over="ignore"):
            moved = np.abs(values - assignment.weights[indices])
        count = max(1, round(assignment.share * len(indices)))
        chosen = np.sort(np.argsort(-moved, kind="stable")[:count])
        values, indices = values[chosen], indices[chosen]
    return Update(device, assignment.round, values, indices, examples, float(loss), down)
