"""An emulated board has what an nRF52840 has; whatever else it touches is seen."""

from pathlib import Path

import pytest
from boards import firmware, task_for
from elf import RAM_END, STOP, write_elf

from tinyfleet.client.board import Board
from tinyfleet.client.emulated import UnicornBoard, read_elf
from tinyfleet.client.link import Link
from tinyfleet.errors import FirmwareError
from tinyfleet.messages import Assignment, Training
from tinyfleet.networks import named_network

LOAD_R0, LOAD_R2 = 0x4803, 0x4A04  # the words at 24 and 28
STORE, READ, JUMP, UNDEFINED = 0x6010, 0x6811, 0x4710, 0xDE00


def test_the_firmware_runs_in_its_256_kb_and_in_no_less() -> None:
    network = named_network("sine")
    keeps_at_the_end = Assignment(1, network.init(1), Training(0.1), share=0.5)
    whole = UnicornBoard(firmware("unicorn", "zig"))
    half = UnicornBoard(firmware("unicorn", "zig"), ram=128 * 1024)

    Board(Link(whole), network).learn(keeps_at_the_end, task_for(network, 2))
    with pytest.raises(FirmwareError, match=r"0x2003[0-9a-f]{4}: expected .* RAM .*, pc 0x0"):
        Board(Link(half), network).learn(keeps_at_the_end, task_for(network, 2))


@pytest.mark.parametrize(
    ("address", "code", "access"),
    [
        (RAM_END, STORE, "write"),
        (RAM_END, READ, "read"),
        (0x1FFF_FFFC, STORE, "write"),
        (0x4000_0000, READ, "read"),
        (0x10_0000, READ, "read"),
        (0x100, STORE, "write to flash"),
        (RAM_END + 1, JUMP, "jump"),
    ],
)
def test_an_access_outside_of_memory_is_an_error_with_address_and_pc(
    tmp_path: Path, address: int, code: int, access: str
) -> None:
    board = UnicornBoard(write_elf(tmp_path, [LOAD_R0, LOAD_R2, code], (7, address)))

    with pytest.raises(FirmwareError, match=rf"{access} of .* at {address & ~1:#010x}.* pc 0x"):
        board.read(5)


def test_an_unknown_instruction_is_an_error(tmp_path: Path) -> None:
    board = UnicornBoard(write_elf(tmp_path, [UNDEFINED]))

    with pytest.raises(FirmwareError, match="the processor faulted"):
        board.read(5)


@pytest.mark.parametrize(
    ("register", "value", "said"),
    [(0x10, 1, "reason 1"), (0x1C, 5, "takes no such thing"), (0x20, 2**21, "no memory there")],
    ids=["fault", "more than waits", "more than memory"],
)
def test_the_uart_takes_nothing_that_makes_no_sense(
    tmp_path: Path, register: int, value: int, said: str
) -> None:
    board = UnicornBoard(
        write_elf(tmp_path, [LOAD_R0, LOAD_R2, STORE], (value, 0x4000_2000 + register))
    )

    with pytest.raises(FirmwareError, match=said):
        board.read(5)


def test_a_board_that_hangs_does_not_hang_its_reader(tmp_path: Path) -> None:
    board = UnicornBoard(write_elf(tmp_path, [STOP]), patience=0.05)

    for _ in range(2):
        with pytest.raises(FirmwareError, match=r"it ran 0.05 s on end, pc 0x0000000[89a]"):
            board.read(5)
        board.reset()


def test_instructions_are_counted(tmp_path: Path) -> None:
    available = [LOAD_R0, LOAD_R2, 0x3001, 0x3001, READ]  # adds r0, #1, twice

    board = UnicornBoard(write_elf(tmp_path, available, (0, 0x4000_2004)), count=True)
    board.read(5)

    assert board.instructions == 5


def test_after_a_power_cycle_the_session_is_another() -> None:
    board = UnicornBoard(firmware("unicorn", "zig"))
    link = Link(board)
    first = link.hello()

    board.reset()

    assert link.hello().session != first.session


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"text", "ELF file for ARM"), (b"", "ELF file for ARM")],
)
def test_a_file_that_is_no_firmware_is_refused(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "firmware.elf"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(FirmwareError, match=said):
        UnicornBoard(path)


@pytest.mark.parametrize("length", [60, 100])
def test_firmware_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    path = write_elf(tmp_path, [STOP])
    path.write_bytes(path.read_bytes()[:length])

    with pytest.raises(FirmwareError, match=r"expected .* got"):
        read_elf(path)


def test_firmware_for_another_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match="bytes of flash"):
        UnicornBoard(write_elf(tmp_path, [STOP], at=2**20 - 8))
