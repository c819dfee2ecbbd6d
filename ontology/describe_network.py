"""Describe one of our own networks, which devices train: what it takes to run it, and to train it.

Bytes are those of a board's arena as `tinyfleet.wire.arena_need` counts them: program, weights,
scratch and one sample. The firmware keeps weights in RAM, so they are part of it.
"""

import hashlib
import math
from importlib.metadata import version

from tinyfleet.cost import layer_macs
from tinyfleet.description import network_to_toml
from tinyfleet.layers import Elementwise, Flatten, kind_of
from tinyfleet.network import Network
from tinyfleet.ontology.model import ModelDescription, ModelLayer, Port, TrainingRam
from tinyfleet.ontology.tflite.arena import Arena
from tinyfleet.ontology.tflite.liveness import Life, peak
from tinyfleet.ontology.tflite.patches import Patches, Slide, best_patches
from tinyfleet.operators import KERNEL, OPERATORS
from tinyfleet.plan import plan, window_of
from tinyfleet.wire import arena_need, pack_program

_FLOAT = 4


def describe_network(network: Network) -> ModelDescription:
    """Describe `network`: inference as a board computes it, and three ways of training it.

    >>> from tinyfleet import named_network
    >>> describe_network(named_network("sine")).training
    TrainingRam(whole=5432, partial=5432, head=5296)
    """
    running = plan(network, frozenset(network.parts))
    need, sample = arena_need(running), _FLOAT * (running.inputs + running.outputs)
    head = _FLOAT * running.scratch + sample
    macs = layer_macs(network)
    layers = _layers(network, macs)
    return ModelDescription(
        name=network.name,
        checksum=hashlib.sha256(network_to_toml(network).encode()).hexdigest(),
        runtime=KERNEL,
        flash_bytes=_FLOAT * network.parameters + len(pack_program(running)),
        arena=Arena(head, need - head, KERNEL, version("tinyfleet"), planned=False),
        macs=sum(macs.values()),
        macs_all=sum(macs.values()),
        parameters=network.parameters,
        types=("float32",),
        inputs=(Port("x", (1, *network.input_shape), (), "float32", (), ()),),
        outputs=(Port("y", (1, network.outputs), (), "float32", (), ()),),
        layers=layers,
        patches=_patches(network, macs),
        training=_training(network),
    )


def _training(network: Network) -> TrainingRam | None:
    """Return the arena while all layers learn, the later half of them, and the last alone."""
    names = tuple(network.parts)
    if not names:
        return None
    early, hidden = frozenset(names[: len(names) // 2]), frozenset(names[:-1])
    needs = [arena_need(plan(network, frozen)) for frozen in (frozenset(), early, hidden)]
    return TrainingRam(*needs)


def _layers(network: Network, macs: dict[str, int]) -> tuple[ModelLayer, ...]:
    layers = []
    for i, (name, layer) in enumerate(network.layers):
        if isinstance(layer, Flatten):
            continue
        shape_in, shape_out = network.shapes[i], network.shapes[i + 1]
        window = window_of(layer, shape_in)
        layers.append(
            ModelLayer(
                operator=OPERATORS[kind_of(layer)],
                version=1,
                custom=False,
                activation="",
                shape_in=(1, *shape_in),
                shape_out=(1, *shape_out),
                dtype="float32",
                kernel=window.kernel if window else (0, 0),
                stride=window.stride if window else (0, 0),
                macs=macs.get(name, 0),
                subgraph=0,
            )
        )
    return tuple(layers)


def _patches(network: Network, macs: dict[str, int]) -> Patches | None:
    """Plan the leading layers that slide; a function of single numbers works in place."""
    steps = [
        (name, layer, network.shapes[i], network.shapes[i + 1])
        for i, (name, layer) in enumerate(network.layers)
        if not isinstance(layer, Elementwise | Flatten)
    ]
    slides: list[Slide] = []
    for name, layer, shape_in, shape_out in steps:
        window = window_of(layer, shape_in)
        if window is None or len(shape_out) != 3:
            break
        slides.append(
            Slide(
                window.kernel,
                window.stride,
                window.before,
                (shape_in[0], shape_in[1]),
                (shape_out[0], shape_out[1]),
                _FLOAT * shape_in[2],
                _FLOAT * shape_out[2],
                macs.get(name, 0) // (shape_out[0] * shape_out[1]),
            )
        )
    sizes = [_FLOAT * math.prod(shape) for shape in (network.input_shape, *(s[3] for s in steps))]
    rest = [_chain_bytes(sizes[n:]) for n in range(len(slides) + 1)]
    return best_patches(slides, rest, sum(macs.values()))


def _chain_bytes(sizes: list[int]) -> int:
    """Return the most bytes alive of tensors of which each is made from the one before."""
    return peak([Life(size, max(step - 1, 0), step) for step, size in enumerate(sizes)])
