"""The mean of many updates, taken one after another in the memory of one vector."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyfleet.messages import Floats, Update

Weighting = Literal["devices", "examples"]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Tally:
    """What went into a mean.

    Attributes:
        devices: updates that were taken.
        refused: updates that came and were not taken; see `refusal`.
        examples: samples that the taken devices learned from.
        loss: mean loss over those samples; NaN when there are none.
        received: parameters that travelled to the devices, refused ones included.
        sent: parameters that travelled back from them, refused ones included.
    """

    devices: int = 0
    refused: int = 0
    examples: int = 0
    loss: float = math.nan
    received: int = 0
    sent: int = 0


@dataclass(frozen=True)
class Mean:
    """The mean of what some devices learned, entry by entry.

    Attributes:
        values: `(parameters,)` float64; the received weights where no device returned an entry.
        total: weight of all taken updates together: their number or their examples.
        entries: weight of the updates that returned each entry, `(parameters,)` float64;
            None when every update returned every entry, so that each would be `total`.
        tally: what went into it.
    """

    values: Doubles = field(repr=False)
    total: float
    entries: Doubles | None = field(repr=False)
    tally: Tally


def refusal(update: Update, parameters: int, round_number: int) -> str | None:
    """Return why `update` must stay out of every mean, or None when it is sound.

    Sound is an update of this round whose values are finite, as many as the vector has
    or as its indices say, and which comes from at least one example with a finite loss.
    """
    values, indices = update.values, update.indices
    if update.round != round_number:
        return f"round: expected {round_number}, got {update.round}"
    if values.ndim != 1 or values.dtype != np.float32:
        return f"values: expected one float32 vector, got {values.dtype} {values.shape}"
    if indices is None:
        if len(values) != parameters:
            return f"values: expected {parameters}, got {len(values)}"
    elif indices.shape != values.shape or not _ascending_below(indices, parameters):
        return f"indices: expected {len(values)} ascending places below {parameters}"
    if not np.isfinite(values).all():
        return "values: expected finite numbers, got NaN or infinity"
    if update.examples < 1 or not math.isfinite(update.loss):
        return f"examples, loss: got {update.examples}, {update.loss}"
    return None


def mean_of_updates(
    weights: Floats, updates: Iterable[Update], round_number: int, weighting: Weighting = "devices"
) -> Mean:
    """Return the mean of the sound ones among `updates`; the others are only counted.

    What travelled for a refused update counts as communicated, too, unless it says of itself or
    brings more numbers than the vector has.

    Sums are float64 and in the order of the updates, and one update is held at a time: the same
    updates in the same order give the same bytes, however they were cut into chunks.

    Args:
        weights: the vector that the devices started from, `(parameters,)` float32.
        updates: what they answered; any number of them.
        round_number: the round they must belong to.
        weighting: whether each device counts once, or once for each of its examples.
    """
    total = _Sum(weights)
    by_examples = weighting == "examples"
    for update in updates:
        if refusal(update, len(weights), round_number) is not None:
            total.refuse(update)
            continue
        total.add_values(update.values, update.indices, update.examples if by_examples else 1)
        total.devices += 1
        total.examples += update.examples
        total.loss += update.loss * update.examples
        total.received += update.received
        total.sent += len(update.values)
    return total.mean()


def mean_of_means(weights: Floats, means: Iterable[Mean]) -> Mean:
    """Return the mean of the updates behind `means`, each entry weighted by who returned it.

    Args:
        weights: the vector that the devices started from, `(parameters,)` float32.
        means: means that start from the same vector, with one weighting, in a fixed order.
    """
    total = _Sum(weights)
    for mean in means:
        tally = mean.tally
        total.refused += tally.refused
        total.received += tally.received
        total.sent += tally.sent
        if tally.devices == 0:
            continue
        total.add_mean(mean)
        total.devices += tally.devices
        total.examples += tally.examples
        total.loss += tally.loss * tally.examples
    return total.mean()


def nothing(weights: Floats, tally: Tally) -> Mean:
    """Return the mean of no update at all, the received weights; `tally` says what was refused."""
    return Mean(weights.astype(np.float64), 0.0, None, tally)


def _ascending_below(indices: NDArray[np.int32], parameters: int) -> bool:
    if indices.dtype != np.int32 or len(indices) == 0:
        return len(indices) == 0
    inside = indices[0] >= 0 and indices[-1] < parameters
    return bool(inside and (indices[1:] > indices[:-1]).all())


class _Sum:
    """Running sums behind a mean; lives no longer than the function that makes it."""

    def __init__(self, weights: Floats) -> None:
        self.weights = weights
        self.values = np.zeros(len(weights))
        self.total = self.whole = 0.0
        self.entries: Doubles | None = None
        self.scaled = np.empty(len(weights))
        self.devices = self.refused = self.examples = self.received = self.sent = 0
        self.loss = 0.0

    def refuse(self, update: Update) -> None:
        self.refused += 1
        sent, most = update.values.size, len(self.weights)
        if sent <= most and 0 <= update.received <= most:
            self.received += update.received
            self.sent += sent

    def add_values(self, values: Floats, indices: NDArray[np.int32] | None, weight: float) -> None:
        self.total += weight
        if indices is not None:
            self.values[indices] += np.multiply(values, weight, dtype=np.float64)
            self._partial()[indices] += weight
            return
        self.whole += weight
        if weight == 1:
            np.add(self.values, values, out=self.values)
        else:
            np.multiply(values, weight, out=self.scaled, dtype=np.float64)
            np.add(self.values, self.scaled, out=self.values)

    def add_mean(self, mean: Mean) -> None:
        self.total += mean.total
        if mean.entries is None:
            self.whole += mean.total
            self.values += mean.values * mean.total
        else:
            self._partial()[:] += mean.entries
            self.values += mean.values * mean.entries

    def _partial(self) -> Doubles:
        if self.entries is None:
            self.entries = np.zeros(len(self.weights))
        return self.entries

    def mean(self) -> Mean:
        if self.devices == 0:
            tally = Tally(refused=self.refused, received=self.received, sent=self.sent)
            return nothing(self.weights, tally)
        tally = Tally(
            self.devices,
            self.refused,
            self.examples,
            self.loss / self.examples,
            self.received,
            self.sent,
        )
        if self.entries is None:
            return Mean(self.values / self.whole, self.whole, None, tally)
        entries = self.entries + self.whole
        values = np.divide(
            self.values, entries, out=self.weights.astype(np.float64), where=entries > 0
        )
        return Mean(values, self.total, entries, tally)
