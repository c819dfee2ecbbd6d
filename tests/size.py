"""Print what the kernel and the named networks take on a small device; `make size` runs this.

The code is the scalar kernel without its batched mode, built for size with this machine's compiler;
the limits fail. What a Cortex-M4 takes is measured with the firmware.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tinyfleet.cost import cost
from tinyfleet.messages import Training
from tinyfleet.networks import NETWORKS

KERNEL = Path(__file__).parent.parent / "core" / "kernel"
TEXT_LIMIT = 24 * 1024
"""Bytes of x86-64 or AArch64 code, whose instructions are wider than Thumb-2's."""

RAM_LIMITS = {"sine": 7 * 1024, "presence": 25 * 1024, "characters-mcu": 128 * 1024}
"""Bytes of weights, scratch and one sample; 128 KiB leave half of a Cortex-M4 for the rest."""

_SOURCE = """
#define FLEET_LANES 1
#define FLEET_NO_BATCH
#define TILE_WIDE 4
#include "learn.h"
float device_step(const struct fleet_network *net, float rate, float *weights, const float *x,
                  const float *target, float *scratch) {
    const struct step step = {rate, 0};
    return learn_sample(net, &step, MODE_ONLINE, weights, x, target, scratch);
}
"""


def kernel_text() -> int:
    """Return the bytes of code of one training step, freestanding, -Os."""
    compiler = shutil.which("cc") or sys.exit("make size needs a C compiler called cc")
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder) / "device.c", Path(folder) / "device.o"
        source.write_text(_SOURCE)
        flags = ["-std=c99", "-Os", "-ffreestanding", "-ffp-contract=off", "-Wall", "-Wextra"]
        subprocess.run(
            [compiler, *flags, "-Werror", f"-I{KERNEL}", "-c", source, "-o", built], check=True
        )
        lines = subprocess.run(["size", built], check=True, capture_output=True, text=True).stdout
        return int(lines.splitlines()[1].split()[0])


def main() -> int:
    """Print the table; return 1 when a limit is passed."""
    table = Table("network", "parameters", "flash B", "training RAM B", "limit B", "MACs a step")
    over = []
    for name, make in NETWORKS.items():
        found = cost(make(), Training(rate=0.01))
        limit = RAM_LIMITS.get(name)
        if limit is not None and found.training_ram_bytes > limit:
            over.append(f"{name}: {found.training_ram_bytes} bytes of RAM, limit {limit}")
        table.add_row(
            name,
            f"{found.parameters:,}",
            f"{found.flash_bytes:,}",
            f"{found.training_ram_bytes:,}",
            f"{limit:,}" if limit else "-",
            f"{found.macs_training:,}",
        )
    text = kernel_text()
    if text > TEXT_LIMIT:
        over.append(f"kernel: {text} bytes of code, limit {TEXT_LIMIT}")
    console = Console()
    console.print(table)
    console.print(f"kernel: {text:,} bytes of code for one online step (limit {TEXT_LIMIT:,})")
    for line in over:
        console.print(f"over the limit: {line}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
