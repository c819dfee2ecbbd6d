"""Build generated sketches for the emulated boards, with an Arduino of our own around them."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

from boards import need

from tinyfleet.client.firmware.build import CORTEX_M, HERE, KERNEL

ARDUINO = Path(__file__).parent / "arduino"
Emulator = Literal["unicorn", "qemu"]
Compiler = Literal["zig", "gcc"]

_STRICT = ("-Wall", "-Wextra", "-Werror")
_BARE = ("-ffreestanding", "-fno-builtin", "-ffunction-sections", "-fdata-sections")
_CPP = ("-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-std=c++17")
_GCC = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
_ZIG = ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp")


def sources(project: Path) -> list[Path]:
    """Return the C and C++ files of an Arduino sketch or a PlatformIO project."""
    found = [path for ending in ("c", "cpp", "ino") for path in project.rglob(f"*.{ending}")]
    return sorted(found)


def build_sketch(project: Path, emulator: Emulator, compiler: Compiler, folder: Path) -> Path:
    """Build a generated project for an emulated board; return the ELF."""
    if compiler == "gcc":
        need("arm-none-eabi-gcc", "arm-none-eabi-g++")
    shim = [ARDUINO / "board.cpp", CORTEX_M / "runtime.c", HERE / "boards" / emulator / "board.c"]
    includes = [
        ARDUINO,
        ARDUINO / "libc",
        CORTEX_M,
        project / "lib" / "tinyfleet" / "src",
        HERE / "src",
    ]
    flags = [
        *_STRICT,
        *_BARE,
        "-ffp-contract=off",
        *(f"-I{place}" for place in includes),
        f"-I{KERNEL.parent}",
    ]
    wanted = [*shim, *sources(project)]
    for language, options in (("c", ("-std=gnu11",)), ("c++", _CPP)):
        place = folder / language
        place.mkdir()
        own = [str(path) for path in wanted if (path.suffix == ".c") == (language == "c")]
        command = [*_command(compiler, language), *flags, *options]
        _run([*command, "-x", language, "-c", *own], place)
    objects = sorted(map(str, folder.glob("*/*.o")))
    elf = folder / f"{emulator}-{compiler}.elf"
    link = ["-nostdlib", "-Wl,--gc-sections", "-Wl,-e,reset_handler"]
    script = f"-Wl,-T,{CORTEX_M / 'link.ld'}"
    _run([*_command(compiler, "c"), *objects, *link, script, "-o", str(elf)], folder)
    return elf


def _command(compiler: Compiler, language: str) -> list[str]:
    if compiler == "zig":
        small = ("-Oz", "-fno-sanitize=all", "-g")
        return [sys.executable, "-m", "ziglang", "cc" if language == "c" else "c++", *_ZIG, *small]
    program = f"arm-none-eabi-g{'cc' if language == 'c' else '++'}"
    return [program, *_GCC, "-Os", "-g", "-fno-tree-loop-distribute-patterns"]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
