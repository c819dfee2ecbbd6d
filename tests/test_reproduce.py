"""`tinyfleet reproduce --quick` makes every table, and goes on to the same where it was killed."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needed import go_without

from tinyfleet.errors import StudyError
from tinyfleet.simulations.datasets.presence import PACK, SENSORS
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.reproduce.cells import Cell, cell_of
from tinyfleet.simulations.reproduce.page import write_page
from tinyfleet.simulations.reproduce.tables import NAMES, tables
from tinyfleet.simulations.reproduce.work import Work

TINYFLEET = Path(sys.executable).parent / "tinyfleet"


def _command(out: Path, *options: str) -> list[str]:
    return [str(TINYFLEET), "reproduce", "--quick", "--out", str(out), *options]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A whole quick reproduction: its folder, and what it printed as JSON."""
    if not Path(os.environ.get("TINYFLEET_DATA", "")).joinpath("presence_fleet_5min.npz").is_file():
        go_without("no TINYFLEET_DATA with keywords and presence: name the folder of the data")
    out = tmp_path_factory.mktemp("reproduce")
    done = subprocess.run(_command(out, "--json"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_every_table_has_cells_and_every_cell_is_whole(made: tuple[Path, dict[str, Any]]) -> None:
    cells = made[1]["cells"]
    assert {cell["table"] for cell in cells} == set(NAMES)
    for cell in cells:
        assert {"table", "row", "column", "ours", "ci95", "published", "command"} <= set(cell)
        assert cell["command"] == f"tinyfleet reproduce --only {cell['table']}"
        if cell["ours"] is None or cell["published"] is None:
            assert cell["why"], cell


def test_no_two_cells_have_one_place(made: tuple[Path, dict[str, Any]]) -> None:
    places = [(cell["table"], cell["row"], cell["column"]) for cell in made[1]["cells"]]
    assert len(set(places)) == len(places)


def test_the_page_shows_every_table_and_its_drawings(made: tuple[Path, dict[str, Any]]) -> None:
    page = Path(made[1]["page"])
    text = page.read_text(encoding="utf-8")
    for table in tables().values():
        assert f"## {table.title}\n" in text
        assert f"`{table.command}`" in text
    drawings = [line.split("](")[1].rstrip(")") for line in text.splitlines() if line[:2] == "!["]
    assert len(drawings) >= 8
    for drawing in drawings:
        assert (page.parent / drawing).read_text(encoding="utf-8").startswith("<svg")


def test_killed_and_asked_again_ends_in_the_same_page(tmp_path: Path) -> None:
    pages = []
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        command = _command(Path("out"), "--only", "figure-7", "--only", "figure-9")
        if name == "killed":
            _kill_midway(command, tmp_path / name)
        subprocess.run(command, cwd=tmp_path / name, check=True, capture_output=True)
        pages.append((tmp_path / name / "out" / "reproduce.md").read_bytes())
    assert pages[0] == pages[1]


def _kill_midway(command: list[str], folder: Path) -> None:
    """Start `command` in `folder` and kill it once its first study is under way."""
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(folder.glob("out/studies/*/rounds.jsonl")) and time.monotonic() < until:
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_an_unknown_table_is_refused_by_name(tmp_path: Path) -> None:
    done = subprocess.run(
        _command(tmp_path / "out", "--only", "table-99"), capture_output=True, text=True
    )
    assert done.returncode == StudyError.exit_code
    assert "table-99" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_table_without_its_data_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    here = {**os.environ, "TINYFLEET_DATA": str(tmp_path / "none")}
    command = _command(tmp_path / "out", "--only", "figure-5", "--only", "keywords")
    done = subprocess.run(command, capture_output=True, text=True, env=here, check=False)
    assert done.returncode == StudyError.exit_code
    assert done.stderr.startswith("tinyfleet: --only keywords: keywords: expected ")
    assert not (tmp_path / "out" / "studies").exists()


def test_the_page_names_what_is_left_out_and_why_once(tmp_path: Path) -> None:
    data = {"TINYFLEET_DATA": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    work = Work(tmp_path)
    missing = work.keep_data(data)
    assert set(missing) == {"characters", "keywords", "presence"}
    left = {name: [missing["keywords"]] for name in ("table-4", "keywords")}
    write_page(tmp_path / "page.md", {}, left, command="tinyfleet reproduce", work=work)
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "for want of data: `table-4`, `keywords`." in text
    assert text.count(missing["keywords"]) == 1


def test_a_page_that_cannot_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for option in (("--page", str(tmp_path)), ("--page", str(tmp_path / "file" / "page.md"))):
        command = _command(tmp_path / "out", "--only", "table-3", *option)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == StudyError.exit_code
        assert done.stderr.startswith("tinyfleet: --page ")
        assert done.stderr.count("\n") == 1


def test_results_of_other_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    work, here = Work(tmp_path), {"TINYFLEET_DATA": str(tmp_path / "data")}
    for minute in (0, 0, 5):
        rows: dict[str, Any] = dict.fromkeys((*SENSORS, "room", "presence"), np.zeros(1, np.int64))
        rows |= {"room_names": np.array(["office"]), "minute_local": np.array([minute])}
        np.savez(tmp_path / "data" / PACK, **rows)
        if not minute:
            work.keep_data(here)
    with pytest.raises(StudyError, match="presence: expected the data that the results here are"):
        work.keep_data(here)


def test_what_diverged_is_no_figure() -> None:
    cell = cell_of(("table-4", "row", "column"), Estimate(math.nan, math.nan, 5), 1.0)
    assert (cell.ours, cell.ci95, cell.difference) == (None, None, None)
    assert "diverged" in cell.why


def test_a_missing_figure_needs_a_reason() -> None:
    with pytest.raises(StudyError, match="expected a reason"):
        Cell("table-4", "row", "column", None, None, 1.0, "command")


def test_a_figure_is_a_number() -> None:
    with pytest.raises(StudyError, match="finite"):
        Cell("table-4", "row", "column", float("nan"), None, 1.0, "command")
