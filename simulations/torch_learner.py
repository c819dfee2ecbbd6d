"""Learning by torch's autograd: any module, one device or many at once, on a CPU or a GPU.

It follows assignments as the kernel does, so it checks the kernel from outside and trains what the
kernel cannot. Sums run in torch's own order: results agree with the kernel's, not bit for bit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import grad, vmap

from tinyfleet.errors import NetworkError, TrainingError
from tinyfleet.exchange import Exchange
from tinyfleet.follow import local_start
from tinyfleet.messages import (
    ADAM_BETA1,
    ADAM_BETA2,
    ADAM_EPSILON,
    Assignment,
    Training,
    Update,
)
from tinyfleet.network import Loss, Network, check_layers, check_weights
from tinyfleet.simulations.torch_model import TorchModel, module_model, network_model
from tinyfleet.task import Task, TaskBatch, check_finite

Floats = NDArray[np.float32]

# From vectors `(n, P)`, a batch `(n, b, ...)`, `(n, b, outputs)` and which of its samples count,
# `(n, b)`, to the gradients `(n, P)` of their mean loss and the sums of their losses `(n,)`.
Gradient = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: how it splits a sum over more decides the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Stream:
    """Samples of `n` devices: `x` `(n, s, ...)`, `y` `(n, s, outputs)`, how many count `(n,)`."""

    x: Tensor
    y: Tensor
    counts: Tensor


@dataclass(frozen=True)
class _Moments:
    """Adam's running means `(n, P)` and each device's steps so far `(n, 1)`."""

    first: Tensor
    second: Tensor
    steps: Tensor


@dataclass(frozen=True)
class TorchLearner:
    """Learns with autograd.

    Attributes:
        model: the module and its place in the vector.
        device: where torch computes, such as "cpu" or "cuda".

    >>> from tinyfleet.networks import sine
    >>> TorchLearner.of_network(sine()).model.parameters
    1153
    """

    model: TorchModel
    device: str = "cpu"

    @classmethod
    def of_network(cls, network: Network, device: str = "cpu") -> "TorchLearner":
        """Return a learner of `network`, with the network's own vector."""
        return cls(network_model(network), device)

    @classmethod
    def of_module(
        cls, factory: Callable[[], nn.Module], loss: Loss, device: str = "cpu"
    ) -> "TorchLearner":
        """Return a learner of any module; see `module_model` for its vector and its layers."""
        return cls(module_model(factory, loss), device)

    def learn(self, assignment: Assignment, task: Task, device: int = 0) -> Update:
        """See `tinyfleet.Learner`."""
        exchange = Exchange.of(self.model, assignment)
        weights, losses = self._follow(self._alone, exchange.arrived, task.alone(), (device,))
        return exchange.update(device, weights[0], losses[0], _examples(assignment, task))

    def learn_many(
        self, assignment: Assignment, tasks: TaskBatch, devices: Sequence[int] | None = None
    ) -> tuple[Floats, Floats]:
        """Follow `assignment` on every task at once, through `torch.func.vmap`.

        Args:
            assignment: one for all; its share is not applied.
            tasks: of `n` devices; their supports may differ in length.
            devices: who they are, for what they draw; 0..n-1 when not given.

        Returns:
            The weights `(n, parameters)` and the mean losses `(n,)`.

        Raises:
            NetworkError: the vector or the examples do not fit the module.
        """
        return self._follow(
            self._together, assignment, tasks, range(len(tasks)) if devices is None else devices
        )

    def predict(self, weights: Floats, x: Floats) -> Floats:
        """Return outputs `(n, q, outputs)`; weights `(n, parameters)`, examples `(n, q, ...)`."""
        with torch.no_grad():
            outputs = vmap(self.model.outputs)(self._tensor(weights), self._tensor(x))
        result: Floats = outputs.cpu().numpy()
        return result

    def _follow(
        self, gradient: Gradient, assignment: Assignment, tasks: TaskBatch, devices: Sequence[int]
    ) -> tuple[Floats, Floats]:
        self._check(assignment, tasks)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(assignment.seed)
            weights, losses = self._phases(gradient, assignment, tasks, devices)
        return weights.cpu().numpy(), losses.cpu().numpy()

    def _phases(
        self, gradient: Gradient, assignment: Assignment, tasks: TaskBatch, devices: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Learn the support; then what `tinyfleet.follow.follow` learns after it."""
        training, frozen = assignment.training, set(assignment.frozen)
        start = self._tensor(local_start(self.model, assignment, devices))
        counts = torch.as_tensor(tasks.counts, device=self.device)
        support = _Stream(self._tensor(tasks.support_x), self._tensor(tasks.support_y), counts)
        then = support
        if assignment.learns_query:
            q = torch.full_like(counts, tasks.query_x.shape[1])
            then = _Stream(self._tensor(tasks.query_x), self._tensor(tasks.query_y), q)
        local = set(assignment.local)
        others = set(self.model.parts) - local if local else set()
        learned, first = _train(gradient, training, start, support, self._learns(others | frozen))
        if not local and assignment.answer == "weights":
            return learned, first
        how = training if local else Training(rate=training.rate, batch=0)
        weights, second = _train(gradient, how, learned, then, self._learns(local | frozen))
        if assignment.answer == "gradient":
            weights = start + (weights - learned)
        return weights, (first * counts + second * then.counts) / (counts + then.counts)

    def _learns(self, frozen: set[str]) -> Tensor:
        """Return which entries of the vector may move, `(parameters,)` bool."""
        learns = torch.ones(self.model.parameters, dtype=torch.bool, device=self.device)
        for name in frozen:
            learns[self.model.parts[name].slice] = False
        return learns

    def _tensor(self, array: Floats) -> Tensor:
        return torch.tensor(array, device=self.device)

    def _objective(
        self, vector: Tensor, x: Tensor, y: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        losses = self.model.losses(vector, x, y)
        total = torch.where(counted, losses, torch.zeros_like(losses)).sum()
        return total / counted.sum().clamp(min=1), total

    def _together(
        self, vectors: Tensor, x: Tensor, y: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        each = vmap(grad(self._objective, has_aux=True), randomness="different")
        gradients, totals = each(vectors, x, y, counted)
        return gradients, totals.detach()

    def _alone(
        self, vectors: Tensor, x: Tensor, y: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        vector = vectors[0].detach().requires_grad_()
        mean, total = self._objective(vector, x[0], y[0], counted[0])
        (gradient,) = torch.autograd.grad(mean, vector)
        return gradient[None], total.detach()[None]

    def _check(self, assignment: Assignment, tasks: TaskBatch) -> None:
        model = self.model
        check_weights(model, assignment.weights, f"round {assignment.round}: weights")
        check_layers(model, assignment.frozen, "assignment.frozen")
        check_layers(model, assignment.local, "assignment.local")
        if assignment.learns_query and not tasks.query_x.shape[1]:
            asking = "local" if assignment.local else "answer"
            raise TrainingError(f"assignment.{asking}: expected a query to learn from, got none")
        for name, x, y in (
            ("support", tasks.support_x, tasks.support_y),
            ("query", tasks.query_x, tasks.query_y),
        ):
            check_finite(f"{name}_x", x)
            check_finite(f"{name}_y", y)
            if x.shape[1]:
                self._check_fit(name, assignment.weights, x, y)

    def _check_fit(self, name: str, weights: Floats, x: Floats, y: Floats) -> None:
        model = self.model
        if model.input_shape not in (None, x.shape[2:]):
            raise NetworkError(
                f"{name}_x: {model.name} expects examples of {model.input_shape}, got {x.shape[2:]}"
            )
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                shape = tuple(model.outputs(self._tensor(weights), self._tensor(x[0, :2])).shape)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise NetworkError(
                f"{name}_x: {model.name} cannot take examples of {x.shape[2:]}: {reason}"
            ) from None
        if shape[1:] != y.shape[2:]:
            raise NetworkError(
                f"{name}_y: {model.name} expects targets of {shape[1:]}, got {y.shape[2:]}"
            )


def _examples(assignment: Assignment, task: Task) -> int:
    """Return the samples that a device learns from, each counted once a pass."""
    s, q, passes = len(task.support_x), len(task.query_x), assignment.training.passes
    if assignment.answer == "gradient":
        return s * passes + q
    if assignment.local:
        return (s + (q if assignment.learns_query else s)) * passes
    return s * passes


def _train(
    gradient: Gradient, training: Training, start: Tensor, stream: _Stream, learns: Tensor
) -> tuple[Tensor, Tensor]:
    """Train `n` devices from `start` `(n, P)`; return weights and mean losses `(n,)`."""
    vectors, samples = start, stream.x.shape[1]
    batch = training.batch or samples
    places = torch.arange(samples, device=start.device)
    totals = torch.zeros(len(start), device=start.device)
    moments = _Moments(torch.zeros_like(start), torch.zeros_like(start), totals[:, None])
    for _ in range(training.passes):
        for first in range(0, samples, batch):
            at = slice(first, first + batch)
            counted = places[None, at] < stream.counts[:, None]
            g, losses = gradient(vectors, stream.x[:, at], stream.y[:, at], counted)
            totals = totals + losses
            g = g + training.proximal * (vectors - start)
            active = counted.any(dim=1, keepdim=True)
            if training.optimizer == "adam":
                moments, g = _adam(moments, g, active)
            vectors = torch.where(active & learns, vectors - training.rate * g, vectors)
    return vectors, totals / (stream.counts * training.passes)


def _adam(moments: _Moments, g: Tensor, active: Tensor) -> tuple[_Moments, Tensor]:
    """Return the moments after gradient `g` of the active devices, and the direction to move."""
    steps = moments.steps + active
    first = torch.where(active, ADAM_BETA1 * moments.first + (1 - ADAM_BETA1) * g, moments.first)
    second = torch.where(
        active, ADAM_BETA2 * moments.second + (1 - ADAM_BETA2) * g * g, moments.second
    )
    known = steps.clamp(min=1)
    root = (second / (1 - ADAM_BETA2**known)).sqrt() + ADAM_EPSILON
    return _Moments(first, second, steps), first / (1 - ADAM_BETA1**known) / root
