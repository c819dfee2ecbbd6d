"""Build the firmware: for emulated boards with zig or gcc, for this machine with its compiler."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from tinyfleet.errors import FirmwareError

Target = Literal["unicorn", "qemu", "host"]
Toolchain = Literal["zig", "gcc", "cc"]
Layers = Literal["full", "dense"]

HERE = Path(__file__).parent
CORTEX_M = HERE / "boards" / "cortex-m"
SCRIPT = CORTEX_M / "link.ld"
KERNEL = HERE.parent.parent / "kernel"
"""The kernel's sources, in the package as it is installed."""

_STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
_EXACT = ("-ffp-contract=off",)  # a fused multiply-add would round once where two roundings are due
_BARE = ("-ffreestanding", "-fno-builtin", "-nostdlib", "-ffunction-sections", "-fdata-sections")
_LINK = ("-Wl,--gc-sections", "-Wl,-e,reset_handler")
_ZIG = ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp")
_GCC = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")


def _zig() -> list[str]:
    if importlib.util.find_spec("ziglang") is None:
        raise FirmwareError(
            "zig: expected the package ziglang, got none; pip install 'tinyfleet[firmware]'"
        )
    # zig takes -Oz for -Os unless clang itself is told; without -g it takes away the symbols
    small = ("-Oz", "-Xclang", "-Oz", "-flto", "-fomit-frame-pointer", "-fno-sanitize=all", "-g")
    return [sys.executable, "-m", "ziglang", "cc", *_ZIG, *small]


def _gcc() -> list[str]:
    found = _program("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    # or gcc makes a call of memcpy out of memcpy's own loop
    return [found, *_GCC, "-Os", "-g", "-fno-tree-loop-distribute-patterns"]


def _cc() -> list[str]:
    return [_program("cc", "gcc"), "-O2", "-g"]


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FirmwareError(
            f"{name}: expected a compiler on the PATH, got none; apt-get install {package}"
        )
    return found


_COMPILERS = {"zig": _zig, "gcc": _gcc, "cc": _cc}
_TOOLCHAINS: dict[Target, tuple[Toolchain, ...]] = {
    "unicorn": ("zig", "gcc"),
    "qemu": ("gcc", "zig"),
    "host": ("cc",),
}


def sources(target: Target) -> tuple[Path, ...]:
    """Return the C files of the firmware for `target`, the kernel's check among them."""
    folders = [HERE / "src", HERE / "boards" / target, *([] if target == "host" else [CORTEX_M])]
    own = [path for folder in folders for path in sorted(folder.glob("*.c"))]
    return (*own, KERNEL / "check.c")


def build(
    target: Target,
    toolchain: Toolchain,
    folder: Path | None = None,
    *,
    layers: Layers = "full",
    flags: tuple[str, ...] = (),
) -> Path:
    """Build the firmware and return the path of the ELF (or of the program, for "host").

    Args:
        target: "unicorn" or "qemu", an emulated board; "host", a process of this machine.
        toolchain: "zig" or "gcc" for a board, "cc" for the host.
        folder: where it is put; the user's cache when None, where what was built before is used
            again as long as no source and no flag has changed.
        layers: "full", or "dense" for a device that needs no convolutions and pools.
        flags: more of the compiler's flags, such as sanitizers.

    Raises:
        FirmwareError: the compiler is missing or refuses, or does not build for this target.
    """
    if toolchain not in _TOOLCHAINS[target]:
        expected = " or ".join(_TOOLCHAINS[target])
        raise FirmwareError(f"{target}: expected {expected} to build it, got {toolchain!r}")
    chosen = ("-DFLEET_DENSE_ONLY", *flags) if layers == "dense" else flags
    command = [*_COMPILERS[toolchain](), *_STRICT, *_EXACT, *_places(target), *chosen]
    if target != "host":
        command += [*_BARE, *_LINK, f"-Wl,-T,{SCRIPT}"]
    name = f"tinyfleet-{target}-{toolchain}-{layers}" + ("" if target == "host" else ".elf")
    built = (folder or _cache() / _digest(target, command)) / name
    if folder is not None or not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=built.parent) as scratch:
            made = Path(scratch) / name
            _run([*command, *map(str, sources(target)), "-o", str(made)], Path(scratch))
            made.replace(built)  # at once, for others may build the same
    return built


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "tinyfleet" / "firmware"


def _places(target: Target) -> list[str]:
    """Return where headers are."""
    places = [HERE / "src", KERNEL.parent, *([] if target == "host" else [CORTEX_M])]
    return [f"-I{place}" for place in places]


def _digest(target: Target, command: list[str]) -> str:
    """Return a name for all that the result depends on."""
    digest = hashlib.sha256(repr(command).encode())
    headers = [*KERNEL.glob("*.h"), *HERE.rglob("*.h"), SCRIPT]
    for path in sorted({*headers, *sources(target)}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        raise FirmwareError(f"{Path(command[0]).name}: cannot build the firmware: {said[0][:300]}")
