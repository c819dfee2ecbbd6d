"""A device that stands for a board trains no more than the board has room for."""

import numpy as np
import pytest

from tinyfleet import named_network
from tinyfleet.client.attach import attach
from tinyfleet.client.tables import DeviceTable
from tinyfleet.client.thing import Facts
from tinyfleet.errors import TrainingError
from tinyfleet.messages import Assignment, Training
from tinyfleet.plan import plan
from tinyfleet.task import Task
from tinyfleet.wire import arena_need

SINE = named_network("sine")
WHOLE = arena_need(plan(SINE))
HIDDEN = tuple(SINE.parts)[:-1]
HEAD = arena_need(plan(SINE, frozenset(HIDDEN)))
ZEROS = np.zeros((2, 1), np.float32)


@pytest.mark.parametrize(
    ("arena", "frozen", "fits"),
    [(0, (), True), (WHOLE, (), True), (HEAD, (), False), (HEAD, HIDDEN, True), (9, HIDDEN, False)],
)
def test_what_the_board_has_no_room_for_is_refused(
    arena: int, frozen: tuple[str, ...], fits: bool
) -> None:
    facts = Facts(board="small", software="s", arena=arena)
    table = DeviceTable(kind="simulated", source={}, number=0, facts=facts)
    device = attach(table, 0, SINE, lambda *_: Task(ZEROS, ZEROS, ZEROS, ZEROS))()
    training = Training(rate=0.01, passes=1, batch=1, optimizer="sgd", proximal=0.0)
    assignment = Assignment(1, SINE.init(0), training, frozen=frozen)

    if fits:
        assert device.learn(assignment).round == 1
    else:
        with pytest.raises(TrainingError, match=r"that this device stands for has"):
            device.learn(assignment)
