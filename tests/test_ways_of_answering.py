"""First-order MAML and FedRep on a device: by hand, and alike on every learner and board."""

from dataclasses import replace

import numpy as np
import pytest
from boards import check_same, host, task_for

from tinyfleet import Assignment, KernelLearner, ReferenceLearner, Training, TrainingError
from tinyfleet.client.board import Board
from tinyfleet.client.link import Link
from tinyfleet.envelope import assignment_from_config, assignment_to_config
from tinyfleet.mean import refusal
from tinyfleet.messages import CommonAssignment
from tinyfleet.networks import named_network
from tinyfleet.simulations.fleet import SimulatedFleet
from tinyfleet.simulations.tasks.sine import tecs2024
from tinyfleet.simulations.torch_learner import TorchLearner

SINE = named_network("sine")
BATCHES = Training(0.05, passes=2, batch=3)
GRADIENT = Assignment(3, SINE.init(7), BATCHES, answer="gradient")
BODY = Assignment(3, SINE.init(7), BATCHES, local=("dense-3",), shared_from="support", seed=5)
BOTH = pytest.mark.parametrize("asked", [GRADIENT, BODY], ids=["gradient", "body"])


def test_a_gradient_is_taken_where_the_device_adapted_to() -> None:
    task = task_for(SINE, 6, 4)
    update = KernelLearner(SINE).learn(GRADIENT, task)
    adapted = KernelLearner(SINE).learn(replace(GRADIENT, answer="weights"), task).values
    query = replace(task, support_x=task.query_x, support_y=task.query_y)
    step = Assignment(3, adapted, Training(0.05, batch=0))
    there = KernelLearner(SINE).learn(step, query).values
    assert update.values.tobytes() == (GRADIENT.weights + (there - adapted)).tobytes()
    assert (there != adapted).any()
    assert update.examples == 2 * 6 + 4


def test_the_head_is_fitted_first_and_stays_on_the_device() -> None:
    task = task_for(SINE, 6)
    update = KernelLearner(SINE).learn(BODY, task, 4)
    head = SINE.parts["dense-3"].slice
    start = BODY.weights.copy()
    start[head] = SINE.init((BODY.seed, BODY.round, 4))[head]
    learner = KernelLearner(SINE)
    fitted = start.copy()
    first = Assignment(3, start, BATCHES, frozen=("dense-1", "dense-2"))
    fitted[head] = learner.learn(first, task).values
    then = learner.learn(Assignment(3, fitted, BATCHES, frozen=("dense-3",)), task)
    assert update.values.tobytes() == then.values.tobytes()
    assert update.indices is not None
    assert update.indices.tolist() == list(range(head.start))
    assert update.examples == 2 * (6 + 6)


@BOTH
def test_the_reference_answers_in_the_kernels_bits(asked: Assignment) -> None:
    task = task_for(SINE, 6, 4)
    check_same(
        ReferenceLearner(SINE).learn(asked, task, 4), KernelLearner(SINE).learn(asked, task, 4)
    )


@BOTH
def test_a_fleet_answers_in_the_kernels_bits(asked: Assignment) -> None:
    family = tecs2024(1, support=6, query=4)
    fleet = SimulatedFleet(SINE, replace(family, min_support=2), 9, workers=1)
    for update in fleet.run(CommonAssignment(asked, (fleet.devices,))):
        device = np.array([update.device])
        task = fleet.tasks.batch(device, asked.round).task(0)
        check_same(update, KernelLearner(SINE).learn(asked, task, update.device))


@BOTH
def test_torch_answers_as_the_kernel_does(asked: Assignment) -> None:
    task = task_for(SINE, 6, 4)
    got = TorchLearner.of_network(SINE).learn(asked, task, 4)
    expected = KernelLearner(SINE).learn(asked, task, 4)
    np.testing.assert_allclose(got.values, expected.values, rtol=1e-4, atol=1e-5)
    assert got.loss == pytest.approx(expected.loss, rel=1e-4)
    assert (got.examples, got.received) == (expected.examples, expected.received)


@BOTH
def test_what_is_asked_travels(asked: Assignment) -> None:
    found = assignment_from_config(assignment_to_config(asked), asked.weights)
    assert found == replace(asked, weights=found.weights)


def test_what_older_gateways_follow_travels_as_before() -> None:
    plain = assignment_to_config(Assignment(1, SINE.init(0), BATCHES))
    assert not {"answer", "shared-from"} & set(plain)


@pytest.mark.parametrize("key", ["answer", "shared-from"])
def test_an_answer_that_nobody_knows_is_refused(key: str) -> None:
    config = {**assignment_to_config(GRADIENT), key: "second-order"}
    with pytest.raises(TrainingError, match=f"config.{key}: expected one of"):
        assignment_from_config(config, SINE.init(0))


def test_a_gradient_of_local_layers_is_refused() -> None:
    with pytest.raises(TrainingError, match="expected weights with local layers, got gradient"):
        replace(GRADIENT, local=("dense-3",))


@pytest.mark.parametrize("rate", [1e3, 1e20, 1e38])
def test_a_device_that_diverges_answers_so_that_it_is_refused(rate: float) -> None:
    asked = replace(GRADIENT, training=replace(BATCHES, rate=rate, passes=3))
    update = KernelLearner(SINE).learn(asked, task_for(SINE, 6, 4))
    assert refusal(update, SINE.parameters, asked.round) is not None


def test_a_gradient_needs_a_query() -> None:
    with pytest.raises(TrainingError, match=r"assignment\.answer: expected a query to learn from"):
        KernelLearner(SINE).learn(GRADIENT, task_for(SINE, 6))


def test_a_board_refuses_to_answer_with_a_gradient() -> None:
    port = host()
    try:
        board = Board(Link(port), SINE)
        with pytest.raises(TrainingError, match="expected weights, all that boards answer with"):
            board.learn(replace(GRADIENT, training=Training(0.05)), task_for(SINE, 6, 4))
    finally:
        port.close()


def test_a_board_fits_head_and_body_as_the_kernel_does() -> None:
    asked, task = replace(BODY, training=Training(0.05, passes=2)), task_for(SINE, 6)
    port = host()
    try:
        update = Board(Link(port), SINE).learn(asked, task, 4)
    finally:
        port.close()
    check_same(update, KernelLearner(SINE).learn(asked, task, 4))
