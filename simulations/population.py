"""A simulated fleet in the graph: devices of a few kinds, many of each, behind gateways.

One device of each kind is described as a real one would be, and so held against every shape and
matched with every model. The others share its profile, so that 100,000 are there in seconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rdflib import URIRef

from tinyfleet.client.thing import Facts, thing
from tinyfleet.errors import StudyError
from tinyfleet.network import Network
from tinyfleet.ontology.boards import boards
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.statements import block, written
from tinyfleet.ontology.turns import turn
from tinyfleet.ontology.vocabulary import INDEX, STATUS, SUMMARY, TF
from tinyfleet.topics import Topic

FLEET = "simulated"
"""Name of the fleet in the devices' IRIs."""

PER_GATEWAY = 100
"""Devices behind one gateway."""

_ARENAS: Mapping[str, int] = {
    "ESP32-S3": 327_680,
    "Raspberry Pi Pico": 196_608,
    "STM32F746 Discovery": 262_144,
}
"""Bytes that are assumed to be left for training where the library of boards does not say."""


def _kind(name: str) -> Facts:
    board = boards()[name]
    ram, flash, free = (int(board.value(*of) or 0) for of in _SIZES)
    return Facts(name, "simulated", ram=ram, flash=flash, arena=free or _ARENAS[name])


_SIZES = (("ram",), ("flash",), ("training_arena", "free_ram"))

SMALL = Facts("BBC micro:bit v1", "", ram=16_384, flash=262_144, arena=8192)
"""What a small board says of itself; the library of boards has none as small."""

KINDS: Sequence[Facts] = (
    *map(_kind, ("Arduino Nano 33 BLE Sense", *_ARENAS)),
    replace(SMALL, software="simulated"),
)
"""The boards that simulated devices stand for, in turn; the last trains the smallest networks."""

_CHUNK = 5000  # devices that are written together


def populate(graph: FleetGraph, network: Network, devices: int) -> None:
    """Write devices 0 to `devices` - 1 into an empty graph, all online.

    Device n is of kind n modulo their number, and behind gateway n // `PER_GATEWAY`.

    Raises:
        DescriptionError: a kind's description breaks a shape.
    """
    for number in range(min(devices, len(KINDS))):
        graph.register(_described(number, network))
    profiles = _profiles(graph)
    if len(profiles) < min(devices, len(KINDS)):
        raise StudyError(f"graph: expected {len(KINDS)} kinds of devices, got {len(profiles)}")
    for first in range(0, devices, _CHUNK):
        numbers = range(first, min(first + _CHUNK, devices))
        graph.record(f"INSERT DATA {{ {' '.join(_blocks(numbers, profiles))} }}")
    graph.record(_COUNTED)


def iri_of(number: int) -> str:
    """Return the IRI of a simulated device."""
    return f"urn:tinyfleet:{FLEET}:{number}"


def gateway_of(number: int) -> str:
    """Return the name of the gateway that a simulated device is behind."""
    return f"gw-{number // PER_GATEWAY + 1}"


def _described(number: int, network: Network) -> Mapping[str, Any]:
    topic = Topic(FLEET, gateway_of(number), str(number), "birth")
    return thing(KINDS[number], "simulated", network, topic, "mqtt://localhost")


def _profiles(graph: FleetGraph) -> Mapping[int, str]:
    """Return the profile of each kind, by its place."""
    text = (
        f"SELECT ?device ?profile {{ GRAPH {INDEX.n3()} {{ ?device {TF.profile.n3()} ?profile }} }}"
    )
    found = {str(device): str(profile) for device, profile in graph.select(text).rows}
    return {n: found[iri_of(n)] for n in range(len(KINDS)) if iri_of(n) in found}


def _blocks(numbers: range, profiles: Mapping[int, str]) -> Iterator[str]:
    index: list[str] = []
    status: list[str] = []
    waiting: dict[str, list[str]] = {profile: [] for profile in profiles.values()}
    terms = {name: TF[name].n3() for name in ("profile", "gateway", "number", "online", "turn")}
    for number in numbers:
        device, profile = iri_of(number), profiles[number % len(KINDS)]
        gateway = written(URIRef(f"urn:tinyfleet:{FLEET}:gateway:{gateway_of(number)}"))
        index.append(
            f"<{device}> {terms['profile']} <{profile}> ; {terms['gateway']} {gateway} ; "
            f"{terms['number']} {number}"
        )
        status.append(f"<{device}> {terms['online']} true")
        waiting[profile].append(f"<{device}> {terms['turn']} {turn(device, None)}")
    yield block(str(INDEX), index)
    yield block(str(STATUS), status)
    for profile, lines in waiting.items():
        yield block(profile, lines)


def _counts(node: str, pattern: str) -> str:
    """Return what counts the devices of every `node`, all of them online."""
    devices, online = TF.devices.n3(), TF.onlineDevices.n3()
    return (
        f"INSERT {{ GRAPH {SUMMARY.n3()} {{ {node} {devices} ?n ; {online} ?n }} }} WHERE {{ "
        f"SELECT {node if node.startswith('?') else ''} (COUNT(?device) AS ?n) WHERE {{ "
        f"GRAPH {INDEX.n3()} {{ ?device {pattern} }} }} "
        f"{'GROUP BY ' + node if node.startswith('?') else ''} }}"
    )


_COUNTED = " ;\n".join([
    *(f"DELETE WHERE {{ GRAPH {SUMMARY.n3()} {{ ?node {TF[name].n3()} ?n }} }}"
      for name in ("devices", "onlineDevices")),
    _counts("?profile", f"{TF.profile.n3()} ?profile"),
    _counts("?gateway", f"{TF.gateway.n3()} ?gateway"),
    _counts(SUMMARY.n3(), f"{TF.profile.n3()} ?profile"),
])  # fmt: skip
