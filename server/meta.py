"""The server's step: from the old weights and what devices learned to the new weights.

Every step is the same pure function of its settings, phi + step(round) * mean(delta); what tells
the algorithms apart is how large the step is, what a device counts for, and what an entry
that a device did not return stands for. With Adam, mean(delta) is scaled entry by entry by what the
rounds before moved.

Sources: Reptile (Nichol et al. 2018, algorithm 1 and its parallel form); TinyReptile (Ren et al.
2023, arXiv 2304.05201); TinyMetaFed (Ren et al. 2023, arXiv 2307.06822); FedAvg and FedSGD
(McMahan et al. 2017, algorithm 1); FedAdam (Reddi et al. 2021, "Adaptive Federated Optimization",
arXiv 2003.00295, algorithm 2).
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from tinyfleet.errors import TrainingError
from tinyfleet.mean import Doubles, Mean, Tally, Weighting, mean_of_updates
from tinyfleet.messages import Floats, Optimizer, Update

Schedule = Callable[[int], float]

BETA1, BETA2, TAU = 0.9, 0.9, 1e-3
"""Of Adam on the server, found on validation tasks of sines; tau keeps small entries in bounds."""


class Moments(NamedTuple):
    """What Adam on the server remembers of the rounds before: two vectors `(parameters,)`."""

    first: Doubles
    second: Doubles


@dataclass(frozen=True)
class MetaStep:
    """A pure server step, phi + step(round) * mean(delta).

    Attributes:
        step: the server's step size in a round, counted from 1.
        weighting: whether a device counts once, or once for each example it learned from.
        absent: what an entry stands for that a device did not return: "unmoved" takes it for one
            that stayed where it was, "unknown" leaves the device out of this entry's mean.
        optimizer: "sgd" goes along the mean difference; "adam" remembers `Moments` of it.
    """

    step: Schedule = field(repr=False)
    weighting: Weighting = "devices"
    absent: Literal["unmoved", "unknown"] = "unmoved"
    optimizer: Optimizer = "sgd"

    def __call__(
        self, weights: Floats, updates: Iterable[Update], round_number: int
    ) -> tuple[Floats, Tally]:
        """Return the new weights, `(parameters,)` float32, and what they were made of.

        Updates are folded one at a time in float64 and the result is rounded once, so that the
        bytes follow from the order of the updates alone. Updates of another round, of
        another length or with NaN or infinity are counted and left out; when nothing is left, the
        weights come back as they are. Nothing is remembered: Adam steps as in a first round; see
        `move`.

        Raises:
            TrainingError: the step is not finite, or the new weights leave float32.
        """
        mean = mean_of_updates(weights, updates, round_number, self.weighting)
        return self.move(weights, mean, round_number)[0], mean.tally

    def move(
        self, weights: Floats, mean: Mean, round_number: int, moments: Moments | None = None
    ) -> tuple[Floats, Moments | None]:
        """Return the new weights for a mean that has been taken already, and the new moments.

        Args:
            weights: the vector that the devices started from, `(parameters,)`.
            mean: the mean of what they learned.
            round_number: the round.
            moments: what the round before returned; None in the first, and always without Adam.

        Raises:
            TrainingError: the step is not finite, or the new weights leave float32.
        """
        if mean.tally.devices == 0:
            return weights, moments
        size = self.step(round_number)
        if not math.isfinite(size):
            raise TrainingError(
                f"step: expected a finite number in round {round_number}, got {size}; "
                "mend the schedule"
            )
        delta = mean.values - weights
        if self.absent == "unmoved" and mean.entries is not None:
            delta *= mean.entries / mean.total
        if self.optimizer == "adam":
            moments = _remember(moments, delta)
            delta = moments.first / (np.sqrt(moments.second) + TAU)
        with np.errstate(over="ignore"):
            moved = (weights + size * delta).astype(np.float32)
        if not np.isfinite(moved).all():
            raise TrainingError(
                f"weights: round {round_number} leaves float32 with step {size}; "
                "take a smaller step or rate"
            )
        return moved, moments


def _remember(moments: Moments | None, delta: Doubles) -> Moments:
    before = moments or Moments(np.zeros_like(delta), np.full_like(delta, TAU * TAU))
    return Moments(
        BETA1 * before.first + (1.0 - BETA1) * delta,
        BETA2 * before.second + (1.0 - BETA2) * delta * delta,
    )


def reptile(step: float | Schedule = 1.0, optimizer: Optimizer = "sgd") -> MetaStep:
    """Return phi + step * mean(delta), every device counting once (Nichol et al. 2018).

    With one device a round it is the serial schema of TinyReptile, phi + alpha * (p - phi).

    Example:
        >>> phi = np.zeros(2, np.float32)
        >>> learned = Update(0, 1, np.array([1, 2], np.float32), None, 1, 0.0, 2)
        >>> new, tally = reptile(0.5)(phi, [learned], 1)
        >>> new.tolist(), tally.devices
        ([0.5, 1.0], 1)
    """
    return MetaStep(_schedule(step), optimizer=optimizer)


def tinymetafed(step: float | Schedule = 1.0, optimizer: Optimizer = "sgd") -> MetaStep:
    """Return the step of TinyMetaFed, g + lr(i) * (g' - g) on the received entries.

    The paper asks one device a round. Here several may answer: each entry then moves by the mean
    over the devices that returned it, and an entry that nobody returned stays; with Adam it goes on
    by what is remembered of it.
    """
    return MetaStep(_schedule(step), absent="unknown", optimizer=optimizer)


def fedavg() -> MetaStep:
    """Return the mean of the devices' weights, each counting once for each of its examples.

    It serves FedSGD and FedProx as well, which differ on the device only.
    """
    return MetaStep(constant(1.0), weighting="examples")


def constant(step: float) -> Schedule:
    """Return a step that never changes."""
    _positive("step", step)
    return lambda _: step


def linear(start: float, end: float, rounds: int) -> Schedule:
    """Return a step that goes from `start` > 0 in round 1 straight to `end` >= 0 after `rounds`.

    As in Reptile 2018 the last of the rounds still takes a step: `end` is reached just after it,
    and kept.

    Example:
        >>> [linear(1.0, 0.0, 4)(i) for i in (1, 2, 4, 5, 9)]
        [1.0, 0.75, 0.25, 0.0, 0.0]
    """
    _positive("start", start)
    _not_negative("end", end)
    _positive("rounds", rounds)
    return lambda i: start + (end - start) * min(1.0, (i - 1) / rounds)


def warm_restart(low: float, high: float, period: int, decay: float = 0.0) -> Schedule:
    """Return TinyMetaFed's cosine step that starts anew every `period` rounds.

    lr(i) = low + (high - low - floor(i / period) * decay) * (1 + cos(pi * (i mod period) / period))
    / 2, with i = 0 in round 1, so that the first round takes the whole of `high` > 0, and goes
    towards `low` >= 0. The range never falls below zero, however many restarts have lowered it.

    Example:
        >>> [round(warm_restart(0.1, 0.9, 4, decay=0.2)(i), 3) for i in (1, 3, 5, 7)]
        [0.9, 0.5, 0.7, 0.4]
    """
    _positive("high", high)
    _not_negative("low", low)
    _not_negative("decay", decay)
    _positive("period", period)

    def step(round_number: int) -> float:
        restarts, i = divmod(round_number - 1, period)
        width = max(0.0, high - low - restarts * decay)
        return low + 0.5 * width * (1.0 + math.cos(math.pi * i / period))

    return step


def _schedule(step: float | Schedule) -> Schedule:
    return step if callable(step) else constant(step)


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise TrainingError(f"{name}: expected a finite number above 0, got {value}")


def _not_negative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise TrainingError(f"{name}: expected a finite number, 0 or more, got {value}")
