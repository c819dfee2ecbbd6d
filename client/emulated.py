"""An emulated Cortex-M4 board in this process: nRF52840 memory, a UART, and nothing else.

`client/firmware/README.md` has the UART's registers.
"""

import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyfleet.errors import FirmwareError

try:
    import unicorn
    from unicorn import arm_const
except ImportError:
    raise FirmwareError(
        "unicorn: expected the package, got none; pip install 'tinyfleet[firmware]'"
    ) from None

FLASH, RAM, UART, SYSTEM = 0x0000_0000, 0x2000_0000, 0x4000_2000, 0xE000_E000
PAGE = 4096
DATA, AVAILABLE, CYCLES, CYCLES_HIGH, FAULT, SEED, ADDRESS, RECEIVE, SEND = range(0, 36, 4)

_JUNK = 0xA5  # what RAM holds after power on: nothing that a program may rely on
_FOREVER = 0xFFFF_FFFE  # an address that no program reaches
_ACCESS = {
    unicorn.UC_MEM_READ_UNMAPPED: "read",
    unicorn.UC_MEM_WRITE_UNMAPPED: "write",
    unicorn.UC_MEM_FETCH_UNMAPPED: "jump",
    unicorn.UC_MEM_READ_PROT: "read",
    unicorn.UC_MEM_WRITE_PROT: "write to flash",
    unicorn.UC_MEM_FETCH_PROT: "jump",
}


@dataclass(frozen=True)
class Segment:
    """Bytes of an ELF file and the physical address that they are loaded to."""

    address: int
    data: bytes


class UnicornBoard:
    """A board as a port. It runs only while someone reads, and stands still between its inputs.

    Args:
        elf: firmware for the emulated board.
        ram: bytes of RAM.
        flash: bytes of flash.
        count: count instructions; the board is then several times slower.
        patience: seconds without waiting for input after which a board counts as hung.

    Attributes:
        instructions: executed since power on, 0 where nobody counts.

    Raises:
        FirmwareError: no ELF file for a little-endian ARM, or it does not fit into the flash.
    """

    def __init__(
        self,
        elf: Path,
        ram: int = 256 * 1024,
        flash: int = 1024 * 1024,
        *,
        count: bool = False,
        patience: float = 60.0,
    ) -> None:
        self._elf, self._ram, self._flash = elf, ram, flash
        self._count, self._patience = count, patience
        self._segments = read_elf(elf)
        for segment in self._segments:
            if not FLASH <= segment.address <= FLASH + flash - len(segment.data):
                raise FirmwareError(
                    f"{elf}: expected {len(segment.data)} bytes within {flash} bytes of flash, "
                    f"got them at {segment.address:#010x}"
                )
        self._starts = 0
        self.reset()

    def write(self, data: bytes) -> None:
        """See `Port`."""
        self._inbox += data

    def read(self, timeout: float) -> bytes:
        """Run until the board waits for input, however long that takes; return what it has sent.

        Raises:
            FirmwareError: the board touched what it does not have, says that it faulted, or hangs.
                Only `reset` makes it work again.
        """
        del timeout
        if not self._trouble and (self._inbox or not self._waiting):
            self._run()
        if self._trouble:
            raise FirmwareError(f"{self._elf}: {self._trouble}, pc {self._pc:#010x}")
        sent = bytes(self._outbox)
        self._outbox.clear()
        return sent

    def reset(self) -> None:
        """Take the power away and give it back: RAM holds junk, the session is another."""
        self._starts += 1
        self._inbox, self._outbox = bytearray(), bytearray()
        self._waiting = False
        self._trouble: str | None = None
        self._address = self._latched = 0
        self.instructions = 0
        self._cpu = self._powered()
        stack, self._pc = struct.unpack("<II", self._cpu.mem_read(FLASH, 8))
        self._cpu.reg_write(arm_const.UC_ARM_REG_SP, stack)

    def close(self) -> None:
        """See `Port`; a board in this process holds nothing."""

    def _powered(self) -> Any:
        cpu = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        cpu.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M4)
        cpu.mem_map(FLASH, self._flash, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        cpu.mem_map(RAM, self._ram, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        cpu.mem_map(SYSTEM, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        cpu.mmio_map(UART, PAGE, self._read_register, None, self._write_register, None)
        cpu.mem_write(RAM, bytes([_JUNK]) * self._ram)
        for segment in self._segments:
            cpu.mem_write(segment.address, segment.data)
        cpu.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._invalid)
        if self._count:
            cpu.hook_add(unicorn.UC_HOOK_CODE, self._step)
        return cpu

    def _run(self) -> None:
        """Run until the board waits for input."""
        self._waiting = False
        # A stop at any instruction may run a register's access twice: nobody goes on after it.
        watch = threading.Timer(self._patience, self._stop, [f"it ran {self._patience:g} s on end"])
        watch.start()
        try:
            self._cpu.emu_start(self._pc | 1, _FOREVER)
        except unicorn.UcError as error:
            self._trouble = self._trouble or f"the processor faulted ({error})"
        finally:
            watch.cancel()
            watch.join()
        self._pc = self._cpu.reg_read(arm_const.UC_ARM_REG_PC)

    def _read_register(self, cpu: Any, offset: int, size: int, data: Any) -> int:
        del size, data
        if offset == AVAILABLE:
            if not self._inbox:
                self._waiting = True
                cpu.emu_stop()
            return len(self._inbox)
        if offset == DATA and self._inbox:
            return self._inbox.pop(0)
        if offset == CYCLES:
            self._latched = self.instructions
            return self._latched & 0xFFFF_FFFF
        if offset == CYCLES_HIGH:
            return self._latched >> 32
        if offset == SEED:
            return self._starts
        self._stop(f"read nothing at {UART + offset:#010x}")
        return 0

    def _write_register(self, cpu: Any, offset: int, size: int, value: int, data: Any) -> None:
        del size, data
        try:
            if offset == DATA:
                self._outbox.append(value & 0xFF)
            elif offset == ADDRESS:
                self._address = value
            elif offset == RECEIVE and self._address >= RAM and value <= len(self._inbox):
                cpu.mem_write(self._address, bytes(self._inbox[:value]))
                del self._inbox[:value]
            elif offset == SEND:
                self._outbox += cpu.mem_read(self._address, value)
            elif offset == FAULT:
                self._stop(f"the firmware says that it faulted, reason {value}")
            else:
                self._stop(f"wrote {value:#x} to {UART + offset:#010x}, which takes no such thing")
        except unicorn.UcError:
            self._stop(f"the UART touched {value} bytes at {self._address:#010x}, no memory there")

    def _invalid(
        self, cpu: Any, access: int, address: int, size: int, value: int, data: Any
    ) -> bool:
        del cpu, value, data
        self._trouble = (
            f"{_ACCESS.get(access, 'access')} of {size} bytes at {address:#010x}: expected flash "
            f"below {FLASH + self._flash:#010x} or RAM {RAM:#010x}..{RAM + self._ram - 1:#010x}"
        )
        return False

    def _step(self, cpu: Any, address: int, size: int, data: Any) -> None:
        del cpu, address, size, data
        self.instructions += 1

    def _stop(self, trouble: str) -> None:
        self._trouble = self._trouble or trouble
        self._cpu.emu_stop()


def read_elf(path: Path) -> tuple[Segment, ...]:
    """Return what the ELF file at `path` loads.

    Raises:
        FirmwareError: the file is missing, no 32-bit little-endian ELF for ARM, or cut short.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FirmwareError(f"{path}: expected firmware, got {error.strerror or error}") from None
    machine, program_headers, count = 40, 0, 0
    if len(data) >= 52:
        machine = int.from_bytes(data[18:20], "little")
        program_headers = int.from_bytes(data[28:32], "little")
        count = int.from_bytes(data[44:46], "little")
    if data[:6] != b"\x7fELF\x01\x01" or machine != 40:
        raise FirmwareError(f"{path}: expected an ELF file for ARM, got {data[:6]!r}; build it")
    segments = []
    for header in range(program_headers, program_headers + 32 * count, 32):
        if header + 32 > len(data):
            raise FirmwareError(f"{path}: expected {count} segments, got a file cut short")
        kind, offset, _, address, length = struct.unpack_from("<5I", data, header)
        if kind == 1 and length:  # PT_LOAD
            if offset + length > len(data):
                raise FirmwareError(f"{path}: expected {offset + length} bytes, got {len(data)}")
            segments.append(Segment(address, data[offset : offset + length]))
    return tuple(segments)
