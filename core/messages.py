"""What the server asks of a device, and what the device answers."""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import TrainingError

Floats = NDArray[np.float32]
Optimizer = Literal["sgd", "adam"]
Scalar = int | float | str | bool


@dataclass(frozen=True)
class Training:
    """How a device learns from its stream.

    Attributes:
        rate: step size of the device's optimiser, beta of TinyReptile; > 0.
        passes: times that the stream is gone through; TinyReptile's is 1.
        batch: samples a step; 1 is online learning and needs no gradient buffer. 0 stands for
            the whole stream (FedSGD). The last batch of a pass may be smaller.
        optimizer: "sgd" or "adam" (Kingma & Ba 2015; beta1 = 0, beta2 = 0.999 as in Reptile 2018).
        proximal: mu of FedProx (Li et al. 2020, eq. 2), the pull towards the received weights.
    """

    rate: float
    passes: int = 1
    batch: int = 1
    optimizer: Optimizer = "sgd"
    proximal: float = 0.0

    def __post_init__(self) -> None:
        for name, value, good in (
            ("rate", self.rate, math.isfinite(self.rate) and self.rate > 0),
            ("passes", self.passes, self.passes >= 1),
            ("batch", self.batch, self.batch >= 0),
            ("optimizer", self.optimizer, self.optimizer in ("sgd", "adam")),
            ("proximal", self.proximal, math.isfinite(self.proximal) and self.proximal >= 0),
        ):
            if not good:
                raise TrainingError(f"training.{name}: got {value!r}; see tinyfleet.Training")

    @property
    def online(self) -> bool:
        """Whether every sample is learned and forgotten: the mode that a microcontroller runs."""
        return self.batch == 1 and self.optimizer == "sgd" and self.proximal == 0.0


@dataclass(frozen=True)
class Assignment:
    """One round's work for one device.

    Attributes:
        round: number of the round, from 1.
        weights: the vector to start from, `(parameters,)` float32.
        training: how to learn.
        frozen: names of layers that keep the received weights.
        local: names of layers that never leave the device (TinyMetaFed's l). When there are any,
            the device first rebuilds them on its support with all others frozen, then learns the
            others on its query with these frozen.
        local_start: where local layers start from: "received" (the vector's own entries),
            "zeros", or "fresh" (the network's initialisation with a seed of round and device).
        share: part of the returnable entries, those that moved most, that comes back; in (0, 1].
        seed: seed of whatever the device draws.
    """

    round: int
    weights: Floats = field(repr=False)
    training: Training
    frozen: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    local_start: Literal["received", "zeros", "fresh"] = "fresh"
    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise TrainingError(f"assignment.share: expected 0 < share <= 1, got {self.share}")


@dataclass(frozen=True)
class Update:
    """What a device learned.

    Attributes:
        device: who.
        round: in which round.
        values: the whole new vector, `(parameters,)`, or its returned entries, `(k,)`; float32.
        indices: places of `values` in the vector, ascending int32 `(k,)`; None for a whole vector.
        examples: samples that the device learned from.
        loss: mean loss of those samples, each scored before it was learned.
        received: parameters that travelled to the device.
    """

    device: int
    round: int
    values: Floats = field(repr=False)
    indices: NDArray[np.int32] | None = field(repr=False)
    examples: int
    loss: float
    received: int

    @property
    def sent(self) -> int:
        """Parameters that travelled back."""
        return len(self.values)

    def delta(self, weights: Floats) -> Floats:
        """Return the difference to `weights`, `(parameters,)`: 0 where nothing was returned."""
        if self.indices is None:
            return self.values - weights
        difference = np.zeros_like(weights)
        difference[self.indices] = self.values - weights[self.indices]
        return difference
