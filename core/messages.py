"""What the server asks of a device, and what the device answers."""

from bisect import bisect_right
from collections.abc import Container, ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinyfleet.encoding import Encoding
from tinyfleet.errors import TrainingError

Floats = NDArray[np.float32]
Optimizer = Literal["sgd", "adam"]
LocalStart = Literal["received", "zeros", "fresh"]
SharedFrom = Literal["query", "support"]
Answer = Literal["weights", "gradient"]

MOST_STEPS = 2**31 - 1
"""The most passes, and the most samples of a batch: what a device's counter holds."""

ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON = 0.0, 0.999, 1e-8
"""Adam on the device (Kingma & Ba 2015); Reptile 2018 sets beta1 to 0."""


@dataclass(frozen=True)
class Training:
    """How a device learns from its stream.

    Attributes:
        rate: step size of the device's optimiser, beta of TinyReptile; > 0 as float32.
        passes: times that the stream is gone through; TinyReptile's is 1.
        batch: samples a step; 1 is online learning and needs no gradient buffer. 0 stands for
            the whole stream (FedSGD). The last batch of a pass may be smaller.
        optimizer: "sgd" or "adam" (Kingma & Ba 2015; beta1 = 0, beta2 = 0.999 as in Reptile 2018).
        proximal: mu of FedProx (Li et al. 2020, eq. 2), the pull towards the received weights;
            0, or > 0 as float32.

    Raises:
        TrainingError: a setting is out of its range, or a device's float32 cannot hold it.
    """

    rate: float
    passes: int = 1
    batch: int = 1
    optimizer: Optimizer = "sgd"
    proximal: float = 0.0

    def __post_init__(self) -> None:
        positive = "a finite number above 0 as float32"
        for name, value, good, expected in (
            ("rate", self.rate, _positive(self.rate), positive),
            ("passes", self.passes, 1 <= self.passes <= MOST_STEPS, f"1 to {MOST_STEPS}"),
            ("batch", self.batch, 0 <= self.batch <= MOST_STEPS, f"0 to {MOST_STEPS}"),
            ("optimizer", self.optimizer, self.optimizer in ("sgd", "adam"), "sgd or adam"),
            (
                "proximal",
                self.proximal,
                self.proximal == 0 or _positive(self.proximal),
                f"0, or {positive}",
            ),
        ):
            if not good:
                raise TrainingError(f"training.{name}: expected {expected}, got {value!r:.40}")

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
            others with these frozen.
        shared_from: what those others are then learned from: the "query" (TinyMetaFed), or the
            same "support" (FedRep).
        local_start: where local layers start from: "received" (the vector's own entries),
            "zeros", or "fresh" (the network's initialisation with a seed of round and device).
        answer: what comes back: the "weights" that were learned; or a "gradient" (first-order
            MAML), which is the received weights moved by the one step that the loss of the whole
            query makes at the learned weights, with the device's rate.
        share: part of the returnable entries, those that moved most, that comes back; in (0, 1].
        seed: seed of whatever the device draws.
        encoding: how the update travels: as "float32", or what it moved as "float16" or "int8";
            see `tinyfleet.exchange`.
        encoding_down: how the weights travel to the device.
    """

    round: int
    weights: Floats = field(repr=False)
    training: Training
    frozen: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    local_start: LocalStart = "fresh"
    share: float = 1.0
    seed: int = 0
    shared_from: SharedFrom = "query"
    answer: Answer = "weights"
    encoding: Encoding = "float32"
    encoding_down: Encoding = "float32"

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise TrainingError(f"assignment.share: expected 0 < share <= 1, got {self.share}")
        if self.answer == "gradient" and self.local:
            raise TrainingError(
                "assignment.answer: expected weights with local layers, got gradient; "
                "leave out one of the two"
            )

    @property
    def learns_query(self) -> bool:
        """Whether a device learns from its query, too, so that it must have one."""
        if self.local:
            return self.shared_from == "query"
        return self.answer == "gradient"


class CommonAssignment(Mapping[int, Assignment]):
    """The same assignment for every device of some groups; no device is spelled out.

    Args:
        assignment: what each of them is asked.
        groups: their devices, each group ascending and in one piece: no device of another group
            lies between its first and its last. They are asked group by group.

    >>> ask = Assignment(1, np.zeros(2, np.float32), Training(rate=0.1))
    >>> asked = CommonAssignment(ask, (range(6, 9), range(0, 3)))
    >>> list(asked), len(asked), asked.group_of(7), 5 in asked
    ([6, 7, 8, 0, 1, 2], 6, 0, False)
    """

    def __init__(self, assignment: Assignment, groups: Sequence[Sequence[int]]) -> None:
        self._assignment = assignment
        self._groups = groups
        present = sorted((group[0], i) for i, group in enumerate(groups) if len(group))
        self._firsts = [first for first, _ in present]
        self._places = [i for _, i in present]
        self._members = [_members(groups[i]) for i in self._places]

    def group_of(self, device: int) -> int | None:
        """Return the place of the group that `device` is in; None when it is not asked."""
        at = bisect_right(self._firsts, device) - 1
        return self._places[at] if at >= 0 and device in self._members[at] else None

    def items(self) -> ItemsView[int, Assignment]:
        """Return the devices with their assignment, without looking any of them up."""
        return _CommonItems(self, self._assignment)

    def __getitem__(self, device: int) -> Assignment:
        if self.group_of(device) is None:
            raise KeyError(device)
        return self._assignment

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._groups)

    def __len__(self) -> int:
        return sum(map(len, self._groups))


class _CommonItems(ItemsView[int, Assignment]):
    """The items of a `CommonAssignment`."""

    def __init__(self, devices: CommonAssignment, assignment: Assignment) -> None:
        super().__init__(devices)
        self._devices = devices
        self._assignment = assignment

    def __iter__(self) -> Iterator[tuple[int, Assignment]]:
        return zip(self._devices, repeat(self._assignment), strict=False)


def _members(group: Sequence[int]) -> Container[int]:
    whole = range(group[0], group[-1] + 1)
    return whole if len(whole) == len(group) else frozenset(group)


class Update(NamedTuple):
    """What a device learned.

    Attributes:
        device: who.
        round: in which round.
        values: the whole new vector, `(parameters,)`, or its returned entries, `(k,)`; float32.
        indices: places of `values` in the vector, ascending int32 `(k,)`; None for a whole vector.
        examples: samples that the device learned from.
        loss: mean loss of those samples, each scored before it was learned.
        received: parameters that travelled to the device.

    A named tuple, not a dataclass: a round may make a million of them, one after the other.
    """

    device: int
    round: int
    values: Floats
    indices: NDArray[np.int32] | None
    examples: int
    loss: float
    received: int

    @property
    def sent(self) -> int:
        """Parameters that travelled back."""
        return len(self.values)


def _positive(value: float) -> bool:
    """Return whether `value` is finite and above 0 once it is rounded to float32."""
    try:
        with np.errstate(over="ignore", under="ignore"):
            rounded = np.float32(value)
    except OverflowError:  # a whole number that no double holds
        return False
    return bool(0 < rounded < np.inf)
