"""A board as a learner: what `KernelLearner` computes, computed by firmware, bit for bit."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tinyfleet.client.link import Link
from tinyfleet.client.stages import Stage, mean_of, stages_of, stream_of
from tinyfleet.errors import NetworkError, TrainingError, WireError
from tinyfleet.exchange import Exchange
from tinyfleet.follow import (
    check_assignment,
    check_tasks,
    local_start,
    received,
    returned,
    to_update,
)
from tinyfleet.messages import Assignment, Floats, Training, Update
from tinyfleet.network import Network
from tinyfleet.plan import KINDS, Plan, plan
from tinyfleet.task import Task
from tinyfleet.wire import (
    KEEP,
    Blob,
    DeviceRefused,
    Hello,
    Kind,
    Options,
    Reason,
    Result,
    arena_need,
    pack_program,
    pack_select,
)

STARTS = 16
"""How often a round is started on a board that restarts in the middle of it."""

Places = NDArray[np.int32]
Done = TypeVar("Done")


class Board:
    """A device behind a link; a `Learner`.

    Args:
        link: the device.
        network: what it is to train.

    Attributes:
        restarts: rounds started over because the board had restarted.
    """

    def __init__(self, link: Link, network: Network) -> None:
        self._link, self._network = link, network
        self._program = 0  # CRC-32 of the program in force
        self.restarts = 0

    @property
    def by(self) -> str:
        """What computes here: "firmware 0.1.0 on nrf52840-emulated"."""
        hello = self._link.hello()
        return f"firmware {'.'.join(map(str, hello.firmware))} on {hello.board}"

    def learn(self, assignment: Assignment, task: Task, device: int = 0) -> Update:
        """See `tinyfleet.Learner`.

        Raises:
            NetworkError: also when the board lacks the memory or a kind of layer; it has been sent
                nothing then.
            TrainingError: also when the training is not online, the only one that firmware has.
            WireError: the board does not answer, or refuses.
        """
        self._accept(assignment)
        check_tasks(self._network, task.alone())
        return self._follow(assignment, stages_of(self._network, assignment, task), device)

    def sense(self, assignment: Assignment, samples: int, device: int = 0) -> Update:
        """Follow `assignment` on as many readings of the board's own sensor, one pass.

        Raises:
            NetworkError, WireError: as `learn` does; also when there is no sensor.
            TrainingError: there are local layers or several passes, but readings pass once.
        """
        self._accept(assignment)
        if assignment.local:
            raise TrainingError("assignment.local: expected none with a sensor, got local layers")
        if assignment.training.passes != 1:
            raise TrainingError(
                f"training.passes: expected 1 with a sensor, got {assignment.training.passes}"
            )
        stage = Stage(plan(self._network, frozenset(assignment.frozen)), samples)
        return self._follow(assignment, [stage], device)

    def evaluate(self, weights: Floats, x: Floats, y: Floats) -> Result:
        """Score samples `(n, *input_shape)` against targets `(n, outputs)` without learning.

        Returns:
            Their mean loss and the hits among them.

        Raises:
            NetworkError: weights or samples do not fit the network, or the network the board.
            DatasetError: the samples are not finite.
            WireError: the board does not answer, or refuses.
        """
        empty = np.empty((0, *x.shape[1:]), np.float32), np.empty((0, *y.shape[1:]), np.float32)
        check_tasks(self._network, Task(x, y, *empty).alone())
        self._network.check_weights(weights)
        lowered, stream = plan(self._network), stream_of(x, y)

        def scored(hello: Hello) -> Result:
            self._check_room(hello, [Stage(lowered, len(x))])
            self._send_program(lowered)
            self._link.send_blob(Kind.WEIGHTS, _bytes(weights))
            return self._link.send_blob(Kind.EVALUATE, _bytes(stream), Options(samples=len(x)))

        return self._through_restarts("evaluate", scored)

    def _accept(self, assignment: Assignment) -> None:
        check_assignment(self._network, assignment)
        check_online(assignment.training)
        if assignment.answer != "weights":
            raise TrainingError(
                "assignment.answer: expected weights, all that boards answer with, "
                f"got {assignment.answer}"
            )

    def _follow(self, assignment: Assignment, stages: list[Stage], device: int) -> Update:
        exchange = Exchange.of(self._network, assignment)
        assignment = exchange.arrived
        start = local_start(self._network, assignment, [device])[0]
        places = returned(self._network, assignment)
        if places is None:
            places = np.arange(self._network.parameters, dtype=np.int32)

        def one_round(hello: Hello) -> Update:
            self._check_room(hello, stages)
            keep = assignment.share < 1.0 and _can_choose(hello, stages, places)
            results = self._learn(assignment.training, start, stages, keep=keep)
            loss, examples = mean_of(results, stages, assignment.training.passes)
            if keep and (chosen := self._choose(assignment.share, places)):
                down = received(self._network, assignment)
                return Update(device, assignment.round, *chosen, examples, float(loss), down)
            return self._read(assignment, device, (start, loss, examples), diverged=keep)

        return exchange.rounded(self._through_restarts(f"round {assignment.round}", one_round))

    def _through_restarts(self, asked: str, work: Callable[[Hello], Done]) -> Done:
        """Do `work`, and start over where the board restarted or lost its place meanwhile."""
        for _ in range(STARTS):
            hello = self._link.hello()
            self._program = hello.program
            try:
                return work(hello)
            except DeviceRefused as refused:
                lost = refused.reason in (Reason.TRANSFER, Reason.CHECKSUM)
                if not lost and self._link.hello().session == hello.session:
                    raise
                self.restarts += 1
        raise WireError(
            f"{asked}: expected {hello.board} to stay up, got {STARTS} restarts; check its power"
        )

    def _check_room(self, hello: Hello, stages: list[Stage]) -> None:
        """Raise unless the board has the memory and the layers."""
        name = self._network.name
        need = max(arena_need(stage.plan) for stage in stages)
        if need > hello.arena:
            raise NetworkError(
                f"{name}: expected to fit into {hello.board}, got need {need} bytes, "
                f"have {hello.arena} bytes; take a smaller network or freeze its first layers"
            )
        for row in stages[0].plan.rows:
            if not hello.kinds >> row.kind & 1:
                raise NetworkError(
                    f"{name}: expected layers that {hello.board} has built in, got "
                    f"{KINDS[row.kind]}; build its firmware with it"
                )

    def _learn(
        self, training: Training, start: Floats, stages: list[Stage], *, keep: bool
    ) -> list[Result]:
        self._send_program(stages[0].plan)
        self._link.send_blob(Kind.WEIGHTS, _bytes(start), Options(flags=KEEP if keep else 0))
        results = []
        for stage in stages:
            self._send_program(stage.plan)
            results.append(self._learn_stage(training, stage))
        return results

    def _learn_stage(self, training: Training, stage: Stage) -> Result:
        if stage.stream is None:
            return self._link.sense(training.rate, stage.samples)
        how = Options(rate=training.rate, samples=stage.samples, passes=training.passes)
        return self._link.send_blob(Kind.LEARN, _bytes(stage.stream), how)

    def _send_program(self, lowered: Plan) -> None:
        program = pack_program(lowered)
        if zlib.crc32(program) != self._program:
            self._link.send_blob(Kind.PROGRAM, program)
            self._program = zlib.crc32(program)

    def _choose(self, share: float, places: Places) -> tuple[Floats, Places] | None:
        """Return values and places of the share that moved most; None where a weight is no number.

        The board chooses, from its kept copy.
        """
        count = max(1, round(share * len(places)))
        if not self._link.select(count, _ranges(places)):
            return None
        data = self._link.read_blob(Blob.SELECTION, 0, 8 * count)
        indices = np.frombuffer(data[: 4 * count], "<i4").astype(np.int32)
        if (np.diff(indices) < 1).any() or not np.isin(indices, places).all():
            raise WireError("select: expected ascending places of those asked for, got others")
        return np.frombuffer(data[4 * count :], "<f4").astype(np.float32), indices

    def _read(
        self,
        assignment: Assignment,
        device: int,
        learned: tuple[Floats, np.float32, int],
        *,
        diverged: bool,
    ) -> Update:
        """Read what comes back; `learned` holds the start where the board's weights belong.

        Of a share everything is read, for the gateway to choose by the board's rule. A board that
        has `diverged` hides nothing: everything that it may return comes back.
        """
        places = returned(self._network, assignment)
        start, loss, examples = learned
        weights = start.copy()
        if diverged:
            assignment = replace(assignment, share=1.0)
        ranges = [(0, len(weights))]
        if places is not None and assignment.share == 1.0:
            ranges = _ranges(places)
        for begin, stop in ranges:
            data = self._link.read_blob(Blob.WEIGHTS, 4 * begin, 4 * stop)
            weights[begin:stop] = np.frombuffer(data, "<f4")
        down = received(self._network, assignment)
        return to_update(device, assignment, (weights, loss, examples), places, down)


def check_online(training: Training) -> None:
    """Raise `TrainingError` for what firmware does not do: batches, Adam, the proximal pull."""
    for name, value, expected in (
        ("batch", training.batch, 1),
        ("optimizer", training.optimizer, "sgd"),
        ("proximal", training.proximal, 0.0),
    ):
        if value != expected:
            raise TrainingError(
                f"training.{name}: expected {expected}, the only one that boards have, got {value}"
            )


def _ranges(places: Places) -> list[tuple[int, int]]:
    """Return the runs `(start, stop)` of neighbouring places."""
    runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
    return [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]


def _can_choose(hello: Hello, stages: list[Stage], places: Places) -> bool:
    """Return whether the board can choose among `places`: there are any, and room for it."""
    need = max(arena_need(stage.plan, keep=True) for stage in stages)
    asked = len(pack_select(0, _ranges(places)))
    return bool(len(places)) and need <= hello.arena and asked <= hello.payload_max


def _bytes(values: Floats) -> bytes:
    return values.astype("<f4").tobytes()
