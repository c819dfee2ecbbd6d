"""`tinyfleet bench device`: what a training step takes on a Cortex-M4, beside published figures.

The firmware runs in an emulator that counts every instruction; nothing is estimated.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from tinyfleet.client.board import Board
from tinyfleet.client.emulated import UnicornBoard, read_elf
from tinyfleet.client.firmware.build import Layers, build
from tinyfleet.client.link import Link
from tinyfleet.cost import cost
from tinyfleet.messages import Assignment, Training
from tinyfleet.network import Network
from tinyfleet.networks import named_network
from tinyfleet.task import Task
from tinyfleet.wire import Counters

Name = Literal["sine", "presence", "characters-mcu", "characters", "keywords-mcu"]
SAMPLES: dict[Name, int] = {
    "sine": 32,
    "presence": 8,
    "characters-mcu": 1,
    "characters": 1,
    "keywords-mcu": 1,
}
"""Networks, and samples that each learns; counting is slow."""

PATIENCE = 120.0  # seconds for an answer


@dataclass(frozen=True)
class Published:
    """What is published of the step of `sine`: 1-32-32-1, one sample, float32.

    Attributes:
        instructions_per_step: of forward, backward and update.
        ram_kb: of the whole; None where nothing is said.
    """

    instructions_per_step: int
    ram_kb: float | None


PEERS = {
    "AIfES, -O2": Published(141_105, 19.6),
    "AIfES, -Os": Published(210_928, 19.6),
    "PULP-TrainLib": Published(30_500, None),
}


@dataclass(frozen=True)
class Footprint:
    """What a network takes on the emulated board.

    Attributes:
        layers: which layers the firmware has built in.
        instructions_per_step: of one online step, forward, backward and update.
        head_step: instructions of a step that learns the last layer alone.
        macs_per_step: multiply-accumulates of a whole step.
        flash_bytes: the whole firmware.
        ram_bytes: program, weights, scratch, one sample, static data and the stack's high water.
        stack_bytes: the last of these.
        buffer_bytes: the link's buffers, which come on top.
    """

    layers: Layers
    instructions_per_step: int
    head_step: int
    macs_per_step: int
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int
    buffer_bytes: int


def footprint(name: Name, layers: Layers) -> Footprint:
    """Train `name` on an emulated board and return what that took.

    Raises:
        FirmwareError: the firmware cannot be built.
    """
    network = named_network(name)
    elf = build("unicorn", "zig", layers=layers)
    counted = _counters(elf, network, SAMPLES[name])
    head = _counters(elf, network, SAMPLES[name], frozen=tuple(network.parts)[:-1])
    return Footprint(
        layers,
        round(counted.cycles / counted.steps),
        round(head.cycles / head.steps),
        cost(network, Training(rate=0.01)).macs_training,
        sum(len(segment.data) for segment in read_elf(elf)),
        counted.arena_used + counted.static + counted.stack,
        counted.stack,
        counted.buffers,
    )


def _counters(elf: Path, network: Network, samples: int, frozen: tuple[str, ...] = ()) -> Counters:
    """Return what an emulated board has counted after it learned `samples` samples."""
    link = Link(UnicornBoard(elf, count=True), timeout=PATIENCE)
    assignment = Assignment(1, network.init(0), Training(rate=0.01), frozen)
    Board(link, network).learn(assignment, _task(network, samples))
    return link.counters()


def _task(network: Network, samples: int) -> Task:
    generator = np.random.default_rng(0)
    x = generator.normal(0, 1, (samples, *network.input_shape)).astype(np.float32)
    y = np.eye(network.outputs, dtype=np.float32)[generator.integers(0, network.outputs, samples)]
    return Task(x, y, x[:0], y[:0])


def measure(names: tuple[Name, ...], listen: Callable[[str], None]) -> dict[str, Any]:
    """Return the footprint of each network and the published peers, ready for JSON.

    A network without convolutions is measured with the firmware that has none built in.

    Args:
        names: networks.
        listen: hears the name of a network before it is trained.
    """
    figures: dict[str, Any] = {}
    for name in names:
        listen(name)
        figures[name] = asdict(footprint(name, fitting_layers(name)))
    figures["peers"] = {peer: asdict(published) for peer, published in PEERS.items()}
    return figures


def fitting_layers(name: Name) -> Layers:
    """Return the smallest build that runs the network."""
    return "dense" if len(named_network(name).input_shape) == 1 else "full"


def table(figures: dict[str, Any]) -> Table:
    """Return the figures as a table for people."""
    shown = Table(title="one training step on a Cortex-M4", title_justify="left")
    shown.add_column("network, firmware")
    for column in ("instructions", "per MAC", "last layer alone", "flash B", "RAM B"):
        shown.add_column(column, justify="right")
    for name in (name for name in SAMPLES if name in figures):
        one = Footprint(**figures[name])
        shown.add_row(
            f"{name}, {one.layers} build",
            f"{one.instructions_per_step:,}",
            f"{one.instructions_per_step / one.macs_per_step:.2f}",
            f"{one.head_step:,}",
            f"{one.flash_bytes:,}",
            f"{one.ram_bytes:,}",
        )
    for peer, published in PEERS.items():
        ram = "-" if published.ram_kb is None else f"{published.ram_kb} KB"
        shown.add_row(f"sine, {peer}", f"{published.instructions_per_step:,}", "-", "-", "-", ram)
    return shown


def command(
    only: Annotated[str | None, typer.Option(help=f"One network: {', '.join(SAMPLES)}.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON, for machines.")
    ] = False,
) -> None:
    """Count the instructions of a training step on an emulated Cortex-M4, its RAM and its flash.

    Takes about a minute, most of it for the instructions of keywords-mcu.
    """
    names = tuple(name for name in SAMPLES if only in (None, name))
    if not names:
        raise typer.BadParameter(f"expected one of {', '.join(SAMPLES)}, got {only!r}")
    console = Console(stderr=True)
    with console.status("") as status:
        figures = measure(names, lambda name: status.update(f"training {name}"))
    if as_json:
        typer.echo(json.dumps(figures))
        return
    Console().print(table(figures))
    Console().print("AIfES and PULP-TrainLib: as published for the same step of sine.")
