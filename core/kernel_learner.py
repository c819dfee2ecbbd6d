"""The kernel as a learner: one device as a gateway runs it, or many side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyfleet.binding import Program, Variant, variant
from tinyfleet.errors import NetworkError, TrainingError
from tinyfleet.messages import Assignment, Training, Update
from tinyfleet.network import Layout, Network
from tinyfleet.plan import plan
from tinyfleet.task import Task, TaskBatch, check_finite

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Learned:
    """What `n` devices learned: weights `(n, parameters)`, mean losses and examples `(n,)`."""

    weights: Floats
    losses: Floats
    examples: NDArray[np.int32]


@dataclass(frozen=True)
class Kernel:
    """A network, lowered once for every set of frozen layers that is asked for.

    Attributes:
        network: what is trained.
        variant: the build of the kernel that trains it.
    """

    network: Network
    variant: Variant
    _programs: dict[frozenset[str], Program] = field(default_factory=dict, repr=False, compare=False)

    def program(self, frozen: frozenset[str] = frozenset()) -> Program:
        """Return the program that leaves the layers in `frozen` as they are."""
        if frozen not in self._programs:
            self._programs[frozen] = Program(plan(self.network, frozen))
        return self._programs[frozen]

    def learn(self, assignment: Assignment, tasks: TaskBatch, devices: Sequence[int]) -> Learned:
        """Follow `assignment` on tasks whose supports all have the same length."""
        samples = int(tasks.counts[0])
        if (tasks.counts != samples).any():
            raise TrainingError("expected supports of one length; group the devices by it")
        x, y = _rows(tasks.support_x[:, :samples]), tasks.support_y[:, :samples]
        frozen = frozenset(assignment.frozen)
        if not assignment.local:
            weights, losses = self._train(assignment.training, assignment.weights, x, y, frozen)
            return Learned(weights, losses, tasks.counts * np.int32(assignment.training.passes))
        return self._reconstruct(assignment, tasks, devices, (x, y))

    def _reconstruct(
        self,
        assignment: Assignment,
        tasks: TaskBatch,
        devices: Sequence[int],
        support: tuple[Floats, Floats],
    ) -> Learned:
        """Rebuild the local part on the support, then learn the rest on the query (TinyMetaFed)."""
        local, frozen = frozenset(assignment.local), frozenset(assignment.frozen)
        others = frozenset(self.network.parts) - local
        start = self._local_start(assignment, devices)
        training = assignment.training
        rebuilt, first = self._train(training, start, *support, others | frozen)
        queries = _rows(tasks.query_x)
        if not queries.shape[1]:
            raise TrainingError("assignment.local: expected a query to learn from, got none")
        weights, second = self._train(training, rebuilt, queries, tasks.query_y, local | frozen)
        s, q = support[0].shape[1], queries.shape[1]
        losses = (first * np.float32(s) + second * np.float32(q)) / np.float32(s + q)
        examples = np.full(len(devices), (s + q) * training.passes, np.int32)
        return Learned(weights, losses, examples)

    def _local_start(self, assignment: Assignment, devices: Sequence[int]) -> Floats:
        self.network.check_layers(assignment.local, "local")
        start = np.repeat(assignment.weights[None], len(devices), axis=0)
        if assignment.local_start == "received":
            return start
        for row, device in zip(start, devices, strict=True):
            seed = (assignment.seed, assignment.round, device)
            fresh = self.network.init(seed) if assignment.local_start == "fresh" else None
            for name in assignment.local:
                part = self.network.parts[name].slice
                row[part] = 0.0 if fresh is None else fresh[part]
        return start

    def _train(
        self, training: Training, start: Floats, x: Floats, y: Floats, frozen: frozenset[str]
    ) -> tuple[Floats, Floats]:
        return self.program(frozen).learn(self.variant, training, start, x, y)

    def predict(self, weights: Floats, x: Floats) -> Floats:
        """Return outputs `(n, q, outputs)` for `weights` `(parameters,)` or `(n, parameters)`."""
        return self.program().predict(self.variant, weights, _rows(x))


def _rows(x: Floats) -> Floats:
    """Return `(n, s, inputs)` from `(n, s, *input_shape)`."""
    return x.reshape(*x.shape[:2], int(np.prod(x.shape[2:])))


def check_assignment(network: Network, assignment: Assignment) -> None:
    """Raise `NetworkError` unless the weights and the named layers are this network's."""
    network.check_weights(assignment.weights, f"round {assignment.round}: weights")
    network.check_layers(assignment.frozen, "assignment.frozen")
    network.check_layers(assignment.local, "assignment.local")


def check_tasks(network: Network, tasks: TaskBatch) -> None:
    """Raise unless the examples have the network's shapes and are finite."""
    for name, array, shape in (
        ("support_x", tasks.support_x, network.input_shape),
        ("query_x", tasks.query_x, network.input_shape),
        ("support_y", tasks.support_y, (network.outputs,)),
        ("query_y", tasks.query_y, (network.outputs,)),
    ):
        if array.shape[2:] != shape:
            raise NetworkError(
                f"{name}: {network.name} expects examples of {shape}, got {array.shape[2:]}"
            )
        check_finite(name, array)


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
    learned: tuple[Floats, np.float32, np.int32],
    places: NDArray[np.int32] | None,
    down: int,
) -> Update:
    """Pack what one device learned, its top share by size of change first chosen, then ordered.

    Equal changes are taken from the lower place, so that every machine returns the same entries.
    """
    weights, loss, examples = learned
    values, indices = weights, places
    if places is not None:
        values = weights[places]
    if assignment.share < 1.0:
        if indices is None:
            indices = np.arange(len(weights), dtype=np.int32)
        moved = np.abs(values - assignment.weights[indices])
        count = max(1, round(assignment.share * len(indices)))
        chosen = np.sort(np.argsort(-moved, kind="stable")[:count])
        values, indices = values[chosen], indices[chosen]
    return Update(device, assignment.round, values, indices, int(examples), float(loss), down)


class KernelLearner:
    """A device in this process, trained by the scalar kernel: what a microcontroller computes."""

    def __init__(self, network: Network, variant_name: str = "scalar") -> None:
        self.network = network
        self._kernel = Kernel(network, variant(variant_name))

    def learn(self, assignment: Assignment, task: Task, device: int = 0) -> Update:
        """See `tinyfleet.Learner`."""
        tasks = TaskBatch(
            task.support_x[None],
            task.support_y[None],
            task.query_x[None],
            task.query_y[None],
            np.array([len(task.support_x)], np.int32),
        )
        check_assignment(self.network, assignment)
        check_tasks(self.network, tasks)
        result = self._kernel.learn(assignment, tasks, [device])
        learned = (result.weights[0], result.losses[0], result.examples[0])
        places = returned(self.network, assignment)
        return to_update(
            device, assignment, learned, places, received(self.network, assignment)
        )
