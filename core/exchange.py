"""What travels between the server and a device that follows an assignment, both ways.

Down go the weights but for those of local layers; up comes what the device may return. float32
carries numbers as they are. Coarser encodings carry the weights down, and upwards differences: what
a device learned less what reached it, which the server adds to what it sent. The server thereby
never loses what rounding on the way down took from its own vector.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tinyfleet.encoding import Floats, Form, Places, arriving, encoded_bytes
from tinyfleet.follow import (
    Engine,
    check_assignment,
    check_tasks,
    follow,
    received,
    returned,
    to_update,
)
from tinyfleet.messages import Assignment, Update
from tinyfleet.network import Layout
from tinyfleet.task import Task


@dataclass(frozen=True)
class Exchange:
    """Both ways of one assignment, worked out once for all devices that follow it.

    Attributes:
        asked: what the server asks; its weights are those that the server has.
        down: how the weights travel.
        up: how updates travel.
        returns: places that a device may return; None for all.
        received: parameters that travel down.
    """

    asked: Assignment
    down: Form
    up: Form
    returns: Places | None = field(repr=False)
    received: int
    _sent: Places | None = field(repr=False)

    @classmethod
    def of(cls, network: Layout, asked: Assignment) -> "Exchange":
        """Work out what travels for `asked`; its layers must be the network's."""
        kept = {*asked.local, *asked.frozen}
        down = Form(*_extent(network, set(asked.local)), asked.encoding_down)
        up = Form(*_extent(network, kept), asked.encoding, asked.share == 1.0)
        sent = _places(network, set(asked.local)) if asked.local else None
        return cls(asked, down, up, returned(network, asked), received(network, asked), sent)

    @cached_property
    def arrived(self) -> Assignment:
        """The assignment as it reaches a device: its weights rounded as they travel."""
        asked = self.asked
        if asked.encoding_down == "float32":
            return asked
        if self._sent is None:
            return replace(asked, weights=arriving(self.down, asked.weights))
        weights = asked.weights.copy()
        weights[self._sent] = arriving(self.down, weights[self._sent])
        return replace(asked, weights=weights)

    @cached_property
    def bytes_down(self) -> int:
        """Bytes of the message that brings the weights to a device."""
        return encoded_bytes(self.down)

    def bytes_up(self, update: Update) -> int:
        """Return the bytes of the message that brings `update` to the server."""
        sound = bool(np.isfinite(update.values).all())
        encoding = self.asked.encoding if sound else "float32"
        return encoded_bytes(self.up, self._places_up(update), encoding)

    def update(self, device: int, learned: Floats, loss: float, examples: int) -> Update:
        """Return what reaches the server of what one device `learned`, `(parameters,)`.

        A device that has diverged returns float32, whatever was asked, so that nothing hides the
        NaN or infinity for which its update is refused.
        """
        packed = learned, np.float32(loss), examples
        return self.rounded(to_update(device, self.arrived, packed, self.returns, self.received))

    def rounded(self, update: Update) -> Update:
        """Return `update` with the values that the server takes: what it sent, moved by what came.

        Args:
            update: of a device that follows `arrived`, in full precision.
        """
        values, indices = update.values, update.indices
        if self.asked.encoding == "float32" or not np.isfinite(values).all():
            return update
        start, sent = self.arrived.weights, self.asked.weights
        if indices is not None:
            start, sent = start[indices], sent[indices]
        with np.errstate(over="ignore", invalid="ignore"):
            moved = arriving(self.up, values - start, self._places_up(update))
            return update._replace(values=sent + moved)

    def _places_up(self, update: Update) -> Places | None:
        """Return where the values of `update` lie among the entries that may come back."""
        indices = update.indices
        if indices is None or len(indices) == self.up.entries:
            return None
        return (
            indices
            if self.returns is None
            else np.searchsorted(self.returns, indices).astype(np.int32)
        )


def learn_one(engine: Engine, assignment: Assignment, task: Task, device: int) -> Update:
    """Follow `assignment` on the task of one device, after checking both."""
    tasks, network = task.alone(), engine.network
    check_assignment(network, assignment)
    check_tasks(network, tasks)
    exchange = Exchange.of(network, assignment)
    learned = follow(engine, exchange.arrived, tasks, [device])
    return exchange.update(device, learned.weights[0], learned.losses[0], int(learned.examples[0]))


def _places(network: Layout, kept: set[str]) -> NDArray[np.int32]:
    parts = [np.arange(p.start, p.stop) for n, p in network.parts.items() if n not in kept]
    return np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int32)


def _extent(network: Layout, kept: set[str]) -> tuple[int, tuple[int, ...]]:
    """Return the entries outside `kept`, and where each layer's end among them."""
    sizes = [p.stop - p.start for n, p in network.parts.items() if n not in kept]
    return sum(sizes), tuple(np.cumsum(sizes, dtype=int).tolist())
