"""Write an Arduino or a PlatformIO project that runs a model on a board, and learns there.

What comes in is a mapping of plain values, which `tinyfleet.ontology.generate` documents; what goes
out are the files. Names in it are other people's: templates spell them for the language that
they stand in.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyfleet.client.firmware.package import assemble
from tinyfleet.client.firmware.sensors import Reading, readings
from tinyfleet.client.firmware.tflite_micro import METHODS
from tinyfleet.client.templates import one_line, render
from tinyfleet.description import network_from_toml
from tinyfleet.errors import DescriptionError
from tinyfleet.plan import plan
from tinyfleet.wire import arena_need, pack_program

Files = dict[str, bytes]
TEMPLATES = Path(__file__).parent / "templates"
RESERVE = 1024
"""Bytes of arena beyond those measured: the library on the board may be another version."""

PINS = tuple(f"A{number}" for number in range(6))
"""Analog pins that every board with Arduino's pins has."""

_MOST_LINE = 256
_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
_FIELDS = {"int8": "int8", "uint8": "uint8", "int16": "i16"}


@dataclass(frozen=True)
class Board:
    """What build tools call a board.

    Attributes:
        words: what its name has in a description, in lower case.
        platform: PlatformIO's platform.
        board: PlatformIO's name of the board.
        fqbn: name for arduino-cli; "" where none is known.
    """

    words: tuple[str, ...]
    platform: str
    board: str
    fqbn: str


BOARDS = (
    Board(("nano", "33", "ble"), "nordicnrf52", "nano33ble", "arduino:mbed_nano:nano33ble"),
    Board(("nrf52840",), "nordicnrf52", "nrf52840_dk", ""),
    Board(("esp32", "s3"), "espressif32", "esp32-s3-devkitc-1", "esp32:esp32:esp32s3"),
    Board(("stm32f746",), "ststm32", "disco_f746ng", ""),
    Board(("rp2040",), "raspberrypi", "pico", "arduino:mbed_rp2040:pico"),
    Board(("raspberry pi pico",), "raspberrypi", "pico", "arduino:mbed_rp2040:pico"),
)


def arduino(project: Mapping[str, Any]) -> Files:
    """Return the files of a sketch for the Arduino IDE and arduino-cli, its library inside.

    Raises:
        DescriptionError: no sketch can run this model.
    """
    slug = project["slug"]
    files = {f"{slug}/{name}": data for name, data in _sources(project, f"{slug}.ino").items()}
    if project["model"]["kind"] == "network":
        library = _library()
        inside = {name: data for name, data in library.items() if name.startswith("src/")}
        files |= {
            f"{slug}/src/tinyfleet/{name.removeprefix('src/')}": data
            for name, data in inside.items()
        }
    return files | _around(project, "arduino")


def platformio(project: Mapping[str, Any]) -> Files:
    """Return the files of a PlatformIO project, its library inside.

    Raises:
        DescriptionError: no sketch can run this model, or nobody knows PlatformIO's name of the
            board.
    """
    board = _board(project)
    if board is None:
        raise DescriptionError(
            f"{one_line(project['device']['board'])}: expected a board whose name PlatformIO has "
            "for it is known, got another; take --kind arduino"
        )
    files = {f"src/{name}": data for name, data in _sources(project, "main.cpp").items()}
    if project["model"]["kind"] == "network":
        files |= {f"lib/tinyfleet/{name}": data for name, data in _library().items()}
    libraries = [f"arduino-libraries/{name}" for name in _libraries(project)]
    if project["model"]["kind"] == "tflite":
        libraries.append("https://github.com/spaziochirale/Chirale_TensorFlowLite.git")
    values = {"slug": project["slug"], "board_id": board, "libraries": libraries}
    files["platformio.ini"] = render(TEMPLATES, "platformio.ini.jinja", values)
    return files | _around(project, "platformio")


def _sources(project: Mapping[str, Any], main: str) -> Files:
    own = main.endswith(".ino")
    if project["model"]["kind"] == "tflite":
        return _tflite_sources(project, main)
    values = _network_values(project)
    values["library"] = '"src/tinyfleet/fleet_device.h"' if own else "<fleet_device.h>"
    values["step"] = '"src/tinyfleet/fleet_step.h"' if own else "<fleet_step.h>"
    names = {"model.h": "model.h", "model.c": "model.c", "sensors.h": "sensors.h"}
    if project["learning"]:
        names |= {main: "learn.ino", "link.h": "link.h"}
    else:
        names |= {main: "predict.ino"}
    return {name: _fill(source, values) for name, source in names.items()}


def _fill(name: str, values: Mapping[str, Any]) -> bytes:
    return render(TEMPLATES, f"{name}.jinja", values)


def _network_values(project: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the templates of a network of ours want."""
    network = network_from_toml(project["network"], project["model"]["name"])
    frozen = frozenset(network.parts)
    if project["learning"]:
        frozen -= {"whole": frozen, "head": {list(network.parts)[-1]}}[project["learning"]]
    lowered = plan(network, frozen)
    room = project["memory"]
    memory = 4 * lowered.scratch
    if project["learning"]:
        copy = arena_need(lowered, keep=True)  # for a gateway that asks for a share of the entries
        memory = copy if room is not None and copy <= room else arena_need(lowered)
    weights = np.frombuffer(project["weights"], "<f4")
    return {
        **_common(project),
        "inputs": network.inputs,
        "outputs": network.outputs,
        "learning": project["learning"],
        "memory": -(-memory // 8) * 8,
        "program": np.frombuffer(pack_program(lowered), "<i4").tolist(),
        "weights": [f"{np.format_float_scientific(value, unique=True)}f" for value in weights],
        "one_sided": network.loss == "sigmoid-cross-entropy",
        "longest": _MOST_LINE,
        "session": "micros()",
    }


def _tflite_sources(project: Mapping[str, Any], main: str) -> Files:
    described = project["model"]["description"]
    name = one_line(project["model"]["name"])
    lacking = sorted({operator for operator in described["operators"] if operator not in METHODS})
    if lacking:
        raise DescriptionError(
            f"{name}: expected operators that TensorFlow Lite Micro has, got "
            f"{one_line(', '.join(lacking))}; convert the model without them"
        )
    tensors = {}
    for what in ("inputs", "outputs"):
        if len(described[what]) != 1:
            raise DescriptionError(
                f"{name}: {what}: expected one, got {len(described[what])}; export it with one"
            )
        tensors[what] = _tensor(described[what][0], f"{name}: {what}")
    head, tail = described["arena_bytes"]["head"], described["arena_bytes"]["tail"]
    told = f"{head} + {tail} by {described['arena_bytes']['tool']}, {RESERVE} beyond"
    values = {
        **_common(project),
        "inputs": tensors["inputs"]["size"],
        "outputs": tensors["outputs"]["size"],
        "input": tensors["inputs"],
        "output": tensors["outputs"],
        "resolver": list(dict.fromkeys(METHODS[op] for op in described["operators"])),
        "arena": -(-(head + tail + RESERVE) // 16) * 16,
        "arena_told": told,
        "content": project["content"],
    }
    names = {main: "tflite.ino", "model.h": "tflite_model.h", "sensors.h": "sensors.h"}
    names["model.cpp"] = "tflite_model.cpp"
    return {name: _fill(source, values) for name, source in names.items()}


def _tensor(tensor: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return what a sketch has to know of a tensor."""
    kind = tensor["dtype"]
    if kind not in ("float32", *_LIMITS):
        raise DescriptionError(
            f"{place}: expected float32, {', '.join(_LIMITS)}, got {one_line(str(kind))}"
        )
    low, high = _LIMITS.get(kind, (0, 0))
    size = int(np.prod([max(1, side) for side in tensor["shape"]], dtype=np.int64))
    return {"dtype": kind, "low": low, "high": high, "field": _FIELDS.get(kind), "size": size}


def _common(project: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every sketch's templates want."""
    groups = readings(project["channels"])
    pins = iter(PINS)
    readers = [_reader(group, pins) for group in groups]
    drivers = list(dict.fromkeys((g.driver.library, g.driver.begin) for g in groups if g.driver))
    analog = any(reader["pins"] for reader in readers)
    return {
        "title": project["title"],
        "model": project["model"],
        "device": project["device"],
        "labels": project["model"]["labels"],
        "channels": [_channel(channel) for channel in project["channels"]],
        "window": project["window"],
        "readers": readers,
        "headers": list(dict.fromkeys(f"{library}.h" for library, _ in drivers)),
        "begin": list(dict.fromkeys(begin for _, begin in drivers)),
        "analog": analog,
        "write": analog or not groups,
        "told": project["told"],
        "needs": project["needs"],
        "sensors": project["device"]["sensors"],
        "board": project["device"]["board"],
        "ram": project["device"]["ram"] or 0,
        "flash": project["device"]["flash"] or 0,
    }


def _reader(group: Reading, pins: Iterator[str]) -> dict[str, Any]:
    channels = group.channels
    unit = f", {channels[0]['unit']}" if channels[0]["unit"] else ""
    told = f"{channels[0]['property']}{unit}"
    pinned: list[dict[str, Any]] = []
    code: tuple[str, ...] = ()
    by = "yours to write"
    if group.driver:
        code, by = group.driver.code, f"by the library {group.driver.library}"
    else:
        for low, high in map(_range, channels):
            pinned.append({"pin": next(pins, None), "low": low, "high": high})
        if pinned[0]["pin"]:
            by = "an analog pin, until you write it otherwise"
    return {
        "function": group.function,
        "at": group.at,
        "told": told,
        "by": by,
        "code": code,
        "pins": pinned,
    }


def _range(channel: Mapping[str, Any]) -> tuple[float, float]:
    if channel["minimum"] is None:
        return 0.0, 1.0
    return channel["minimum"], channel["maximum"]


def _channel(channel: Mapping[str, Any]) -> dict[str, Any]:
    low, high = _range(channel)
    unit = f" {channel['unit']}" if channel["unit"] else ""
    scaled = channel["minimum"] is not None
    told = f"{channel['name']}: {low:g} to {high:g}{unit}" if scaled else f"{channel['name']}{unit}"
    return {
        "low": low if scaled else 0.0,
        "scale": float(np.float32(1) / (np.float32(high) - np.float32(low))) if scaled else 1.0,
        "told": told,
    }


def _libraries(project: Mapping[str, Any]) -> list[str]:
    groups = readings(project["channels"])
    return list(dict.fromkeys(group.driver.library for group in groups if group.driver))


def _library() -> Files:
    """Return the firmware library's files, without its examples."""
    with tempfile.TemporaryDirectory() as scratch:
        root = assemble(Path(scratch) / "tinyfleet")
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.relative_to(root).parts[0] not in ("examples", "zephyr")
        }


def _board(project: Mapping[str, Any]) -> Board | None:
    name = project["device"]["board"].lower()
    return next((board for board in BOARDS if all(word in name for word in board.words)), None)


def _around(project: Mapping[str, Any], kind: str) -> Files:
    """Return the page that tells how to flash, and what a gateway needs to reach the board."""
    common = _common(project)
    values = {
        **common,
        "slug": project["slug"],
        "kind": kind,
        "board_id": _board(project),
        "learning": project["learning"],
        "latency": project["latency"],
        "energy": project["energy"],
        "libraries": _libraries(project),
        "forced": project["forced"],
    }
    files = {"README.md": render(TEMPLATES, "README.md.jinja", values)}
    if project["model"]["kind"] == "network" and project["learning"]:
        files["gateway.toml"] = render(TEMPLATES, "gateway.toml.jinja", values)
        files["network.toml"] = project["network"].encode()
    files["tinyfleet.json"] = (json.dumps(project["facts"], indent=1) + "\n").encode()
    return files
