"""The Flower client app of a node: a message in, the node's devices learn, one reply out.

It answers as `tinyfleet.server.grid.FleetGrid` does, byte for byte, so the same server app runs on
either: under Flower's Ray engine, or on a SuperNode beside real devices.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp

from tinyfleet import envelope
from tinyfleet.errors import FleetError, NetworkError, TrainingError
from tinyfleet.fleet import Fleet
from tinyfleet.mean import mean_of_updates
from tinyfleet.messages import CommonAssignment

FleetOf = Callable[[Context, Mapping[str, Any]], AbstractContextManager[Fleet]]

_log = logging.getLogger("flwr")


def client_app(fleet_of: FleetOf) -> ClientApp:
    """Return the client app of nodes whose devices `fleet_of` finds.

    Args:
        fleet_of: opens the node's own devices as a fleet, for the time of one message, from the
            node's context and the message's config. In a simulation the node's place is
            `context.node_config["partition-id"]`, beside real devices whatever the SuperNode was
            started with. It travels to Flower's workers by cloudpickle.
    """
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _train(message, context, fleet_of)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:  # noqa: ARG001
        return _refuse(message, envelope.NOT_TRAINING)

    return app


def partition(context: Context) -> int:
    """Return the place of a simulated node among all nodes, from 0.

    Raises:
        TrainingError: the node was started without a partition.
    """
    place = context.node_config.get("partition-id")
    if not isinstance(place, int):
        raise TrainingError(
            f"node_config.partition-id: expected a whole number, got {place!r}; start the node "
            "with --node-config 'partition-id=0'"
        )
    return place


def _train(message: Message, context: Context, fleet_of: FleetOf) -> Message:
    arrays, config = message.content.get("arrays"), message.content.get("config")
    if not isinstance(arrays, ArrayRecord) or not isinstance(config, ConfigRecord):
        raise TrainingError(
            "message: expected an ArrayRecord 'arrays' and a ConfigRecord 'config', got "
            f"{sorted(message.content)}"
        )
    if list(arrays) != ["weights"]:
        raise NetworkError(f"message.arrays: expected the one key 'weights', got {list(arrays)}")
    weights = envelope.weights_from_npy(arrays["weights"].data)
    assignment = envelope.assignment_from_config(config, weights)
    timeout, weighting = (
        envelope.timeout_from_config(config),
        envelope.weighting_from_config(config),
    )
    chosen = envelope.devices_from_config(config)
    try:
        with fleet_of(context, config) as fleet:
            devices = fleet.devices
            if chosen is not None:
                devices = [device for device in devices if device in chosen]
            updates = fleet.run(CommonAssignment(assignment, (devices,)), timeout)
            mean = mean_of_updates(weights, updates, assignment.round, weighting)
    except FleetError as error:  # whoever started the run hears why
        _log.error("%s", error)
        return _refuse(message, envelope.Refusal(envelope.SILENT, str(error)))
    answer = envelope.answer_from_mean(mean, assignment.round, devices[0] if devices else 0)
    if isinstance(answer, envelope.Refusal):
        return _refuse(message, answer)
    return _reply(message, answer)


def _reply(message: Message, reply: envelope.Reply) -> Message:
    data = envelope.weights_to_npy(reply.weights)
    arrays = ArrayRecord()
    arrays["weights"] = Array("float32", reply.weights.shape, "numpy.ndarray", data)
    metrics, returned = MetricRecord({**reply.metrics}), ConfigRecord({**reply.returned})
    content = RecordDict({"arrays": arrays, "metrics": metrics, "returned": returned})
    return Message(content, reply_to=message)


def _refuse(message: Message, refusal: envelope.Refusal) -> Message:
    return Message(Error(refusal.code, refusal.reason), reply_to=message)
