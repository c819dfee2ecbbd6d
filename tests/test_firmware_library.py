"""The firmware is one library, complete in itself, for Arduino, PlatformIO and Zephyr."""

import json
import re
import subprocess
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from boards import firmware, need

from tinyfleet.client.emulated import UnicornBoard
from tinyfleet.client.firmware.build import CORTEX_M, HERE, KERNEL, build
from tinyfleet.client.firmware.package import assemble
from tinyfleet.client.link import Link
from tinyfleet.client.qemu import QemuBoard
from tinyfleet.errors import FirmwareError
from tinyfleet.networks import named_network
from tinyfleet.plan import plan
from tinyfleet.wire import Kind, pack_program

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
M4 = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]

# What a sketch sees of an Arduino board.
ARDUINO = """
#include <stdint.h>
#include <stddef.h>
enum { A0, A1, A2 };
int analogRead(int);
void delay(unsigned long);
unsigned long micros();
struct Port {
  void begin(unsigned long);
  int available();
  int read();
  size_t write(const uint8_t *, size_t);
};
extern Port Serial;
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assemble(tmp_path_factory.mktemp("library") / "tinyfleet")


def test_every_file_says_the_same_version() -> None:
    header = (HERE / "src" / "fleet_version.h").read_text()
    said = ".".join(re.findall(r"FLEET_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))
    properties = dict(
        line.split("=", 1) for line in (HERE / "library.properties").read_text().splitlines()
    )

    hello = Link(UnicornBoard(firmware("unicorn", "zig"))).hello()

    assert properties["version"] == said
    assert json.loads((HERE / "library.json").read_text())["version"] == said
    assert ".".join(map(str, hello.firmware)) == said
    assert version("tinyfleet") == said


def test_the_library_compiles_from_its_own_folder(library: Path, tmp_path: Path) -> None:
    need("cc")
    sources = sorted((library / "src").rglob("*.c"))
    include = [f"-I{library / 'src'}"]

    for source in sources:
        command = ["cc", "-std=c99", *STRICT, *include, "-c", str(source), "-o", "one.o"]
        subprocess.run(command, check=True, cwd=tmp_path)

    assert {"check.c", "fleet_device.c", "fleet_step.c"} <= {source.name for source in sources}
    assert not list(library.rglob("host.*"))


def test_the_sketch_compiles_against_the_library(library: Path, tmp_path: Path) -> None:
    need("c++")
    sketch = library / "examples" / "Learn" / "Learn.ino"
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    command = ["c++", "-std=gnu++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    command += [f"-I{library / 'src'}", "-include", str(tmp_path / "Arduino.h"), "-x", "c++"]

    subprocess.run([*command, str(sketch)], check=True)


def test_the_archive_holds_the_same_files(library: Path, tmp_path: Path) -> None:
    archive = assemble(tmp_path / "tinyfleet.zip")

    with zipfile.ZipFile(archive) as opened:
        held = {name for name in opened.namelist() if not name.endswith("/")}
    files = {str(path.relative_to(library.parent)) for path in library.rglob("*") if path.is_file()}
    assert held == files


def test_nothing_is_overwritten(library: Path) -> None:
    with pytest.raises(FirmwareError, match="expected no such"):
        assemble(library)


def test_a_tool_that_leaves_no_say_fuses_nothing(tmp_path: Path) -> None:
    """Arduino compiles with flags of its own, under which gcc fuses products with sums."""
    need("arm-none-eabi-gcc", "arm-none-eabi-objdump")
    source, built = HERE / "src" / "fleet_step.c", tmp_path / "step.o"
    include = [f"-I{HERE / 'src'}", f"-I{KERNEL.parent}"]
    gcc = ["arm-none-eabi-gcc", *M4, "-Os", *include, "-c", str(source), "-o", str(built)]
    subprocess.run(gcc, check=True)

    listing = ["arm-none-eabi-objdump", "-d", str(built)]
    code = subprocess.run(listing, check=True, capture_output=True, text=True).stdout

    assert "vmul.f32" in code
    assert not re.search(r"vfn?m[as]", code)


def test_a_build_is_used_again_until_something_changes() -> None:
    first, same = build("unicorn", "zig"), build("unicorn", "zig")
    other = build("unicorn", "zig", layers="dense")

    assert first == same
    assert first.parent != other.parent


def test_a_compiler_that_does_not_build_for_a_target_is_refused() -> None:
    with pytest.raises(FirmwareError, match="host: expected cc to build it, got 'zig'"):
        build("host", "zig")


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(FirmwareError, match="apt-get install gcc-arm-none-eabi"):
        build("qemu", "gcc")


def test_what_the_compiler_refuses_is_one_line(tmp_path: Path) -> None:
    need("cc")

    with pytest.raises(FirmwareError, match=r"cannot build the firmware: .*error") as caught:
        build("host", "cc", tmp_path, flags=("-DHOST_FRAME=-1",))

    assert "\n" not in str(caught.value)


def test_the_mpu_confines_firmware_that_takes_more_than_256_kb(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Linked for 512 KB, it keeps a program on its way in where there is no memory."""
    need("arm-none-eabi-gcc", "qemu-system-arm")
    script = tmp_path / "link.ld"
    script.write_text((CORTEX_M / "link.ld").read_text().replace("256K", "512K"))
    monkeypatch.setattr("tinyfleet.client.firmware.build.SCRIPT", script)
    board = QemuBoard(build("qemu", "gcc", tmp_path))
    link = Link(board, timeout=10)

    assert link.hello().arena > 256 * 1024
    with pytest.raises(FirmwareError, match="faulted"):
        link.send_blob(Kind.PROGRAM, pack_program(plan(named_network("sine"))))
    board.close()
