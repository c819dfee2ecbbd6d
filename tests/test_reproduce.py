"""`tinyfleet reproduce --quick` makes every table, and goes on to the same where it was killed."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needed import go_without
from threadpoolctl import threadpool_info, threadpool_limits

from tinyfleet.errors import StudyError
from tinyfleet.simulations.applications import APPLICATIONS
from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.datasets.presence import PACK, SENSORS
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.page import write_page
from tinyfleet.simulations.reproduce.settings import label_studies, study_to_toml
from tinyfleet.simulations.reproduce.tables import NAMES, tables
from tinyfleet.simulations.reproduce.work import Ran, Work, find_data
from tinyfleet.simulations.strategies import STRATEGIES

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


def test_the_page_is_headed_by_what_a_reader_would_run(made: tuple[Path, dict[str, Any]]) -> None:
    text = Path(made[1]["page"]).read_text(encoding="utf-8")
    assert "```sh\ntinyfleet reproduce --quick\n```" in text


def test_every_table_names_its_studies_and_every_study_has_its_settings(
    made: tuple[Path, dict[str, Any]],
) -> None:
    text = Path(made[1]["page"]).read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(#(study-[^)]*)\)", text))
    assert named == set(re.findall(r'<a id="(study-[^"]*)">', text))
    assert text.count("\nMade of ") == len(NAMES)
    assert "-probe" not in text


def test_table_4_says_what_its_runs_communicate(made: tuple[Path, dict[str, Any]]) -> None:
    cells = [cell for cell in made[1]["cells"] if cell["table"] == "table-4"]
    told = [cell for cell in cells if cell["column"] == "parameters communicated"]
    assert [cell["published"] for cell in told] == [800.0, 1600.0, 14.6]
    assert all(cell["ours"] > 0 for cell in told)
    assert {cell["column"] for cell in cells} >= {"1 shot", "8 shots"}


@pytest.mark.parametrize("table", [*tables().values()], ids=NAMES)
def test_the_notes_of_every_table_say_what_its_intervals_are_over(table: Table) -> None:
    assert "nterval" in table.notes


@pytest.mark.parametrize(("app", "strategy"), [*product(APPLICATIONS, STRATEGIES)])
def test_a_study_that_is_written_out_is_the_same_study(app: str, strategy: str) -> None:
    own = complete({"app": app, "strategy": strategy}, app)
    for more in ({}, {"seed": 7, "rates": [], "passes": [], "noise": 0.5, "support": 3}):
        study = complete({"app": app, "strategy": strategy, **more}, app)
        told = tomllib.loads(study_to_toml(study))
        assert complete(told, app) == study
        assert set(told) >= {"devices", "rounds", "seed", "support", "network", "tasks", "shots"}
        assert told["training"]["rate"] == own.training.rate


def test_two_studies_of_one_name_are_told_apart(tmp_path: Path) -> None:
    study = complete({"app": "sine"}, "sine")
    first, other = (Ran(study, tmp_path / name, {}, Machine()) for name in ("a", "b"))
    labels = label_studies([{"sine": first}, {"sine": other}, {"sine": first}])
    assert [label for label, _ in labels.values()] == ["sine", "sine-2"]


def test_a_probe_is_no_study_of_a_table(tmp_path: Path) -> None:
    work, tiny = Work(tmp_path, quick=True, workers=1), {"app": "sine", "rounds": 1, "tasks": 2}
    ran = work.study("probe", tiny, probe=True)
    assert ran.result["rounds"] == 1
    assert work.ran == {}


def _page_of(cells: list[Cell], folder: Path, beside: str = "published") -> str:
    table = Table("table-3", "Title", "ours", lambda _: cells, beside=beside)
    work = Work(folder)
    path = folder / "page.md"
    write_page(path, {"table-3": work.make(table)}, {}, command="tinyfleet", work=work)
    return path.read_text(encoding="utf-8")


def test_where_nothing_was_published_there_is_no_column_for_it(tmp_path: Path) -> None:
    alone = cell_of(("table-3", "row", "column"), 1.0)
    assert "| | | ours |\n|---|---|---|\n| row | column | 1.00 |\n" in _page_of([alone], tmp_path)


def test_what_stands_beside_ours_is_called_what_it_is(tmp_path: Path) -> None:
    cell = cell_of(("table-3", "row", "column"), 1.0, 2.0)
    assert "| | | ours | measured before | difference |" in _page_of(
        [cell], tmp_path, "measured before"
    )


def test_a_table_that_is_asked_for_is_shown(tmp_path: Path) -> None:
    command = _command(tmp_path / "out", "--only", "figure-5")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Figure 5: TinyOL on a sine that changed" in done.stdout
    assert "MSE before" in done.stdout
    assert "0.934" in done.stdout
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        "figure-5, 1 of 1",
        "tinyol-sine",
    ]


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
    assert not (tmp_path / "out").exists()


def test_the_page_names_what_is_left_out_and_why_once(tmp_path: Path) -> None:
    data = {"TINYFLEET_DATA": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    work = Work(tmp_path)
    _, missing = find_data(data)
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
        assert not (tmp_path / "out").exists()


def test_what_is_computed_once_has_one_thread(tmp_path: Path) -> None:
    def threads() -> list[int]:
        return [int(pool["num_threads"]) for pool in threadpool_info()]

    with threadpool_limits(limits=2):
        assert max(threads()) == 2
        assert set(Work(tmp_path).once("threads", {}, threads)) == {1}


def test_results_of_other_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    work, here = Work(tmp_path), {"TINYFLEET_DATA": str(tmp_path / "data")}
    for minute in (0, 0, 5):
        rows: dict[str, Any] = dict.fromkeys((*SENSORS, "room", "presence"), np.zeros(1, np.int64))
        rows |= {"room_names": np.array(["office"]), "minute_local": np.array([minute])}
        np.savez(tmp_path / "data" / PACK, **rows)
        if not minute:
            work.keep_data(find_data(here)[0])
    with pytest.raises(StudyError, match="presence: expected the data that the results here are"):
        work.keep_data(find_data(here)[0])


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
