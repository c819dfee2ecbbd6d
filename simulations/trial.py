"""Train a study's algorithm without Flower, so that a device may keep what its encoding lost.

What `tinyfleet simulate` computes, without its journal and a few milliseconds a round faster; and
with error feedback, if asked: what rounding and a share leave behind is kept on the device and
added to what it sends the next time (Seide et al. 2014; Karimireddy et al. 2019, arXiv 1901.09847).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyfleet.binding import variants
from tinyfleet.exchange import Exchange
from tinyfleet.follow import check_tasks, follow
from tinyfleet.kernel_learner import Kernel
from tinyfleet.mean import mean_of_updates
from tinyfleet.messages import Assignment, Floats, Update
from tinyfleet.network import Network
from tinyfleet.server.algorithms import Algorithm, Knobs
from tinyfleet.server.meta import Moments
from tinyfleet.server.settings import choose
from tinyfleet.simulations.tasks.family import TaskFamily


@dataclass(frozen=True)
class Trial:
    """What is trained, where, and how updates travel.

    Attributes:
        network: what is trained.
        tasks: what devices have to learn.
        devices: how many there are.
        algorithm: how they learn together.
        knobs: its settings; `per_round` devices are drawn each round, 0 for all.
        feedback: whether devices keep what did not travel and send it the next time.
    """

    network: Network
    tasks: TaskFamily
    devices: int
    algorithm: Algorithm
    knobs: Knobs
    feedback: bool = False


@dataclass(frozen=True)
class Trained:
    """What came of it: weights `(parameters,)`, and the bytes of all messages, both ways."""

    weights: Floats = field(repr=False)
    bytes: int


def train(trial: Trial) -> Trained:
    """Run the rounds of `trial` one after the other on one core.

    Raises:
        FleetError: the weights leave float32, or the tasks do not fit the network.
    """
    knobs, network = trial.knobs, trial.network
    settings, step = trial.algorithm.ask(knobs), trial.algorithm.step(knobs)
    kernel, weights, total = Kernel(network, variants()[-1]), network.init(knobs.seed), 0
    kept: dict[int, Floats] = {}
    moments: Moments | None = None
    for number in range(1, knobs.rounds + 1):
        exchange = Exchange.of(network, settings.assignment(number, weights))
        devices = choose(range(trial.devices), settings, number)
        updates = _updates(trial, kernel, exchange, devices, kept)
        total += sum(exchange.bytes_down + exchange.bytes_up(update) for update in updates)
        mean = mean_of_updates(weights, updates, number, step.weighting)
        weights, moments = step.move(weights, mean, number, moments)
    return Trained(weights, total)


def _updates(
    trial: Trial,
    kernel: Kernel,
    exchange: Exchange,
    devices: Sequence[int],
    kept: dict[int, Floats],
) -> list[Update]:
    asked: Assignment = exchange.arrived
    tasks = trial.tasks.batch(np.asarray(devices, np.int64), asked.round)
    check_tasks(trial.network, tasks)
    learned = follow(kernel, asked, tasks, devices)
    found = []
    for i, device in enumerate(devices):
        meant = learned.weights[i]
        if trial.feedback and device in kept:
            meant = meant + kept[device]
        update = exchange.update(device, meant, float(learned.losses[i]), int(learned.examples[i]))
        if trial.feedback:
            kept[device] = left_behind(exchange, meant, update)
        found.append(update)
    return found


def left_behind(exchange: Exchange, meant: Floats, update: Update) -> Floats:
    """Return what a device meant to return and did not, `(parameters,)`; zero where it may not."""
    start, sent = exchange.arrived.weights, exchange.asked.weights
    arrived = start.copy()
    at = slice(None) if update.indices is None else update.indices
    arrived[at] = start[at] + (update.values - sent[at])
    missing: Floats = np.zeros_like(meant)
    may = slice(None) if exchange.returns is None else exchange.returns
    missing[may] = (meant - arrived)[may]
    return missing if np.isfinite(missing).all() else np.zeros_like(meant)
