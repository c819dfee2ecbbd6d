"""A generated sketch of one of our networks runs on emulated boards, bit for bit as the host."""

import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import check_same, need, task_for
from generated import network_pairing, number, thing
from numpy.typing import NDArray
from sketches import Compiler, Emulator, build_sketch

from tinyfleet import Assignment, KernelLearner, Training, named_network
from tinyfleet.binding import variant
from tinyfleet.client.board import Board
from tinyfleet.client.emulated import UnicornBoard, read_elf
from tinyfleet.client.link import Link
from tinyfleet.client.ports import Port
from tinyfleet.client.qemu import QemuBoard
from tinyfleet.errors import WireError
from tinyfleet.kernel_learner import Kernel
from tinyfleet.network import Network
from tinyfleet.ontology.generate import Learning, generate
from tinyfleet.wire import Blob

Floats = NDArray[np.float32]
Sketch = Callable[..., Path]
PINS = 6
THINGS: dict[str, Any] = {
    "sine": thing(level=number(-5, 5)),
    "presence": thing(**{f"p{at}": number(0, 10 * at + 10) for at in range(8)}),
}
EMULATORS: dict[str, Callable[[Path], Port]] = {"unicorn": UnicornBoard, "qemu": QemuBoard}


@pytest.fixture(scope="module")
def sketch(tmp_path_factory: pytest.TempPathFactory) -> Sketch:
    """What builds a generated sketch, once for each of its kinds."""

    @cache
    def built(
        name: str, learning: Learning | None, kind: str, emulator: Emulator, compiler: Compiler
    ) -> Path:
        folder = tmp_path_factory.mktemp("sketch")
        pairing = network_pairing(named_network(name), THINGS[name], learning)
        project = generate(pairing, kind, folder / "project")
        return build_sketch(project.folder, emulator, compiler, folder)

    return built


def readings(count: int, pins: int) -> Floats:
    """Return what the analog pins of the tests' Arduino read, as 12 bits of 1."""
    read = [(at * 977 + at % pins * 131) % 4096 for at in range(count * pins)]
    return (np.array(read, np.float32) / np.float32(4095)).reshape(count, pins)


def as_sketched(name: str, count: int, skip: int = 0) -> Floats:
    """Return samples as a sketch makes them of readings: in the property's unit, then scaled."""
    schemas = list(THINGS[name]["properties"].values())
    parts = readings(count + skip, min(len(schemas), PINS))[skip:]
    columns = []
    for at, schema in enumerate(schemas):
        low, high = np.float32(schema["minimum"]), np.float32(schema["maximum"])
        none = np.full(count, low)  # more numbers than pins: those are the user's to read
        read = low + (high - low) * parts[:, at] if at < PINS else none
        columns.append((read - low) * (np.float32(1) / (high - low)))
    return np.stack(columns, 1).astype(np.float32)


def told(board: Port, text: bytes, lines: int = 1) -> list[str]:
    """Send bytes, and return as many lines as the board says to them."""
    board.write(text)
    found, deadline = b"", time.monotonic() + 30
    while found.count(b"\n") < lines and time.monotonic() < deadline:
        found += board.read(0.2)
    return [line.strip("\0\r") for line in found.decode("ascii").split("\n")[:lines]]


def numbers(line: str) -> bytes:
    """Return the float32 whose bits a line holds."""
    found = [int(word, 16) for word in re.findall(r"\b[0-9a-f]{8}\b", line)]
    return np.array(found, "<u4").tobytes()


def predicted(network: Network, weights: Floats, x: Floats) -> Floats:
    found: Floats = Kernel(network, variant("scalar")).predict(weights, x[None])[0]
    return found


@pytest.mark.parametrize(
    ("kind", "emulator", "compiler"),
    [
        ("arduino", "unicorn", "zig"),
        ("platformio", "unicorn", "gcc"),
        ("arduino", "qemu", "gcc"),
        ("platformio", "qemu", "zig"),
    ],
)
def test_a_sketch_predicts_and_learns_what_it_is_told(
    sketch: Sketch, kind: str, emulator: Emulator, compiler: Compiler
) -> None:
    if emulator == "qemu":
        need("qemu-system-arm")
    network = named_network("sine")
    x, start = as_sketched("sine", 6), network.init(1)
    board = EMULATORS[emulator](sketch("sine", "whole", kind, emulator, compiler))

    first = [told(board, b"\n")[0] for _ in range(3)]
    learned = [*told(board, b"label 0.5\n", 2), *told(board, b"\n", 2)]
    last = told(board, b"label\n")[0]
    weights = np.frombuffer(
        Link(board).read_blob(Blob.WEIGHTS, 0, 4 * network.parameters), "<f4"
    ).astype(np.float32)
    board.close()

    kernel = Kernel(network, variant("scalar"))
    y = np.full((1, 1, 1), 0.5, np.float32)
    rate = Training(0.01)
    once, loss = kernel.train(rate, start, x[None, 3:4], y, frozenset())
    twice, _ = kernel.train(rate, once[0], x[None, 4:5], y, frozenset())
    assert [numbers(line) for line in first] == [
        row.tobytes() for row in predicted(network, start, x[:3])
    ]
    assert numbers(learned[1]) == loss[0].astype("<f4").tobytes()
    assert numbers(learned[2]) == predicted(network, once[0], x[4:5]).tobytes()
    assert numbers(last) == predicted(network, twice[0], x[5:6]).tobytes()
    assert weights.tobytes() == twice[0].tobytes()


def test_a_sketch_follows_a_gateway_as_the_host_kernel_does(sketch: Sketch) -> None:
    network = named_network("presence")
    port = UnicornBoard(sketch("presence", "whole", "arduino", "unicorn", "zig"))
    asked = Assignment(1, network.init(2), Training(0.05), share=0.5)
    task = task_for(network, 12)

    update = Board(Link(port), network).learn(asked, task)

    check_same(update, KernelLearner(network).learn(asked, task))


def test_a_gateway_has_the_board_learn_its_own_samples_under_the_label_told_last(
    sketch: Sketch,
) -> None:
    network = named_network("presence")
    port = UnicornBoard(sketch("presence", "whole", "arduino", "unicorn", "zig"))
    board = Board(Link(port), network)
    asked = Assignment(1, network.init(2), Training(0.05))

    with pytest.raises(WireError, match="sense"):
        board.sense(asked, 3)
    told(port, b"label class 1\n", 0)
    update = board.sense(asked, 3)

    x = as_sketched("presence", 16)
    y = np.ones((1, 3, 1), np.float32)
    kernel = Kernel(network, variant("scalar"))
    expected = [
        kernel.train(asked.training, asked.weights, x[None, at : at + 3], y, frozenset())[0]
        for at in range(13)
    ]
    assert update.values.tobytes() in [one.tobytes() for one in expected]


def test_a_sketch_with_memory_for_the_head_alone_learns_the_head_alone(sketch: Sketch) -> None:
    network = named_network("presence")
    board = UnicornBoard(sketch("presence", "head", "arduino", "unicorn", "gcc"))
    head = list(network.parts.values())[-1].slice

    lines = told(board, b"label class 1\n", 2)
    told(board, b"label\n")
    weights = np.frombuffer(
        Link(board).read_blob(Blob.WEIGHTS, 0, 4 * network.parameters), "<f4"
    ).astype(np.float32)

    start = network.init(1)
    frozen = frozenset(network.parts) - {list(network.parts)[-1]}
    x, y = as_sketched("presence", 1), np.ones((1, 1, 1), np.float32)
    kernel = Kernel(network, variant("scalar"))
    expected, _ = kernel.train(Training(0.01), start, x[None], y, frozen)
    assert lines[1].startswith("learned")
    assert weights.tobytes() == expected[0].tobytes()
    assert (weights[: head.start] == start[: head.start]).all()
    assert (weights[head] != start[head]).any()


def test_a_sketch_that_does_not_learn_keeps_its_weights_in_flash(sketch: Sketch) -> None:
    network = named_network("presence")
    elf = sketch("presence", None, "platformio", "unicorn", "zig")
    board = UnicornBoard(elf)

    line = told(board, b"\n")[0]

    outputs = predicted(network, network.init(1), as_sketched("presence", 1))
    assert numbers(line) == outputs.tobytes()
    assert line.endswith("class 1" if outputs[0, 0] > 0 else "class 0")
    flash = b"".join(segment.data for segment in read_elf(elf))
    header = (elf.parent / "project" / "src" / "model.h").read_text()
    memory = int(re.findall(r"#define MODEL_MEMORY (\d+)", header)[0])
    assert network.init(1).tobytes() in flash
    assert memory < network.parameters
