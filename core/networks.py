"""Networks with a name: the applications of TECS 2024, and one that trains inside 256 KB."""

from collections.abc import Callable

from tinyfleet.errors import NetworkError
from tinyfleet.layers import (
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    GlobalAveragePool,
    Layer,
    Relu,
)
from tinyfleet.network import Network, sequence


def sine() -> Network:
    """Return 1-32-32-1 with ReLU, 1,153 parameters (TECS 2024, section 5)."""
    layers = sequence(Dense(32), Relu(), Dense(32), Relu(), Dense(1))
    return Network("sine", (1,), layers, "mean-square")


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


NETWORKS: dict[str, Callable[[], Network]] = {
    "characters": characters,
    "characters-mcu": characters_mcu,
    "keywords": keywords,
    "presence": presence,
    "sine": sine,
}


def named_network(name: str) -> Network:
    """Return the network called `name`.

    Raises:
        NetworkError: there is none of this name.
    """
    if name not in NETWORKS:
        raise NetworkError(f"network: expected one of {', '.join(NETWORKS)}, got {name!r}")
    return NETWORKS[name]()
