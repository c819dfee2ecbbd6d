"""What a network costs a device: multiply-accumulates, flash and training RAM."""

import math
from dataclasses import dataclass

from tinyfleet.binding import Program
from tinyfleet.layers import Conv2d, Dense, DepthwiseConv2d, Elementwise, Flatten
from tinyfleet.messages import Training
from tinyfleet.network import Network
from tinyfleet.plan import plan

_ROW_BYTES = 19 * 4  # struct fleet_layer


@dataclass(frozen=True)
class Cost:
    """Costs of one network on one device.

    Attributes:
        parameters: length of the vector.
        macs_forward: multiply-accumulates of one inference, biases and pools not counted, as in
            MLPerf Tiny.
        macs_training: multiply-accumulates of one online step: forward, deltas, gradients.
        flash_bytes: the vector and the layer table; the firmware's code not counted.
        training_ram_bytes: the kernel's exact need: weights, scratch, one sample, one target.
        training_ram_published_bytes: 4 P + b A of TECS 2024, where A are the bytes of the input
            and of every layer's output, functions of single numbers not counted.
    """

    parameters: int
    macs_forward: int
    macs_training: int
    flash_bytes: int
    training_ram_bytes: int
    training_ram_published_bytes: int


def layer_macs(network: Network) -> dict[str, int]:
    """Return the multiply-accumulates of one forward pass, layer by layer."""
    macs = {}
    for i, (name, layer) in enumerate(network.layers):
        if isinstance(layer, Dense | Conv2d | DepthwiseConv2d):
            positions = math.prod(network.shapes[i + 1][:-1])
            macs[name] = positions * math.prod(network.parts[name].weights)
    return macs


def cost(
    network: Network, training: Training, frozen: frozenset[str] = frozenset(), samples: int = 1
) -> Cost:
    """Work out what training `network` costs; `samples` is the stream that batch 0 stands for."""
    lowered = plan(network, frozen)
    macs = layer_macs(network)
    total = sum(macs.values())
    learning = [name for name in macs if name not in frozen]
    if learning:
        names = list(macs)
        below = names.index(learning[0])
        total += sum(macs[name] for name in learning)  # gradients
        total += sum(macs[name] for name in names[below + 1 :])  # deltas
    activations = network.inputs + sum(
        math.prod(shape)
        for (_, layer), shape in zip(network.layers, network.shapes[1:], strict=True)
        if not isinstance(layer, Elementwise | Flatten)
    )
    batch = training.batch or samples
    return Cost(
        network.parameters,
        sum(macs.values()),
        total,
        4 * network.parameters + _ROW_BYTES * len(lowered.rows),
        Program(lowered).memory_bytes(training, samples),
        4 * network.parameters + batch * 4 * activations,
    )
