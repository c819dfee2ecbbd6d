"""An emulated Cortex-M4 board in a QEMU process: the second engine, for firmware built by gcc."""

import shutil
from pathlib import Path

from tinyfleet.client.ports import PortLost, ProcessPort
from tinyfleet.errors import FirmwareError

QEMU = "qemu-system-arm"
SESSION_AT = 0x2003_FFFC
"""Where the firmware finds its session: the last word of 256 KB of RAM."""

# `cat` ends with its standard input, so that no board outlives its gateway, whatever it is doing.
_GUARD = '{ cat; kill -9 0; } | { "$@"; kill -9 0; }'


class QemuBoard:
    """A board as a port; the firmware confines itself to 256 KB by its MPU.

    Args:
        elf: firmware for the MPS2 AN386.

    Raises:
        FirmwareError: QEMU or the firmware is missing.
    """

    def __init__(self, elf: Path) -> None:
        found = shutil.which(QEMU)
        if found is None:
            raise FirmwareError(f"{QEMU}: expected it on the PATH; apt-get install qemu-system-arm")
        if not elf.is_file():
            raise FirmwareError(f"{elf}: expected firmware, got no file; build it first")
        self._qemu, self._elf = found, elf
        self._starts = 0
        self._process = self._powered()

    def write(self, data: bytes) -> None:
        """See `Port`."""
        try:
            self._process.write(data)
        except PortLost as lost:
            raise self._faulted() from lost

    def read(self, timeout: float) -> bytes:
        """See `Port`.

        Raises:
            FirmwareError: the board faulted, which ends QEMU; `reset` starts it again.
        """
        try:
            return self._process.read(timeout)
        except PortLost as lost:
            raise self._faulted() from lost

    def reset(self) -> None:
        """Take the power away and give it back."""
        self._process.close()
        self._process = self._powered()

    def close(self) -> None:
        """See `Port`."""
        self._process.close()

    def _powered(self) -> ProcessPort:
        self._starts += 1
        machine = ["-M", "mps2-an386", "-icount", "shift=6,sleep=off", "-no-reboot"]
        quiet = ["-display", "none", "-monitor", "none", "-serial", "none"]
        # The firmware reads and writes QEMU's own standard streams: a UART takes a byte at a time.
        streams = ["-semihosting-config", "enable=on,target=native"]
        session = f"loader,addr={SESSION_AT:#x},data={self._starts:#x},data-len=4"
        firmware = ["-kernel", str(self._elf), "-device", session]
        command = [self._qemu, *machine, *quiet, *streams, *firmware]
        return ProcessPort(["sh", "-c", _GUARD, "sh", *command])

    def _faulted(self) -> FirmwareError:
        return FirmwareError(
            f"{self._elf}: QEMU ended: the board faulted, or QEMU refuses its arguments"
        )
