"""A network knows its shapes, its parameters and their places, and refuses what does not fit."""

import dataclasses
import math

import numpy as np
import pytest
from drawn import networks
from hypothesis import given, settings

from tinyfleet.errors import NetworkError
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
    Tanh,
    kind_of,
    slide,
)
from tinyfleet.messages import Floats
from tinyfleet.network import Network, sequence
from tinyfleet.networks import NETWORKS, named_network

TINY = Network("tiny", (2,), sequence(Dense(3), Relu(), Dense(1)), "mean-square")


@pytest.mark.parametrize(
    ("shape", "layers", "parameters", "shapes"),
    [
        ((1,), (Dense(32), Relu(), Dense(32), Relu(), Dense(1)), 64 + 1056 + 33, [32, 32, 1]),
        ((8,), (Dense(32), Dense(64), Dense(32), Dense(1)), 288 + 2112 + 2080 + 33, [32, 64]),
        ((5, 4, 3), (Conv2d(7, (3, 2)), Flatten()), 7 * (3 * 2 * 3 + 1), [(5, 4, 7), 140]),
        ((5, 4, 3), (DepthwiseConv2d((3, 2)), Flatten()), 3 * (3 * 2 + 1), [(5, 4, 3), 60]),
        ((5, 4, 3), (MaxPool(), GlobalAveragePool(), Dense(2)), 3 * 2 + 2, [(2, 2, 3), 3, 2]),
    ],
)
def test_parameters_and_shapes_are_those_counted_by_hand(
    shape: tuple[int, ...],
    layers: tuple[Layer, ...],
    parameters: int,
    shapes: list[int | tuple[int, ...]],
) -> None:
    network = Network("n", shape, sequence(*layers), "mean-square")
    computed = [s for i, s in enumerate(network.shapes[1:]) if not isinstance(layers[i], Relu)]

    assert network.parameters == parameters
    assert computed[: len(shapes)] == [s if isinstance(s, tuple) else (s,) for s in shapes]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "outputs", "before"),
    [
        (5, 3, 1, "same", 5, 1),
        (6, 3, 2, "same", 3, 0),  # one row of padding: it goes last
        (5, 3, 2, "same", 3, 1),
        (5, 2, 1, "same", 5, 0),
        (5, 1, 3, "same", 2, 0),
        (2, 5, 1, "same", 2, 2),
        (5, 3, 1, "valid", 3, 0),
        (6, 3, 2, "valid", 2, 0),
    ],
)
def test_same_padding_puts_the_odd_row_last(
    size: int, kernel: int, stride: int, padding: str, outputs: int, before: int
) -> None:
    layer = Conv2d(1, (kernel, 1), (stride, 1), padding)  # type: ignore[arg-type]

    window = slide((size, 1, 1), layer.kernel, layer.stride, layer.padding)

    assert (window.outputs[0], window.before[0]) == (outputs, before)


@settings(deadline=None, max_examples=100)
@given(networks())
def test_the_parts_tile_the_vector(network: Network) -> None:
    places = [i for part in network.parts.values() for i in range(part.start, part.stop)]

    assert places == list(range(network.parameters))
    assert network.init(0).shape == (network.parameters,)
    for part in network.parts.values():
        assert part.stop - part.start == math.prod(part.weights) + part.biases


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(TINY, input_shape=(3,)),
        dataclasses.replace(TINY, loss="sigmoid-cross-entropy"),
        dataclasses.replace(TINY, layers=sequence(Dense(4), Relu(), Dense(1))),
        dataclasses.replace(TINY, layers=sequence(Dense(3), Tanh(), Dense(1))),
        dataclasses.replace(TINY, layers=sequence(Dense(3), Dense(1))),
        dataclasses.replace(
            TINY, layers=(("head", Dense(3)), ("relu-1", Relu()), ("dense-2", Dense(1)))
        ),
    ],
)
def test_the_checksum_changes_with_whatever_is_computed(other: Network) -> None:
    assert other.checksum != TINY.checksum


@pytest.mark.parametrize(
    "layer",
    [Conv2d(2, stride=(2, 1)), Conv2d(2, padding="valid"), Conv2d(2, (1, 3)), AveragePool()],
)
def test_the_checksum_changes_with_every_field_of_a_layer(layer: Layer) -> None:
    def network(first: Layer) -> Network:
        return Network("n", (4, 4, 1), sequence(first, Flatten()), "mean-square")

    assert network(layer).checksum != network(Conv2d(2)).checksum


def test_the_checksum_is_the_same_for_the_same_network_under_another_name() -> None:
    assert dataclasses.replace(TINY, name="other").checksum == TINY.checksum


def test_first_weights_and_biases_stay_in_their_limits_and_fill_them() -> None:
    network = Network("n", (9, 9, 4), sequence(Conv2d(8), Flatten(), Dense(99)), "mean-square")

    vector = network.init(3)

    fans = {"conv2d-1": (9 * 4, 9 * 8), "dense-1": (648, 99)}
    for name, part in network.parts.items():
        weights, biases = np.split(vector[part.slice], [math.prod(part.weights)])
        limit, spread = math.sqrt(6 / sum(fans[name])), 1 / math.sqrt(fans[name][0])
        assert 0.97 * limit < np.abs(weights).max() <= np.float32(limit)
        assert 0.5 * spread < np.abs(biases).max() <= np.float32(spread)


def test_a_seed_decides_every_weight() -> None:
    assert TINY.init(1).tobytes() == TINY.init(1).tobytes()
    assert TINY.init(1).tobytes() != TINY.init(2).tobytes()


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.zeros(12, np.float32), r"expected 13 float32 of network tiny, got .* \(12,\)"),
        (np.zeros(13), r"expected 13 float32 of network tiny, got float64"),
        (np.zeros((13, 1), np.float32), r"got float32 of shape \(13, 1\)"),
        (np.append(np.zeros(12), np.nan).astype(np.float32), r"finite numbers, got nan at 12"),
        (np.append(np.inf, np.zeros(12)).astype(np.float32), r"finite numbers, got inf at 0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(vector: Floats, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        TINY.check_weights(vector)


def test_naming_a_layer_without_parameters_is_refused() -> None:
    with pytest.raises(NetworkError, match="frozen: tiny has no trainable layer 'relu-1'"):
        TINY.check_layers(("dense-1", "relu-1"), "frozen")


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ((4,), (), "expected at least one"),
        ((0,), (Dense(1),), r"input: expected \[features\]"),
        ((4, 4), (Dense(1),), r"input: expected \[features\]"),
        ((4, 4, 1), (Dense(1),), "layer dense-1: dense: expected a vector"),
        ((4,), (Conv2d(1),), r"layer conv2d-1: expected an input of \(height, width, channels\)"),
        ((4,), (GlobalAveragePool(),), "global-average-pool: expected an image"),
        ((4, 4, 1), (Conv2d(1),), r"expected a vector at the end, got \(4, 4, 1\)"),
        ((4, 4, 1), (MaxPool((5, 1)), Flatten()), "a kernel of 5 does not fit into 4"),
        ((4, 4, 1), (Conv2d(0), Flatten()), "expected at least 1 filter, got 0"),
        ((4, 4, 1), (Conv2d(1, (0, 1)), Flatten()), "expected 1 or more"),
        ((4,), (Dense(0),), "expected at least 1 output, got 0"),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    shape: tuple[int, ...], layers: tuple[Layer, ...], message: str
) -> None:
    with pytest.raises(NetworkError, match=message):
        Network("n", shape, sequence(*layers), "mean-square")


def test_two_layers_of_one_name_are_refused() -> None:
    with pytest.raises(NetworkError, match="different names"):
        Network("n", (4,), (("a", Dense(2)), ("a", Dense(1))), "mean-square")


@pytest.mark.parametrize("name", ["", "two\nlines"])
def test_a_name_that_cannot_be_printed_is_refused(name: str) -> None:
    with pytest.raises(NetworkError, match="name: expected printable characters"):
        Network(name, (4,), sequence(Dense(2)), "mean-square")


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"loss: expected one of mean-square, .* got 'hinge'"):
        Network("n", (4,), sequence(Dense(2)), "hinge")  # type: ignore[arg-type]


def test_every_kind_names_one_class() -> None:
    assert len(set(LAYERS.values())) == len(LAYERS)
    assert kind_of(Conv2d(3)) == "conv2d"


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("sine", 1_153, 1_153),
        ("presence", 4_513, 4_513),
        ("characters", 1, 108_229),
        ("keywords", 1, 105_124),
        ("characters-mcu", 1, 108_229),
        ("characters-wide", 1, 108_229),
        ("sine-tanh", 1, 1_153),
    ],
)
def test_named_networks_have_the_published_size(name: str, least: int, most: int) -> None:
    assert name in NETWORKS
    assert least <= named_network(name).parameters <= most
