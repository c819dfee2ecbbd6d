"""Meta-learning and federated algorithms as Flower strategies.

One class holds what they share: choosing devices, telling them what to do, folding what comes back.
The algorithms by name are in `tinyfleet.server.algorithms`, their mathematics in
`tinyfleet.server.meta`. They run on a `FleetGrid`, under Flower's Ray engine and on a SuperLink.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from tinyfleet import envelope
from tinyfleet.errors import NetworkError, TrainingError
from tinyfleet.mean import Mean, Tally, mean_of_means, nothing
from tinyfleet.messages import Floats
from tinyfleet.server.meta import MetaStep, Moments
from tinyfleet.server.settings import Settings, ascending, choose

_log = logging.getLogger("flwr")


@dataclass(frozen=True)
class Choice:
    """Who is asked in a round.

    Attributes:
        nodes: which nodes, ascending.
        devices: which of their devices, for nodes that stand for many; None for all of them.
    """

    nodes: Sequence[int]
    devices: Sequence[int] | None = None


Choose = Callable[[int, Sequence[int]], Choice]
"""Chooses in a round among the nodes that are there, both given; see `tinyfleet.server.select`."""


class MetaStrategy(Strategy):
    """A Flower strategy that moves one vector by a `MetaStep`.

    Replies are folded as they stream in, in the order of the messages, which is that of the
    nodes; replies that come as a list, as from Flower's engines, are put in the order of their
    first devices beforehand. So the same devices give the same bytes on every engine.

    Attributes:
        settings: what every round asks for.
        meta_step: what the server makes of the answers.
        choose: who is asked in a round; None draws `settings.per_round` nodes.
        tally: what the last round took in; None before the first.
        moments: what the meta-step remembers of the rounds so far; a run that goes on sets them.
    """

    def __init__(self, settings: Settings, meta_step: MetaStep) -> None:
        self.settings = settings
        self.meta_step = meta_step
        self.choose: Choose | None = None
        self.tally: Tally | None = None
        self.moments: Moments | None = None
        self._weights: Floats = np.empty(0, np.float32)
        # Checking a record's values costs more than learning on a device: do it once, not a round.
        orders = envelope.assignment_to_config(settings.assignment(1, self._weights))
        self._orders = ConfigRecord({**orders, "weighting": meta_step.weighting})

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one message to each chosen node; all share one content.

        Raises:
            TrainingError: there are fewer nodes than a round asks, or `config` contradicts the
                settings.
            QueryError: the query that chooses fails.
        """
        round_number = self._round(server_round)
        if round_number == 1:  # a strategy that runs again starts anew
            self.moments = None
        self._weights = from_arrays(arrays)
        orders = self._orders.copy()
        orders["server-round"] = round_number
        for key, value in config.items():
            if key in orders and orders[key] != value:
                raise TrainingError(
                    f"train_config.{key}: the strategy says {orders[key]!r}, got {value!r}; "
                    "set it on the strategy"
                )
            orders[key] = value
        nodes: Sequence[int]
        if self.choose is None:
            nodes = choose(grid.get_node_ids(), self.settings, round_number)
        else:
            choice = self.choose(round_number, ascending(grid.get_node_ids()))
            nodes = choice.nodes
            if choice.devices is not None:
                orders["devices"] = list(choice.devices)
        content = RecordDict({"arrays": arrays, "config": orders})
        messages = (
            Message(content, node, MessageType.TRAIN, group_id=str(round_number)) for node in nodes
        )
        # Flower's own grids go through them twice; a fleet's, whose nodes may be many, only once.
        return messages if isinstance(nodes, range) else list(messages)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the new weights, None when no device gave a sound update, and the round's tally.

        A node's silence, error or damaged reply is logged and left out; what a damaged reply
        says of itself is not believed, so only those of refused updates count as communicated. The
        metrics are those of a node's reply, over all of them; the loss of a round without any
        is NaN.
        """
        round_number = self._round(server_round)
        if isinstance(replies, list):
            replies = sorted(replies, key=_first_device)
        means = (self._mean(reply, round_number) for reply in replies)
        mean = mean_of_means(self._weights, means)
        self.tally = tally = mean.tally
        metrics = MetricRecord({**envelope.tally_to_metrics(tally)})
        if tally.devices == 0:
            return None, metrics
        weights, self.moments = self.meta_step.move(self._weights, mean, round_number, self.moments)
        return to_arrays(weights), metrics

    def configure_evaluate(
        self,
        server_round: int,  # noqa: ARG002
        arrays: ArrayRecord,  # noqa: ARG002
        config: ConfigRecord,  # noqa: ARG002
        grid: Grid,  # noqa: ARG002
    ) -> list[Message]:
        """Return no messages: weights are judged on the server, on tasks no device has seen."""
        return []

    def aggregate_evaluate(
        self,
        server_round: int,  # noqa: ARG002
        replies: Iterable[Message],  # noqa: ARG002
    ) -> None:
        """Return None, for no node was asked."""
        return

    def summary(self) -> None:
        """Log the settings."""
        _log.info("\t├──> %s", self.settings)
        _log.info("\t└──> %s", self.meta_step)

    def _round(self, server_round: int) -> int:
        return server_round + self.settings.first_round - 1

    def _mean(self, message: Message, round_number: int) -> Mean:
        if message.has_error():
            refusal = envelope.Refusal(message.error.code, message.error.reason or "")
            self._leave_out(message, f"{refusal.reason:.200}")
            return nothing(self._weights, envelope.refused_by(refusal))
        try:
            return envelope.mean_from_reply(
                _read_reply(message.content),
                round_number,
                len(self._weights),
                self.meta_step.weighting,
            )
        except (TrainingError, NetworkError) as error:
            self._leave_out(message, str(error))
            return nothing(self._weights, Tally(refused=1))

    def _leave_out(self, message: Message, reason: str) -> None:
        _log.info("\t> Left out node %d: %s", message.metadata.src_node_id, reason)


def to_arrays(weights: Floats) -> ArrayRecord:
    """Return the record that carries `weights`, `(parameters,)` float32, as "weights"."""
    arrays = ArrayRecord()
    data = envelope.weights_to_npy(weights)
    arrays["weights"] = Array("float32", weights.shape, "numpy.ndarray", data)
    return arrays


def from_arrays(arrays: ArrayRecord) -> Floats:
    """Return the vector, `(parameters,)` float32, that `arrays` carries as "weights".

    Raises:
        NetworkError: there is another key than "weights", or it is no vector of floats.
    """
    if list(arrays) != ["weights"]:
        raise NetworkError(
            f"arrays: expected the one key 'weights', got {list(arrays)}; "
            "start from tinyfleet.server.strategy.to_arrays(weights)"
        )
    return envelope.weights_from_npy(arrays["weights"].data)


def _read_reply(content: RecordDict) -> envelope.Reply:
    arrays, metrics = content.get("arrays"), content.get("metrics")
    returned = content.get("returned")
    if not (
        isinstance(arrays, ArrayRecord)
        and isinstance(metrics, MetricRecord)
        and isinstance(returned, ConfigRecord)
    ):
        raise TrainingError(
            f"reply: expected records arrays, metrics, returned, got {sorted(content)}; "
            "answer with tinyfleet.client.app"
        )
    numbers = {key: value for key, value in metrics.items() if isinstance(value, int | float)}
    places = {key: value for key, value in returned.items() if isinstance(value, int | bytes)}
    return envelope.Reply(from_arrays(arrays), numbers, places)


def _first_device(message: Message) -> int:
    returned = message.content.get("returned") if message.has_content() else None
    device = returned.get("device") if isinstance(returned, ConfigRecord) else None
    return device if isinstance(device, int) else 0
