"""Conventional training, in one place, on what a fleet's devices have: what is transferred."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import StudyError
from tinyfleet.layers import Dense
from tinyfleet.messages import Assignment, Floats, Training
from tinyfleet.network import Network
from tinyfleet.simulations.assemble import Setup
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.task import Task

ADAM = Training(rate=0.001, batch=64, optimizer="adam")


@runtime_checkable
class Classed(TaskFamily, Protocol):
    """A family whose devices tell apart some of many classes."""

    def classes(self, devices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return each device's classes in the order of its labels, `(n, ways)`."""
        ...


@dataclass(frozen=True)
class Pretraining:
    """How a network is trained conventionally.

    Attributes:
        epochs: times that the devices' samples are gone through; each draws them anew.
        devices: training devices whose supports are pooled.
        training: how; all samples are one stream.
    """

    epochs: int = 8
    devices: int = 200
    training: Training = ADAM


PRETRAINING = Pretraining()


def pretrained(setup: Setup, how: Pretraining = PRETRAINING) -> Floats:
    """Return weights, `(parameters,)`, trained conventionally on the training part, pooled.

    Where devices tell classes of their own apart, the network is trained to tell all that they have
    apart, by a wider last layer that is then replaced by a random one. Else all samples are one
    problem.

    Raises:
        StudyError: the tasks do not name a device's classes, or the last layer is no dense one.
    """
    network, seed = setup.network, setup.study.seed
    names_classes = network.loss == "softmax-cross-entropy"
    first = pooled_training(setup, how.devices)
    wide = widened(network, first[1].shape[1]) if names_classes else network

    def draw(epoch: int) -> tuple[Floats, Floats]:
        return first if epoch == 1 else pooled_training(setup, how.devices, epoch)

    weights = train(wide, wide.init(seed), draw, how.epochs, seed, how.training)
    if not names_classes:
        return weights
    body = body_of(network).parameters
    return np.concatenate([weights[:body], network.init(seed)[body:]])


def train(
    network: Network,
    start: Floats,
    draw: Callable[[int], tuple[Floats, Floats]],
    epochs: int,
    seed: int,
    training: Training = ADAM,
) -> Floats:
    """Return weights, `(parameters,)`, after epochs over samples in an order drawn for each.

    Args:
        network: what is trained; softmax cross-entropy takes soft targets as well.
        start: where from.
        draw: returns an epoch's examples `(n, *input_shape)` and targets `(n, outputs)`, from 1 on.
        epochs: how many.
        seed: seed of their orders.
        training: how.
    """
    from tinyfleet.simulations.torch_learner import TorchLearner, one_thread  # take a second

    learner, weights = TorchLearner.of_network(network), start
    order = np.random.default_rng(seed)
    with one_thread():
        for epoch in range(1, epochs + 1):
            x, y = draw(epoch)
            mixed = order.permutation(len(x))
            task = Task(x[mixed], y[mixed], x[:0], y[:0])
            weights = learner.learn(Assignment(epoch, weights, training), task).values
    return weights


def pooled_training(setup: Setup, devices: int, round_number: int = 1) -> tuple[Floats, Floats]:
    """Return the support samples of training devices, `(n, *input_shape)`, and their targets.

    Args:
        setup: the study whose training part is pooled.
        devices: how many devices, from the first on; no more than the study has.
        round_number: the round whose samples they are.

    Returns:
        The samples, and targets `(n, classes)` over all classes that these devices have; without
        classes of their own, `(n, outputs)` as the devices have them.

    Raises:
        StudyError: the tasks do not name a device's classes.
    """
    family = setup.fleet.tasks
    chosen = np.arange(min(devices, setup.study.devices))
    batch = family.batch(chosen, round_number)
    real = np.arange(batch.support_x.shape[1]) < batch.counts[:, None]
    x, y = batch.support_x[real], batch.support_y
    if setup.network.loss != "softmax-cross-entropy":
        return x, y[real]
    classes = _classes(family, chosen)
    names = np.take_along_axis(classes, y.argmax(axis=2), axis=1)
    return x, np.eye(int(classes.max()) + 1, dtype=np.float32)[names[real]]


def _classes(family: TaskFamily, devices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each device's classes, `(n, ways)`, numbered from 0 among those that they have."""
    if not isinstance(family, Classed):
        raise StudyError(
            f"baselines: expected tasks that name the classes of a device, got {family.provenance}"
        )
    found = family.classes(devices)
    return np.unique(found, return_inverse=True)[1].reshape(found.shape)


def body_of(network: Network) -> Network:
    """Return the network without its last layer, whose output is what that layer receives.

    >>> from tinyfleet.networks import named_network
    >>> body_of(named_network("characters")).outputs
    512

    Raises:
        StudyError: the last layer is no dense one.
    """
    if not isinstance(network.layers[-1][1], Dense):
        raise StudyError(
            f"baselines: expected a network that ends in a dense layer, got {network.name}, "
            f"which ends in {network.layers[-1][0]}"
        )
    return Network(f"{network.name}-body", network.input_shape, network.layers[:-1], "mean-square")


def widened(network: Network, outputs: int) -> Network:
    """Return the network with a last layer of `outputs`.

    Raises:
        StudyError: the last layer is no dense one.
    """
    head = (network.layers[-1][0], Dense(outputs))
    return replace(network, layers=(*body_of(network).layers, head))
