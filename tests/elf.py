"""The smallest firmware: a few hand-written Thumb instructions as an ELF file."""

import struct
from pathlib import Path

RAM_END = 0x2004_0000
RESET = 9  # the address of the first instruction, with the bit that says Thumb
STOP = 0xE7FE  # a branch to itself


def write_elf(folder: Path, code: list[int], words: tuple[int, ...] = (), at: int = 0) -> Path:
    """Write an ELF file: a vector table, up to eight instructions at 8, words from 24."""
    padded = (code + 8 * [STOP])[:8]
    data = struct.pack("<II8H", RAM_END, RESET, *padded) + struct.pack(f"<{len(words)}I", *words)
    header = struct.pack(
        "<16sHHIIIIIHHHHHH",
        *(b"\x7fELF\x01\x01\x01", 2, 40, 1, 9, 52, 0, 0, 52, 32, 1, 0, 0, 0),
    )
    segment = struct.pack("<8I", 1, 84, at, at, len(data), len(data), 5, 4)
    path = folder / "board.elf"
    path.write_bytes(header + segment + data)
    return path
