"""The torch learner follows assignments as the kernel does, for networks and for any module."""

import numpy as np
import pytest
import torch
from drawn import data_for, every_layer, networks, same_bits, targets_for
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from tinyfleet.binding import Program, variants
from tinyfleet.errors import DatasetError, NetworkError, TrainingError
from tinyfleet.follow import follow
from tinyfleet.kernel_learner import Kernel, KernelLearner
from tinyfleet.layers import Dense, DepthwiseConv2d, GlobalAveragePool, Relu
from tinyfleet.messages import Assignment, Floats, Training, Update
from tinyfleet.network import Network, sequence
from tinyfleet.plan import plan
from tinyfleet.simulations.torch_learner import TorchLearner
from tinyfleet.simulations.torch_model import (
    module_model,
    module_to_vector,
    network_model,
    to_module,
    vector_to_module,
)
from tinyfleet.task import Task, TaskBatch

ODD, MEANS = every_layer("softmax-cross-entropy")
TINY = Network("tiny", (2,), sequence(Dense(3), Relu(), Dense(1)), "mean-square")

TRAININGS = [
    Training(0.05),
    Training(0.05, passes=3),
    Training(0.05, batch=3),
    Training(0.05, passes=2, batch=0),
    Training(0.05, batch=2, proximal=0.5, passes=2),
    Training(0.01, batch=4, optimizer="adam", passes=2),
    Training(0.01, optimizer="adam"),
]


def tasks_for(network: Network, counts: list[int], queries: int = 3) -> TaskBatch:
    generator = np.random.default_rng(8)
    n, s = len(counts), max(counts)

    def examples(rows: int) -> Floats:
        return generator.normal(0, 1, (n, rows, *network.input_shape)).astype(np.float32)

    def targets(rows: int) -> Floats:
        return targets_for(network.loss, (n, rows, network.outputs), generator)

    return TaskBatch(
        examples(s), targets(s), examples(queries), targets(queries), np.array(counts, np.int32)
    )


def check_agreement(got: Update, expected: Update) -> None:
    assert (got.indices is None) == (expected.indices is None)
    if expected.indices is not None:
        np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_allclose(got.values, expected.values, rtol=1e-4, atol=1e-5)
    assert got.loss == pytest.approx(expected.loss, rel=1e-4)
    for name in ("device", "round", "examples", "received", "sent"):
        assert getattr(got, name) == getattr(expected, name), name


@pytest.mark.parametrize("training", TRAININGS, ids=str)
@pytest.mark.parametrize("network", [ODD, MEANS, TINY], ids=lambda n: str(n.name))
def test_it_learns_what_the_kernel_learns(network: Network, training: Training) -> None:
    task = tasks_for(network, [7]).task(0)
    assignment = Assignment(2, network.init(4), training)

    got = TorchLearner.of_network(network).learn(assignment, task, 6)

    check_agreement(got, KernelLearner(network).learn(assignment, task, 6))


@pytest.mark.parametrize(
    "changes",
    [
        {"frozen": ("conv2d-1",)},
        {"share": 0.3},
        {"frozen": ("dense-1",), "share": 0.5},
        {"local": ("dense-1",)},
        {"local": ("dense-1",), "local_start": "zeros"},
        {"local": ("depthwise-conv2d-1", "dense-1"), "local_start": "received", "share": 0.4},
        {"local": ("dense-1",), "frozen": ("conv2d-1",), "seed": 9},
    ],
    ids=str,
)
def test_frozen_local_and_shared_parts_are_those_of_the_kernel(changes: dict[str, object]) -> None:
    task = tasks_for(ODD, [6]).task(0)
    assignment = Assignment(3, ODD.init(4), Training(0.05), **changes)  # type: ignore[arg-type]

    got = TorchLearner.of_network(ODD).learn(assignment, task, 5)

    check_agreement(got, KernelLearner(ODD).learn(assignment, task, 5))


@pytest.mark.parametrize("training", TRAININGS[2:6], ids=str)
@pytest.mark.parametrize("local", [(), ("dense-1",)], ids=str)
def test_many_at_once_learn_what_each_learns_alone(
    training: Training, local: tuple[str, ...]
) -> None:
    tasks = tasks_for(MEANS, [5, 1, 4])
    learner, assignment = (
        TorchLearner.of_network(MEANS),
        Assignment(1, MEANS.init(2), training, local=local, local_start="received"),
    )
    kernel = KernelLearner(MEANS)

    weights, losses = learner.learn_many(assignment, tasks)

    for i in range(3):
        alone = kernel.learn(assignment, tasks.task(i), i)
        at = slice(None) if alone.indices is None else alone.indices
        np.testing.assert_allclose(weights[i, at], alone.values, rtol=1e-4, atol=1e-5)
        assert losses[i] == pytest.approx(alone.loss, rel=1e-4)


def test_fresh_local_parts_follow_the_device_not_its_place() -> None:
    tasks = tasks_for(MEANS, [3, 3])
    same = TaskBatch(*(np.repeat(a[:1], 2, axis=0) for a in vars(tasks).values()))
    assignment = Assignment(1, MEANS.init(2), Training(0.05), local=("dense-1",))
    learner = TorchLearner.of_network(MEANS)

    weights, _ = learner.learn_many(assignment, same, [4, 9])

    at = MEANS.parts["dense-1"].slice
    assert not np.allclose(weights[0, at], weights[1, at])
    alone = learner.learn_many(assignment, tasks_first(same), [9])[0]
    np.testing.assert_allclose(weights[1], alone[0], rtol=1e-5, atol=1e-6)


def tasks_first(tasks: TaskBatch) -> TaskBatch:
    return TaskBatch(*(array[:1] for array in vars(tasks).values()))


@settings(deadline=None, max_examples=40)
@given(networks(), st.integers(0, 2**32 - 1))
def test_the_twin_computes_what_the_kernel_computes(network: Network, seed: int) -> None:
    data = data_for(network, 1, 3, seed, coarse=False)
    module = vector_to_module(network_model(network), data.start[0])

    with torch.no_grad():
        got = module(torch.from_numpy(data.x[0].reshape(3, *network.input_shape))).numpy()

    expected = Program(plan(network)).predict(variants()[0], data.start, data.x)[0]
    assume(np.abs(expected).max() < 1e3)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_odd_strides_do_not_lead_torchs_convolutions_astray() -> None:
    # one channel, one column, padded unevenly: torch 2.13 errs here unless tensors are copied
    layers = sequence(DepthwiseConv2d((2, 4), (1, 3)), GlobalAveragePool())
    network = Network("n", (2, 1, 1), layers, "mean-square")
    vector, x = np.arange(9, dtype=np.float32), np.array([3.0, 5.0], np.float32)

    got = TorchLearner.of_network(network).predict(vector[None], x.reshape(1, 1, 2, 1, 1))

    above, below = 1 * 3 + 5 * 5 + 8, 1 * 5 + 8  # only the second column of taps sees the input
    assert got.ravel().tolist() == [(above + below) / 2]


@settings(deadline=None, max_examples=40)
@given(networks())
def test_a_vector_survives_the_module_bit_for_bit(network: Network) -> None:
    model, vector = network_model(network), network.init(3)

    vector_to_module(model, vector)

    assert same_bits(module_to_vector(model), vector)


def test_the_module_of_a_network_holds_its_first_weights() -> None:
    x = torch.ones(1, 2)

    (a, b, c) = (to_module(TINY, seed)(x).item() for seed in (1, 1, 2))

    assert a == b != c


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


def test_any_module_learns_as_the_network_of_the_same_weights() -> None:
    learner, network = TorchLearner.of_module(small, "mean-square"), network_model(TINY)
    task, start = tasks_for(TINY, [6]).task(0), TINY.init(5)
    module = vector_to_module(network, start)
    linear = torch.cat([p.detach().reshape(-1) for p in module.parameters()]).numpy()

    update = learner.learn(Assignment(1, linear, Training(0.1), frozen=("0",)), task)

    expected = KernelLearner(TINY).learn(
        Assignment(1, start, Training(0.1), frozen=("dense-1",)), task
    )
    assert update.loss == pytest.approx(expected.loss, rel=1e-5)
    # a last layer of one output lies the same way in both vectors
    np.testing.assert_allclose(update.values, expected.values, rtol=1e-5, atol=1e-6)


def test_the_layers_of_a_module_are_its_submodules_with_parameters() -> None:
    parts = module_model(small, "mean-square").parts

    assert list(parts) == ["0", "2"]
    assert [part.slice for part in parts.values()] == [slice(0, 9), slice(9, 13)]


def test_a_seed_decides_the_first_weights_of_a_module() -> None:
    model = module_model(small, "mean-square")

    assert same_bits(model.init((1, 2)), model.init((1, 2)))
    assert not same_bits(model.init((1, 2)), model.init((2, 1)))


def test_learning_leaves_the_modules_buffers_and_torchs_random_numbers_alone() -> None:
    def normed() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))

    learner = TorchLearner.of_module(normed, "mean-square")
    before = {k: v.clone() for k, v in learner.model.module.state_dict().items()}
    state = torch.get_rng_state()
    assignment = Assignment(1, learner.model.init(1), Training(0.1, batch=3), seed=4)
    task = tasks_for(TINY, [6]).task(0)

    first, again = learner.learn(assignment, task), learner.learn(assignment, task)

    assert not same_bits(first.values, assignment.weights)
    assert same_bits(first.values, again.values)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in learner.model.module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_predictions_are_the_kernels() -> None:
    data = data_for(ODD, 3, 2, 1, coarse=False)
    x = data.x.reshape(3, 2, *ODD.input_shape)

    got = TorchLearner.of_network(ODD).predict(data.start, x)

    expected = Program(plan(ODD)).predict(variants()[0], data.start, data.x)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_weights_and_examples_that_do_not_fit_are_refused() -> None:
    task = tasks_for(TINY, [4]).task(0)
    learner, vector = TorchLearner.of_module(small, "mean-square"), TINY.init(1)
    wide = np.zeros((4, 3), np.float32)

    def learn(weights: Floats, task: Task) -> None:
        learner.learn(Assignment(1, weights, Training(0.1)), task)

    with pytest.raises(NetworkError, match="round 1: weights: expected 13 float32"):
        learn(vector[:5], task)
    with pytest.raises(NetworkError, match=r"support_x: Sequential cannot take .* \(3,\)"):
        learn(vector, Task(wide, task.support_y, task.query_x, task.query_y))
    with pytest.raises(NetworkError, match=r"support_y: Sequential expects targets of \(1,\)"):
        learn(vector, Task(task.support_x, wide, task.query_x, task.query_y))
    with pytest.raises(DatasetError, match="support_x: expected finite numbers"):
        learn(vector, Task(task.support_x * np.nan, task.support_y, task.query_x, task.query_y))
    with pytest.raises(
        NetworkError, match=r"assignment\.frozen: Sequential has no trainable layer"
    ):
        learner.learn(Assignment(1, vector, Training(0.1), frozen=("1",)), task)


def test_examples_of_another_shape_are_refused_though_the_module_would_take_them() -> None:
    task = tasks_for(MEANS, [2]).task(0)
    other = Task(task.support_x[:, :4], task.support_y, task.query_x, task.query_y)

    with pytest.raises(NetworkError, match=r"support_x: means expects examples of \(5, 9, 2\)"):
        TorchLearner.of_network(MEANS).learn(Assignment(1, MEANS.init(1), Training(0.1)), other)


def test_local_layers_without_a_query_are_refused() -> None:
    task = tasks_for(TINY, [2], queries=0).task(0)
    assignment = Assignment(1, TINY.init(1), Training(0.1), local=("dense-1",))

    with pytest.raises(TrainingError, match="expected a query to learn from"):
        TorchLearner.of_network(TINY).learn(assignment, task)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_every_device_of_torch_learns_what_the_kernel_learns(device: str) -> None:
    tasks, assignment = tasks_for(ODD, [5, 5]), Assignment(1, ODD.init(2), Training(0.05))

    got = TorchLearner.of_network(ODD, device).learn_many(assignment, tasks)

    expected = follow(Kernel(ODD, variants()[-1]), assignment, tasks, [0, 1])
    np.testing.assert_allclose(got[0], expected.weights, rtol=1e-3, atol=1e-4)
