"""Any fleet as a Flower grid, so that any Flower strategy drives it without an engine between.

The only module that touches names which Flower keeps to itself: a run and the identity of the task,
which Flower's `Message` looks up when it is made.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from operator import itemgetter

from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from tinyfleet import envelope
from tinyfleet.errors import TrainingError
from tinyfleet.fleet import Fleet
from tinyfleet.mean import Weighting, mean_of_updates
from tinyfleet.messages import Assignment, CommonAssignment, Update
from tinyfleet.server.strategy import from_arrays, to_arrays


class FleetGrid(Grid):
    """A `Fleet` behind Flower's `Grid`: node `n` stands for the fleet's devices [n*k, (n+1)*k).

    Messages that share one content, as those of one round do, become one call of `Fleet.run`, and
    replies come as a stream, in the order of the messages, while the devices still learn. A node of
    one device answers with that device's weights; a node of many with their mean, rounded to
    float32. A device that stays silent is absent from its node's mean. A node without
    any sound update, and a message that is not "train", are answered by an error reply, which
    Flower's strategies count and leave out.

    Example:
        >>> class Still:
        ...     devices = (3, 5, 8)
        ...     def run(self, assignments, timeout=None):
        ...         return iter(())
        >>> list(FleetGrid(Still(), devices_per_node=2).get_node_ids())
        [0, 1]
    """

    def __init__(self, fleet: Fleet, devices_per_node: int = 1) -> None:
        if devices_per_node < 1:
            raise TrainingError(f"devices_per_node: expected at least 1, got {devices_per_node}")
        self._fleet = fleet
        self._per_node = devices_per_node
        self._devices: Sequence[int] = fleet.devices
        self._run = Run.create_empty(run_id=0)
        self._ids = count(1)
        self._pushed: dict[str, Message] = {}
        _name_the_task(self._run)

    @property
    def devices(self) -> Sequence[int]:
        """The devices that its nodes stand for, ascending, as of the last `get_node_ids`."""
        return self._devices

    @property
    def run(self) -> Run:
        """The run that this grid belongs to."""
        return self._run

    def set_run(self, run: Run) -> None:
        """Set the run that this grid belongs to."""
        self._run = run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a new message to node `dst_node_id`."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> range:
        """Return the nodes of the devices that can be asked now, ascending."""
        self._devices = self._fleet.devices
        return range(-(-len(self._devices) // self._per_node))

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Keep `messages` until their replies are pulled and return their ids."""
        ids = []
        for message in messages:
            ids.append(self._identify(message))
            self._pushed[ids[-1]] = message
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        """Yield the replies to pushed messages; an id that is unknown or was pulled has none."""
        known = [i for i in message_ids if i in self._pushed]
        return self._answer([self._pushed.pop(i) for i in known], None)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Yield the replies to `messages` in their order, each as soon as its node is done.

        Args:
            messages: what to send; consumed lazily, one group of equal content at a time.
            timeout: seconds that each group of devices has for its answers.

        Raises:
            TrainingError: the config of a message describes no training.
            NetworkError: the weights of a message are no vector.
        """
        return self._answer(messages, timeout)

    def _answer(self, messages: Iterable[Message], timeout: float | None) -> Iterator[Message]:
        for group in _groups(messages):
            for message in group:
                self._identify(message)
            if group[0].metadata.message_type != MessageType.TRAIN:
                yield from (_refuse(message, envelope.NOT_TRAINING) for message in group)
            else:
                yield from self._train(group, timeout)

    def _train(self, group: list[Message], timeout: float | None) -> Iterator[Message]:
        order = _read_content(group[0].content)
        nodes = [order.chosen(self._devices_of(m.metadata.dst_node_id)) for m in group]
        asked = CommonAssignment(order.assignment, nodes)
        updates = self._fleet.run(asked, timeout) if asked else ()
        placed = ((asked.group_of(update.device), update) for update in updates)
        wanted = ((i, update) for i, update in placed if i is not None)
        waiting = 0
        for i, of_node in groupby(wanted, key=itemgetter(0)):
            yield from (_refuse(message, envelope.NO_ANSWER) for message in group[waiting:i])
            yield _reply(group[i], order, (update for _, update in of_node), int(nodes[i][0]))
            waiting = i + 1
        yield from (_refuse(message, envelope.NO_ANSWER) for message in group[waiting:])

    def _devices_of(self, node: int) -> Sequence[int]:
        if node < 0:
            return ()
        return self._devices[node * self._per_node : (node + 1) * self._per_node]

    def _identify(self, message: Message) -> str:
        if not message.metadata.message_id:
            message.metadata.__dict__["_message_id"] = str(next(self._ids))
        return message.metadata.message_id


@dataclass(frozen=True)
class _Order:
    """What the content of a message asks of every device of its node."""

    assignment: Assignment
    weighting: Weighting
    devices: frozenset[int] | None

    def chosen(self, devices: Sequence[int]) -> Sequence[int]:
        """Return those of a node's devices that shall learn."""
        if self.devices is None:
            return devices
        return [device for device in devices if device in self.devices]


def _name_the_task(run: Run) -> None:
    """Give Flower's messages the sender they look up, unless an engine has given it already."""
    try:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id  # noqa: B018
    except RuntimeError:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run.run_id, 1, 1


def _groups(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Cut `messages` where content or type changes, or where a node would be asked twice."""
    group: list[Message] = []
    nodes: set[int] = set()
    for message in messages:
        metadata = message.metadata
        if group and (
            message.content is not group[0].content
            or metadata.message_type != group[0].metadata.message_type
            or metadata.dst_node_id in nodes
        ):
            yield group
            group, nodes = [], set()
        group.append(message)
        nodes.add(metadata.dst_node_id)
    if group:
        yield group


def _read_content(content: RecordDict) -> _Order:
    arrays, config = content.get("arrays"), content.get("config")
    if not isinstance(arrays, ArrayRecord) or not isinstance(config, ConfigRecord):
        raise TrainingError(
            "message: expected an ArrayRecord 'arrays' and a ConfigRecord 'config', got "
            f"{sorted(content)}"
        )
    weights = from_arrays(arrays)
    return _Order(
        envelope.assignment_from_config(config, weights),
        envelope.weighting_from_config(config),
        envelope.devices_from_config(config),
    )


def _reply(message: Message, order: _Order, updates: Iterable[Update], device: int) -> Message:
    weights, round_number = order.assignment.weights, order.assignment.round
    mean = mean_of_updates(weights, updates, round_number, order.weighting)
    reply = envelope.answer_from_mean(mean, round_number, device)
    if isinstance(reply, envelope.Refusal):
        return _refuse(message, reply)
    content = RecordDict(
        {
            "arrays": to_arrays(reply.weights),
            "metrics": MetricRecord({**reply.metrics}),
            "returned": ConfigRecord({**reply.returned}),
        }
    )
    return Message(content, reply_to=message)


def _refuse(message: Message, refusal: envelope.Refusal) -> Message:
    return Message(Error(refusal.code, refusal.reason), reply_to=message)
