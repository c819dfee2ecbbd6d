"""Networks with a name: the applications of TECS 2024, and one that trains inside 256 KB."""

from collections.abc import Callable
from functools import partial

from tinyfleet.errors import NetworkError
from tinyfleet.layers import (
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    Relu,
    Tanh,
)
from tinyfleet.network import Network, sequence


def sine() -> Network:
    """Return 1-32-32-1 with ReLU, 1,153 parameters (TECS 2024, section 5)."""
    layers = sequence(Dense(32), Relu(), Dense(32), Relu(), Dense(1))
    return Network("sine", (1,), layers, "mean-square")


def sine_tanh() -> Network:
    """Return 1-32-32-1 with tanh, 1,153 parameters: smooth, as the curves are."""
    layers = sequence(Dense(32), Tanh(), Dense(32), Tanh(), Dense(1))
    return Network("sine-tanh", (1,), layers, "mean-square")


def presence() -> Network:
    """Return 8-32-64-32-1 with ReLU, 4,513 parameters (TECS 2024, application III)."""
    layers = sequence(Dense(32), Relu(), Dense(64), Relu(), Dense(32), Relu(), Dense(1))
    return Network("presence", (8,), layers, "sigmoid-cross-entropy")


def _separable(filters: int, stride: tuple[int, int] = (1, 1)) -> tuple[Layer, ...]:
    """Return a depthwise separable convolution (Howard et al. 2017, section 3.1)."""
    return DepthwiseConv2d((3, 3), stride), Conv2d(filters, (1, 1)), Relu()


def characters() -> Network:
    """Return a depthwise CNN for 5 characters of 28x28 pixels (TECS 2024, application I)."""
    layers = sequence(
        Conv2d(16, (3, 3), (2, 2)),
        Relu(),
        *_separable(32, (2, 2)),
        *_separable(64, (2, 2)),
        *_separable(128, (2, 2)),
        Flatten(),
        Dense(5),
    )
    return Network("characters", (28, 28, 1), layers, "softmax-cross-entropy")


def characters_mcu() -> Network:
    """Return a CNN for 5 characters whose whole training fits a Cortex-M4 with 256 KB.

    Weights, scratch and a sample take under 64 KB, so that a second copy of the weights, a link's
    buffers and a stack fit beside them.
    """
    layers = sequence(
        Conv2d(8, (3, 3), (2, 2)),
        Relu(),
        *_separable(32, (2, 2)),
        *_separable(64, (2, 2)),
        *_separable(64, (2, 2)),
        Flatten(),
        Dense(5),
    )
    return Network("characters-mcu", (28, 28, 1), layers, "softmax-cross-entropy")


def characters_wide() -> Network:
    """Return a CNN for 5 characters that keeps 7x7 places up to a wide last layer.

    Two thirds of its parameters are in the last layer, which is linear in 2,352 features: a
    device that keeps it to itself exchanges 5,600 parameters.
    """
    layers = sequence(
        Conv2d(16, (3, 3), (2, 2)),
        Relu(),
        *_separable(32, (2, 2)),
        *_separable(48),
        *_separable(48),
        Flatten(),
        Dense(5),
    )
    return Network("characters-wide", (28, 28, 1), layers, "softmax-cross-entropy")


def characters_conv(ways: int = 5) -> Network:
    """Return four 3x3 convolutions of 32 filters for `ways` characters.

    After the network of Reptile 2018 (section 6), half as wide, without batch normalisation, and
    with 4x4 places before the last layer. Of 30,629 parameters 2,565 are in that.
    """
    layers = sequence(
        *(layer for _ in range(3) for layer in (Conv2d(32, (3, 3), (2, 2)), Relu())),
        Conv2d(32, (3, 3)),
        Relu(),
        Flatten(),
        Dense(ways),
    )
    name = "characters-conv" if ways == 5 else f"characters-conv-{ways}"
    return Network(name, (28, 28, 1), layers, "softmax-cross-entropy")


def keywords() -> Network:
    """Return a depthwise CNN for 4 keywords on 49x10 MFCC (TECS 2024, application II).

    After the keyword network of MLPerf Tiny (Banbury et al. 2021): a 10x4 convolution, then
    depthwise separable blocks, then the mean of each channel.
    """
    layers = sequence(
        Conv2d(64, (10, 4), (2, 2)),
        Relu(),
        *_separable(64),
        *_separable(64),
        *_separable(128, (2, 2)),
        *_separable(256),
        GlobalAveragePool(),
        Dense(4),
    )
    return Network("keywords", (49, 10, 1), layers, "softmax-cross-entropy")


def keywords_mcu(ways: int = 4) -> Network:
    """Return a CNN for `ways` keywords whose whole training takes under 100 KB of a Cortex-M4.

    Seven of ten parameters are in the last layer, which is linear in 2,496 features: a device that
    keeps it to itself exchanges 3,792 parameters.
    """
    layers = sequence(
        Conv2d(16, (10, 4), (2, 2)),
        Relu(),
        *_separable(32, (2, 2)),
        *_separable(64),
        Flatten(),
        Dense(ways),
    )
    name = "keywords-mcu" if ways == 4 else f"keywords-mcu-{ways}"
    return Network(name, (49, 10, 1), layers, "softmax-cross-entropy")


NETWORKS: dict[str, Callable[[], Network]] = {
    "characters": characters,
    "characters-conv": characters_conv,
    "characters-conv-20": partial(characters_conv, 20),
    "characters-mcu": characters_mcu,
    "characters-wide": characters_wide,
    "keywords": keywords,
    "keywords-mcu": keywords_mcu,
    "keywords-mcu-5": partial(keywords_mcu, 5),
    "presence": presence,
    "sine": sine,
    "sine-tanh": sine_tanh,
}


def named_network(name: str) -> Network:
    """Return the network called `name`.

    Raises:
        NetworkError: there is none of this name.
    """
    if name not in NETWORKS:
        raise NetworkError(
            f"network: expected one of {', '.join(NETWORKS)}, or a .toml file, got {name[:60]!r}"
        )
    return NETWORKS[name]()
