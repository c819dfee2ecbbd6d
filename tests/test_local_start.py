"""A held-out task starts its local layers as a device that trained did."""

from typing import get_args

import numpy as np
import pytest

from tinyfleet.messages import LocalStart, Training
from tinyfleet.networks import named_network
from tinyfleet.simulations.evaluation import Judge, mean_squared_error
from tinyfleet.simulations.tasks.sine import tecs2024

SINE = named_network("sine")
HEAD = SINE.parts["dense-3"].slice


def judge(local_start: LocalStart) -> Judge:
    return Judge(
        SINE,
        tecs2024(1, "validation", support=8, query=20),
        tasks=5,
        rows_per_shot=1,
        metric=mean_squared_error,
        training=Training(0.01),
        workers=1,
        local=("dense-3",),
        local_start=local_start,
    )


def test_what_the_server_holds_in_local_layers_is_judged_only_where_devices_receive_it() -> None:
    weights, other = SINE.init(1), SINE.init(1)
    other[HEAD] += 1.0

    same = {
        start: np.array_equal(judge(start).scores(weights, 4, 1), judge(start).scores(other, 4, 1))
        for start in get_args(LocalStart)
    }

    assert same == {"received": False, "zeros": True, "fresh": True}


@pytest.mark.parametrize("shots", [0, 4])
def test_zeros_are_zeros(shots: int) -> None:
    weights, bare = SINE.init(1), SINE.init(1)
    bare[HEAD] = 0.0

    expected = judge("received").scores(bare, shots, 2)

    assert np.array_equal(judge("zeros").scores(weights, shots, 2), expected)


def test_fresh_layers_differ_from_task_to_task() -> None:
    starts = judge("fresh").start(SINE.init(1), range(3))

    heads = starts[:, HEAD]
    assert len(np.unique(heads, axis=0)) == 3
    assert (np.delete(starts, np.r_[HEAD], axis=1) == np.delete(SINE.init(1), np.r_[HEAD])).all()
