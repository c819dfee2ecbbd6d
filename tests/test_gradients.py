"""Gradients of every layer and every loss agree with torch's automatic differentiation."""

import numpy as np
import pytest
import torch
from drawn import every_layer, networks, targets_for
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinyfleet import reference
from tinyfleet.binding import Program, variants
from tinyfleet.layers import (
    LAYERS,
    AveragePool,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Relu,
    Relu6,
    Sigmoid,
    Tanh,
    kind_of,
)
from tinyfleet.messages import Floats, Training
from tinyfleet.network import LOSSES, Loss, Network, sequence
from tinyfleet.plan import plan
from tinyfleet.simulations.torch_model import network_model

Doubles = NDArray[np.float64]

ALONE: tuple[Layer, ...] = (
    Dense(3),
    Conv2d(3),
    Conv2d(3, (2, 4), (3, 2)),
    Conv2d(2, (3, 2), (1, 2), "valid"),
    Conv2d(5, (1, 1)),
    DepthwiseConv2d(),
    DepthwiseConv2d((4, 2), (2, 3)),
    DepthwiseConv2d((2, 3), (2, 1), "valid"),
    AveragePool((3, 2), (2, 1)),
    MaxPool((3, 2), (2, 1)),
    MaxPool(),
    GlobalAveragePool(),
    Flatten(),
    Relu(),
    Relu6(),
    Tanh(),
    Sigmoid(),
)


def reference_gradient(network: Network, vector: Floats, x: Floats, y: Floats) -> Floats:
    lowered = plan(network)
    _, gradients, _ = reference.backward(lowered, vector, x, y)
    total = np.zeros_like(vector)
    for i, gradient in gradients.items():
        flat = np.concatenate([gradient.weights.ravel(), gradient.biases])
        start = lowered.rows[i].parameters
        total[start : start + len(flat)] = flat
    return total


def torch_gradient(network: Network, vector: Floats, x: Floats, y: Floats) -> Doubles:
    weights = torch.tensor(vector, dtype=torch.float64, requires_grad=True)
    sample = torch.tensor(x, dtype=torch.float64).reshape(1, *network.input_shape)
    target = torch.tensor(y, dtype=torch.float64)[None]
    loss = network_model(network).losses(weights, sample, target).sum()
    (gradient,) = torch.autograd.grad(loss, weights)
    found: Doubles = gradient.numpy()
    return found


def example(network: Network, seed: int) -> tuple[Floats, Floats, Floats]:
    """Return a start with biases that are not zero, a sample and a target."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 0.1, network.parameters)
    x = generator.normal(0, 1, network.inputs).astype(np.float32)
    y = targets_for(network.loss, (network.outputs,), generator)
    return (network.init(seed) + noise).astype(np.float32), x, y


def around(layer: Layer, loss: Loss) -> Network:
    """Put a layer between others that learn, so that its own delta is checked as well."""
    before, after = (Conv2d(4), Tanh()), (Flatten(), Dense(3))
    if isinstance(layer, Dense | Flatten):
        return Network("n", (6, 7, 2), sequence(*before, Flatten(), layer, Dense(3)), loss)
    return Network("n", (6, 7, 2), sequence(*before, layer, *after), loss)


def test_every_kind_of_layer_is_checked() -> None:
    assert {kind_of(layer) for layer in ALONE} == set(LAYERS)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layer", ALONE, ids=str)
def test_the_gradient_of_a_layer_agrees(layer: Layer, loss: Loss) -> None:
    network = around(layer, loss)
    for seed in range(3):
        vector, x, y = example(network, seed)

        expected = torch_gradient(network, vector, x, y)

        error = reference_gradient(network, vector, x, y) - expected
        assert np.linalg.norm(error) <= 1e-5 * np.linalg.norm(expected)


@settings(deadline=None, max_examples=50)
@given(networks(), st.integers(0, 2**32 - 1))
def test_gradients_of_random_networks_agree(network: Network, seed: int) -> None:
    assume(network.parameters > 0)
    vector, x, y = example(network, seed)
    expected = torch_gradient(network, vector, x, y)
    size = np.linalg.norm(expected)
    assume(size > 1e-2)  # below, float32 has lost digits in the forward pass already

    error = reference_gradient(network, vector, x, y) - expected

    assert np.linalg.norm(error) <= 1e-5 * size


@pytest.mark.parametrize("loss", LOSSES)
def test_one_step_of_the_kernel_goes_down_torchs_gradient(loss: Loss) -> None:
    for network in every_layer(loss):
        vector, x, y = example(network, 5)
        step = 0.1 * torch_gradient(network, vector, x, y)

        for variant in variants():
            learned, losses = Program(plan(network)).learn(
                variant, Training(0.1), vector, x[None, None], y[None, None]
            )
            error = learned[0] - (vector - step)
            assert np.linalg.norm(error) <= 1e-6 * np.linalg.norm(vector) + 1e-5 * np.linalg.norm(
                step
            )
            assert losses[0] == pytest.approx(torch_loss(network, vector, x, y), rel=1e-5)


def torch_loss(network: Network, vector: Floats, x: Floats, y: Floats) -> float:
    sample = torch.tensor(x, dtype=torch.float64).reshape(1, *network.input_shape)
    target = torch.tensor(y, dtype=torch.float64)[None]
    weights = torch.tensor(vector, dtype=torch.float64)
    return float(network_model(network).losses(weights, sample, target)[0])
