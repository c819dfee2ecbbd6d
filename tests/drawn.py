"""Random networks, settings and data, for promises that hold for all of them."""

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinyfleet.layers import (
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
    Shape,
    Sigmoid,
    Tanh,
)
from tinyfleet.network import LOSSES, Loss, Network, sequence

Floats = NDArray[np.float32]
ELEMENTWISE: tuple[Layer, ...] = (Relu(), Relu6(), Tanh(), Sigmoid())
TO_VECTOR: tuple[Layer, ...] = (GlobalAveragePool(), Flatten())
CHANNELS = st.one_of(st.integers(1, 9), st.sampled_from([4, 8, 16, 17]))


@st.composite
def layers_for(draw: st.DrawFn, shape: Shape) -> Layer:
    """Draw a layer that takes an input of `shape`."""
    elementwise = st.sampled_from(ELEMENTWISE)
    if len(shape) == 1:
        simple: Layer = draw(st.one_of(st.builds(Dense, CHANNELS), st.just(Flatten()), elementwise))
        return simple
    height, width, _ = shape
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    fits = kernel[0] <= height and kernel[1] <= width
    padding = st.sampled_from(["same", "valid"]) if fits else st.just("same")
    size = st.tuples(st.integers(1, min(height, 4)), st.integers(1, min(width, 4)))
    step = st.one_of(st.none(), st.just(stride))
    layer: Layer = draw(
        st.one_of(
            st.builds(Conv2d, CHANNELS, st.just(kernel), st.just(stride), padding),
            st.builds(DepthwiseConv2d, st.just(kernel), st.just(stride), padding),
            st.builds(AveragePool, size, step),
            st.builds(MaxPool, size, step),
            st.sampled_from(TO_VECTOR),
            elementwise,
        )
    )
    return layer


@st.composite
def networks(draw: st.DrawFn, most: int = 6, largest: tuple[int, int, int] = (9, 12, 5)) -> Network:
    """Draw a network of up to `most` layers, and one more where it has to end in a vector.

    Its input is a vector, or an image of up to `largest`: height, width, channels.
    """
    features = st.tuples(st.integers(1, 9))
    image = st.tuples(*(st.integers(1, size) for size in largest))
    shape: Shape = draw(st.one_of(features, image))
    input_shape = shape
    layers: list[Layer] = []
    for _ in range(draw(st.integers(1, most))):
        layer = draw(layers_for(shape))
        layers.append(layer)
        shape = layer.output_shape(shape)
    if len(shape) == 3:
        layers.append(draw(st.sampled_from(TO_VECTOR)))
    if all(isinstance(layer, Flatten) for layer in layers):
        layers.append(Dense(2))
    loss: Loss = draw(st.sampled_from(LOSSES))
    return Network("drawn", input_shape, sequence(*layers), loss)


@st.composite
def frozen_sets(draw: st.DrawFn, network: Network) -> frozenset[str]:
    """Draw any set of layers that keep their weights."""
    names = sorted(network.parts)
    return draw(st.frozensets(st.sampled_from(names))) if names else frozenset()


@dataclass(frozen=True)
class Data:
    """Starting vectors `(n, parameters)`; streams `(n, s, inputs)` and `(n, s, outputs)`."""

    start: Floats
    x: Floats
    y: Floats


def data_for(network: Network, devices: int, samples: int, seed: int, *, coarse: bool) -> Data:
    """Return random data; coarse ones are multiples of 1/4, full of zeros and of equal numbers."""
    generator = np.random.default_rng(seed)
    start = generator.normal(0, 0.4, (devices, network.parameters))
    x = generator.normal(0, 1, (devices, samples, network.inputs))
    if coarse:
        start, x = np.round(4 * start) / 4, np.round(x)
    y = targets_for(network.loss, (devices, samples, network.outputs), generator)
    return Data(start.astype(np.float32), x.astype(np.float32), y)


def targets_for(loss: Loss, shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Return targets `shape` of the kind that `loss` compares with."""
    if loss == "mean-square":
        return generator.normal(0, 1, shape).astype(np.float32)
    if loss == "sigmoid-cross-entropy":
        return generator.integers(0, 2, shape).astype(np.float32)
    classes = generator.integers(0, shape[-1], math.prod(shape[:-1]))
    return np.eye(shape[-1], dtype=np.float32)[classes].reshape(shape)


def every_layer(loss: Loss) -> tuple[Network, ...]:
    """Return small networks that together have every kind of layer, and odd geometry."""
    odd = sequence(
        Conv2d(5, (3, 2), (2, 1)),
        Relu6(),
        DepthwiseConv2d((2, 3), (1, 2), "same"),
        Tanh(),
        MaxPool((2, 2), (1, 1)),
        Flatten(),
        Dense(3),
    )
    means = sequence(
        AveragePool((2, 2), (1, 2)),
        Conv2d(4, (1, 1)),
        Relu(),
        Conv2d(4, (3, 3), (1, 1), "valid"),
        Sigmoid(),
        GlobalAveragePool(),
        Dense(2),
    )
    return Network("odd", (5, 6, 2), odd, loss), Network("means", (5, 9, 2), means, loss)


def same_bits(a: Floats, b: Floats) -> bool:
    """Return whether two float32 arrays hold the same bits, signs of zero included."""
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return a.shape == b.shape and bool((a.view(np.int32) == b.view(np.int32)).all())
