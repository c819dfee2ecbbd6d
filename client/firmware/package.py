"""Assemble the firmware's sources as one library, for Arduino, PlatformIO and Zephyr alike.

python -m tinyfleet.client.firmware.package tinyfleet.zip
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from tinyfleet.client.firmware.build import HERE, KERNEL
from tinyfleet.errors import FirmwareError

LOOSE = ("library.properties", "library.json")
FOLDERS = ("src", "examples", "zephyr")

_INCLUDE = re.compile(r'#include "(?:kernel/)?([\w.]+)"')


def kernel_files() -> tuple[Path, ...]:
    """Return the kernel's files that the firmware compiles: its check, and headers it reaches."""
    found: set[Path] = set()
    waiting = [KERNEL / "check.c", *(HERE / "src").glob("*.[ch]")]
    while waiting:
        path = waiting.pop()
        for name in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            header = KERNEL / name
            if header.exists() and header not in found:
                found.add(header)
                waiting.append(header)
    return (KERNEL / "check.c", *sorted(found))


def assemble(target: Path) -> Path:
    """Write the library to the folder `target`, or to an archive when that ends in .zip.

    Returns:
        `target`.

    Raises:
        FirmwareError: there is something in its place, or it cannot be written.
    """
    if target.exists():
        raise FirmwareError(f"{target}: expected no such file or folder, got one; name another")
    try:
        if target.suffix != ".zip":
            _copy(target)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                _copy(Path(scratch) / "tinyfleet")
                shutil.make_archive(str(target.with_suffix("")), "zip", scratch, "tinyfleet")
    except OSError as error:
        raise FirmwareError(f"{target}: cannot write the library: {error.strerror}") from None
    return target


def _copy(target: Path) -> None:
    for folder in FOLDERS:
        shutil.copytree(HERE / folder, target / folder)
    for name in LOOSE:
        shutil.copy(HERE / name, target / name)
    (target / "src" / "kernel").mkdir()
    for path in kernel_files():
        shutil.copy(path, target / "src" / "kernel" / path.name)


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
