"""Pairs of models and devices for tests of what is generated for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyfleet.description import network_to_toml
from tinyfleet.network import Network
from tinyfleet.ontology.describe import describe_network, read_model
from tinyfleet.ontology.generate import Device, Learning, Model, Pairing, input_shape
from tinyfleet.ontology.inputs import map_inputs

BOARD = Device(
    "urn:tinyfleet:lab:0", "Bench", "nrf52840-emulated", 180_000, 900_000, 120_000, ("level",)
)
NANO = Device("urn:tinyfleet:lab:1", "Nano", "Arduino Nano 33 BLE Sense", 172_000, 628_000)
PI = Device("urn:tinyfleet:lab:2", "Kitchen", "Raspberry Pi 4", 4_000_000_000, None, 10**9)


def number(low: float, high: float, **more: Any) -> dict[str, Any]:
    """Return the schema of a property that is a number."""
    return {"type": "number", "minimum": low, "maximum": high, "readOnly": True, **more}


def thing(**properties: Any) -> dict[str, Any]:
    """Return as much of a Thing Description as a project is made of."""
    return {"title": "Bench", "properties": properties}


def network_pairing(
    network: Network,
    described: Mapping[str, Any],
    learning: Learning | None,
    device: Device = BOARD,
    **more: Any,
) -> Pairing:
    """Return the pairing of a network, with the weights of seed 1, and a device."""
    description = describe_network(network).to_json()
    labels: tuple[str, ...] = ()
    if network.loss != "mean-square":
        labels = tuple(f"class {at}" for at in range(max(2, network.outputs)))
    model = Model(
        network.name,
        description,
        labels,
        network=network_to_toml(network),
        weights=network.init(1).astype("<f4").tobytes(),
    )
    inputs = map_inputs(described, input_shape(description), ())
    return Pairing(device, model, inputs, learning, **more)


def tflite_pairing(
    path: Path, described: Mapping[str, Any], device: Device = NANO, labels: tuple[str, ...] = ()
) -> Pairing:
    """Return the pairing of a .tflite file and a device."""
    description = read_model(path).to_json()
    model = Model(description["name"], description, labels, content=path.read_bytes())
    return Pairing(device, model, map_inputs(described, input_shape(description), ()))
