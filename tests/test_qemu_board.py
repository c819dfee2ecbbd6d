"""A board in a QEMU process is found when it faults, and never left behind."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from boards import need
from elf import STOP, write_elf

from tinyfleet.client.qemu import QemuBoard
from tinyfleet.errors import FirmwareError

GATEWAY = """
import sys
from pathlib import Path
from tinyfleet.client.qemu import QemuBoard
board = QemuBoard(Path(sys.argv[1]))
board.read(0.1)
print("up", flush=True)
input()
board.close()
"""


@pytest.fixture(autouse=True)
def _qemu() -> None:
    need("qemu-system-arm")


def test_qemu_that_ends_is_an_error_and_a_reset_starts_it_again(tmp_path: Path) -> None:
    path = tmp_path / "board.elf"
    path.write_bytes(b"no firmware")
    board = QemuBoard(path)
    with pytest.raises(FirmwareError, match="QEMU ended"):
        board.read(20)

    write_elf(tmp_path, [STOP])
    board.reset()

    assert board.read(0.2) == b""
    board.close()


def test_a_board_without_firmware_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match="no file"):
        QemuBoard(tmp_path / "missing.elf")


@pytest.mark.parametrize("end", ["close", "kill"])
def test_no_board_outlives_its_gateway(tmp_path: Path, end: str) -> None:
    command = [sys.executable, "-c", GATEWAY, str(write_elf(tmp_path, [STOP]))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as gateway:
        assert gateway.stdout is not None
        assert gateway.stdout.readline() == "up\n"
        boards = psutil.Process(gateway.pid).children(recursive=True)
        if end == "kill":
            gateway.kill()
        else:
            gateway.communicate("now\n")

    _, alive = psutil.wait_procs(boards, timeout=20)

    assert boards
    assert not alive
