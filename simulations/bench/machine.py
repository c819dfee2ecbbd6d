"""The machine that a figure belongs to: its name, its measured peak, the memory of a process."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import psutil

from tinyfleet.simulations.bench.bout import Bout, Gate, Settings, timed

SIZES = (1024, 2048, 3072)
PACKAGES = ("tinyfleet", "numpy", "torch", "flwr", "ray")
MIB = 2**20


def peak(settings: Settings, gate: Gate) -> None:
    """Measure a single-precision matrix product of OpenBLAS, as it comes with numpy, on all cores.

    Its "updates" are floating-point operations; the size that runs fastest is taken.
    """

    def product(size: int) -> object:
        return np.matmul(left[size], right[size], out=result[size])

    generator = np.random.default_rng(0)
    sizes = SIZES[:1] if settings.quick else SIZES
    left, right, result = (
        {size: generator.random((size, size), np.float32) for size in sizes} for _ in range(3)
    )
    for size in sizes:
        product(size)
    best = max(sizes, key=lambda size: size**3 / timed(product, size))
    times = max(1, round(settings.seconds / 2 / timed(product, best)))
    while gate.wait():
        seconds = min(timed(product, best) for _ in range(times))
        gate.answer(Bout(2 * best**3, seconds, f"{best} x {best} matrices"))


def processor() -> str:
    """Return the processor's name."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of who takes part; None where a package is absent."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def tree_memory_mib(process: int) -> float:
    """Return the memory of a process and its descendants in MiB, shared pages counted once.

    It is the sum of the proportional set sizes where the system tells them, else of the resident
    set sizes. A process that ends meanwhile counts nothing.
    """
    try:
        root = psutil.Process(process)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0
    total = 0
    for one in tree:
        try:
            memory = one.memory_full_info()
            total += memory.pss if psutil.LINUX else memory.rss
        except psutil.Error:
            continue
    return total / MIB


def end_tree(process: int) -> None:
    """End a process and its descendants."""
    try:
        root = psutil.Process(process)
        tree = [*root.children(recursive=True), root]
    except psutil.Error:
        return
    for one in tree:
        try:
            one.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(tree, timeout=10)
