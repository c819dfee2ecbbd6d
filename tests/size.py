"""Print what the firmware and the named networks take on a small device; `make size` runs this.

Instructions, RAM, stack and flash are those of the emulated Cortex-M4, measured on the ELF that it
runs; the limits fail.
"""

import sys

from rich.console import Console
from rich.table import Table

from tinyfleet.client.firmware.build import Layers
from tinyfleet.cost import cost
from tinyfleet.messages import Training
from tinyfleet.networks import NETWORKS
from tinyfleet.simulations.bench.device import Footprint, Name, fitting_layers, footprint

KIB = 1024
INSTRUCTIONS: dict[Name, int] = {"sine": 9_700}
FLASH: dict[Layers, int] = {"dense": 8 * KIB, "full": 22 * KIB}
RAM: dict[Name, int] = {"sine": 7 * KIB, "presence": 25 * KIB, "characters-mcu": 256 * KIB}
"""Bytes; those of sine without the link's buffers, the others with them."""


def device_table(found: dict[tuple[Name, Layers], Footprint]) -> Table:
    """Return what each network takes on the emulated board."""
    table = Table("network", "build", "instructions a step", "flash B", "RAM B", "stack B")
    for (name, layers), one in found.items():
        table.add_row(
            name,
            layers,
            _of_limit(one.instructions_per_step, INSTRUCTIONS.get(name)),
            _of_limit(one.flash_bytes, FLASH[layers]),
            _of_limit(_ram(name, one), RAM[name]),
            f"{one.stack_bytes:,}",
        )
    return table


def over(name: Name, one: Footprint) -> list[str]:
    """Return a line for every limit that `name` passes."""
    checked = (
        ("instructions a step", one.instructions_per_step, INSTRUCTIONS.get(name)),
        ("bytes of flash", one.flash_bytes, FLASH[one.layers]),
        ("bytes of RAM", _ram(name, one), RAM[name]),
    )
    return [
        f"{name}: {got:,} {what}, limit {limit:,}"
        for what, got, limit in checked
        if limit is not None and got > limit
    ]


def network_table() -> Table:
    """Return what the kernel alone needs for every named network."""
    table = Table("network", "parameters", "weights and table B", "training RAM B", "MACs a step")
    for name, make in NETWORKS.items():
        found = cost(make(), Training(rate=0.01))
        numbers = (found.flash_bytes, found.training_ram_bytes, found.macs_training)
        table.add_row(name, f"{found.parameters:,}", *(f"{number:,}" for number in numbers))
    return table


def _ram(name: Name, one: Footprint) -> int:
    return one.ram_bytes if name == "sine" else one.ram_bytes + one.buffer_bytes


def _of_limit(value: int, limit: int | None) -> str:
    return f"{value:,}" if limit is None else f"{value:,} of {limit:,}"


def main() -> int:
    """Print the tables; return 1 when a limit is passed."""
    builds = [*((name, fitting_layers(name)) for name in RAM), ("sine", "full")]
    found = {(name, layers): footprint(name, layers) for name, layers in builds}
    console = Console()
    console.print(device_table(found))
    console.print(network_table())
    lines = [line for (name, _), one in found.items() for line in over(name, one)]
    for line in lines:
        console.print(f"over the limit: {line}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
