"""`tinyfleet generate` writes a project whole, inside its folder, and only for a pair that fits."""

import json
import re
import string
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boards import need
from generated import BOARD, PI, network_pairing, number, thing
from typer.testing import CliRunner

from tinyfleet import named_network, save_weights
from tinyfleet.cli import make_app
from tinyfleet.client.gateway import read_gateway
from tinyfleet.errors import DescriptionError, FleetError
from tinyfleet.ontology.boards import boards
from tinyfleet.ontology.generate import GROUP, Pairing, generate, kinds
from tinyfleet.ontology.shapes import check, check_thing
from tinyfleet.ontology.things import board_thing
from tinyfleet.ontology.things_rdf import read_json, thing_graph

ROOT = Path(__file__).parent.parent
PROGRAM = str(Path(sys.executable).parent / "tinyfleet")
PI_BOARD = "Raspberry Pi 4"
PLAIN = set(string.ascii_letters + string.digits + "._-/")
HOSTILE = 'a"b\\\n*/ #include <x> ??/ {{ 7*7 }} {% raw %} \'\'\' """ ../../x `c` $(d) | é\x07\x00'


def command(*arguments: str) -> str:
    """Run `tinyfleet generate`; return what it prints."""
    found = CliRunner().invoke(make_app(["generate"]), ["generate", *arguments])
    if isinstance(found.exception, FleetError):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found.stdout


def sine(**more: Any) -> Pairing:
    return network_pairing(named_network("sine"), thing(level=number(-5, 5)), "whole", **more)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_pair_that_fits_becomes_a_project(tmp_path: Path) -> None:
    told = json.loads(
        command("--model", "sine", "--device", "nrf52840-emulated", "--out", str(tmp_path / "p"),
                "--json")
    )  # fmt: skip

    assert (told["kind"], told["fits"], told["learning"]) == ("arduino", True, "whole")
    assert sorted(contents(tmp_path / "p")) == told["files"]
    assert told["latency"] > 0


def test_a_raspberry_pi_gets_a_python_project(tmp_path: Path) -> None:
    told = command("--model", "presence", "--device", "Raspberry Pi 4", "--out",
                   str(tmp_path / "p"), "--json")  # fmt: skip

    assert json.loads(told)["kind"] == "python"
    assert (tmp_path / "p" / "main.py").is_file()


def test_a_pair_that_does_not_fit_is_refused_with_its_reason_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    asked = ("--model", "sine", "--device", "small", "--things", str(tmp_path / "small.json"))
    board = board_thing(boards()["nrf52840-emulated"], "urn:small", title="small")
    text = json.dumps(board).replace("262144", "2144")
    (tmp_path / "small.json").write_text(text)

    with pytest.raises(DescriptionError, match=r"sine does not fit small: needs [\d,]+ B RAM"):
        command(*asked, "--out", str(tmp_path / "p"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json"]

    told = json.loads(command(*asked, "--out", str(tmp_path / "p"), "--force", "--json"))
    assert not told["fits"]
    assert "B RAM, has 2,144" in told["reason"]
    assert "do not match" in (tmp_path / "p" / "README.md").read_text()


def test_the_weights_and_labels_that_are_given_are_carried(tmp_path: Path) -> None:
    network = named_network("presence")
    save_weights(tmp_path / "w.npy", network.init(7))

    command("--model", "presence", "--device", "Raspberry Pi 4", "--weights",
            str(tmp_path / "w.npy"), "--labels", "empty, taken", "--out", str(tmp_path / "p"),
            )  # fmt: skip

    assert (tmp_path / "p" / "weights.npy").read_bytes() == (tmp_path / "w.npy").read_bytes()
    assert "['empty', 'taken']" in (tmp_path / "p" / "main.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "none", "--device", "Raspberry Pi 4"), "none: expected a .tflite file"),
        (("--model", "sine", "--device", "none"), "--device: expected one of Arduino"),
        (("--model", "sine", "--device", "Raspberry Pi 4", "--kind", "rust"), "--kind: expected"),
        (
            ("--model", "sine", "--device", "Raspberry Pi Pico", "--kind", "python"),
            "for Raspberry Pi",
        ),
        (("--model", "sine", "--device", "Raspberry Pi 4", "--kind", "arduino"), "expected python"),
        (
            ("--model", "presence", "--device", "Raspberry Pi 4", "--labels", "a,b,c"),
            "--labels: expected 2, got 3",
        ),
        (
            ("--model", "presence", "--device", "Raspberry Pi 4", "--labels", "a,a"),
            "--labels: expected names that differ",
        ),
    ],
)
def test_what_nobody_has_is_one_line(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(DescriptionError) as caught:
        command(*arguments, "--out", str(tmp_path / "p"))

    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(DescriptionError, match="holds something"):
        generate(sine(), "arduino", tmp_path)

    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_force_replaces_files_of_the_same_names_and_no_others(tmp_path: Path) -> None:
    first = generate(sine(), "arduino", tmp_path / "p")
    (first.folder / "notes.txt").write_text("mine")
    (first.folder / "README.md").write_text("old")

    generate(sine(), "arduino", tmp_path / "p", force=True)

    assert (first.folder / "notes.txt").read_text() == "mine"
    assert (first.folder / "README.md").read_text() != "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]


def test_force_writes_through_no_link(tmp_path: Path) -> None:
    folder, outside = tmp_path / "p", tmp_path / "outside"
    outside.mkdir()
    folder.mkdir()
    (folder / "src").symlink_to(outside)
    (folder / "notes.txt").touch()
    pairing = sine(device=replace(BOARD, board="nrf52840-dk"))

    with pytest.raises(DescriptionError, match="expected a folder, got a link"):
        generate(pairing, "platformio", folder, force=True)

    assert not list(outside.iterdir())


def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path: Path) -> None:
    asked = f'ulimit -f 8; exec {PROGRAM} generate --model presence --device "{PI_BOARD}" --out p'

    done = subprocess.run(
        ["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 12, done.stderr
    assert re.fullmatch(r"tinyfleet: .*/p: expected a folder .* too large.*\n", done.stderr)
    assert not list(tmp_path.iterdir())


def test_the_same_pair_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        generate(sine(), "arduino", tmp_path / name)

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("kind", ["arduino", "python"])
def test_hostile_names_stay_names(kind: str, tmp_path: Path) -> None:
    need("c++", "cc")
    schema = number(0, 1, unit=HOSTILE, title=HOSTILE)
    network = named_network("presence")
    described = thing(**{f"{HOSTILE}{at}": schema for at in range(4)})
    device = replace(PI, title=HOSTILE, board=HOSTILE, sensors=(HOSTILE,), id=HOSTILE)
    pairing = network_pairing(network, described, "whole", device, forced=HOSTILE)
    model = replace(pairing.model, name=HOSTILE, labels=(HOSTILE, "b"))

    project = generate(replace(pairing, model=model), kind, tmp_path / "p")

    names = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    assert all(set(name) <= PLAIN for name in names)
    assert "49" not in (project.folder / "README.md").read_text()
    for path in project.folder.rglob("*.toml"):
        tomllib.loads(path.read_text())
    for path in project.folder.rglob("*.py"):
        compile(path.read_text(), path.name, "exec")
    if kind == "arduino":
        compile_natively(project.folder)


def compile_natively(folder: Path) -> None:
    """Let this machine's compilers check a sketch."""
    arduino = Path(__file__).parent / "arduino"
    for source in (*folder.rglob("*.ino"), *folder.rglob("model.c")):
        cpp = source.suffix == ".ino"
        flags = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{arduino}"]
        language = ["-x", "c++", "-std=c++17"] if cpp else ["-std=gnu11"]
        program = "c++" if cpp else "cc"
        done = subprocess.run(
            [program, *flags, *language, str(source)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.parametrize("name", ["../outside.py", "/tmp/outside.py", "a/../../b", "", "a\nb"])
def test_a_writer_cannot_place_a_file_outside(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "other-1.dist-info").mkdir(parents=True)
    (site / "other-1.dist-info" / "METADATA").write_text("Name: other\nVersion: 1\n")
    (site / "other-1.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\nother = other:write")
    (site / "other.py").write_text(f"def write(project): return {{{name!r}: b''}}\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "other", raising=False)

    with pytest.raises(DescriptionError, match="expected a file inside it"):
        generate(sine(), "other", tmp_path / "p")

    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_the_gateway_of_a_sketch_is_read_as_it_is(tmp_path: Path) -> None:
    project = generate(sine(), "arduino", tmp_path / "p")

    gateway = read_gateway(project.folder / "gateway.toml")

    assert gateway.network == named_network("sine")
    assert [table.kind for table in gateway.devices] == ["serial"]


def test_the_writers_are_found_by_name() -> None:
    assert kinds() == ("arduino", "platformio", "python")
    assert GROUP == "tinyfleet.projects"


def test_the_command_ends_with_the_exit_code_of_descriptions(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "generate", "--model", "none", "--device", "x", "--out", "p"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (12, 1, "")


def code_lines(folder: Path) -> int:
    """Return the lines that are not empty of what a project computes with, without data."""
    own = [path for path in folder.rglob("*") if path.suffix in (".c", ".h", ".ino", ".py")]
    kept = [path for path in own if "tinyfleet" not in path.relative_to(folder).parts]
    lines = [line for path in kept for line in path.read_text().splitlines() if line.strip()]
    return sum(re.fullmatch(r" {4}[-0-9][-0-9.e+f, ]*", line) is None for line in lines)


def test_the_page_counts_the_lines_that_are_written(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "generate.md").read_text()
    room = ROOT / "docs" / "examples" / "room.json"
    counted = {}
    for model, device in (("characters", PI_BOARD), ("keywords", PI_BOARD), ("presence", room)):
        out = tmp_path / model
        told = command("--model", model, "--device", str(device), "--out", str(out), "--json")
        counted[model] = (code_lines(out), json.loads(told)["lines_to_write"])

    table = [line.split(" | ") for line in page.splitlines() if re.match(r"\| I+ ", line)]
    assert [int(row[3]) for row in table] == [lines for lines, _ in counted.values()]
    assert int(table[2][4]) == len(room.read_text().splitlines())
    assert int(table[2][5].split(",")[0]) == counted["presence"][1]


def test_the_example_of_the_page_is_a_description_that_breaks_no_shape() -> None:
    thing = read_json((ROOT / "docs" / "examples" / "room.json").read_bytes())

    check_thing(thing)
    check(thing_graph(thing))
