"""A run, from the command line to its files: the same bytes, whatever happens in between."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tinyfleet import named_network
from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.run import start

FILES = ("weights.npy", "rounds.jsonl", "result.json")
SMALL = ["simulate", "sine", "--devices", "40", "--rounds", "6", "--tasks", "8", "--shots", "0,8"]
LONG = [
    *("simulate", "sine", "--strategy", "tinyreptile", "--rounds", "4000"),
    *("--devices", "100", "--tasks", "8", "--shots", "8"),
]


def tinyfleet(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from tinyfleet.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


def run(folder: Path, arguments: Sequence[str], *more: str) -> dict[str, bytes]:
    done = tinyfleet(*arguments, *more, "--out", folder.name, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_run_leaves_its_files_and_says_where(tmp_path: Path) -> None:
    done = tinyfleet(*SMALL, "--out", "run", "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    lines = [json.loads(t) for t in (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()]
    described = json.loads((tmp_path / "run" / "run.json").read_text())

    assert result["folder"] == "run"
    assert result["mse"]["tasks"] == 8
    assert [line["round"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[-1]["parameters_communicated"] == result["parameters_communicated"]
    assert result["parameters_communicated"] == 2 * 1153 * 40 * 6
    assert described["study"]["rounds"] == 6
    assert np.load(tmp_path / "run" / "weights.npy").shape == (1153,)
    assert "report.html" in os.listdir(tmp_path / "run")


@pytest.mark.parametrize("more", [("--workers", "1"), ("--workers", "8"), ("--chunk", "3")])
def test_workers_and_chunks_change_no_byte_of_a_run(tmp_path: Path, more: tuple[str, str]) -> None:
    assert run(tmp_path / "other", SMALL, *more) == run(tmp_path / "plain", SMALL)


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", SMALL), run(tmp_path / "b", SMALL, "--seed", "2")

    assert first["weights.npy"] != second["weights.npy"]


def interrupt(folder: Path, how: signal.Signals) -> int:
    """Start the long run, send `how` when it is well under way, and return its exit code."""
    code = "from tinyfleet.cli import main; main()"
    command = [sys.executable, "-c", code, *LONG, "--out", folder.name]
    with subprocess.Popen(command, cwd=folder.parent, stderr=subprocess.DEVNULL) as process:
        journal = folder / "rounds.jsonl"
        until = time.monotonic() + 120
        while not (folder / "checkpoint.npz").exists() or journal.stat().st_size < 20_000:
            assert process.poll() is None, "the run ended before it could be stopped"
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(how)
        return process.wait(timeout=60)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return run(tmp_path_factory.mktemp("runs") / "whole", LONG)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    tmp_path: Path, whole: dict[str, bytes], how: signal.Signals, code: int
) -> None:
    folder = tmp_path / "run"
    assert interrupt(folder, how) == code
    assert not (folder / "result.json").exists()

    resumed = tinyfleet("simulate", "--resume", "run", cwd=tmp_path)

    assert resumed.returncode == 0, resumed.stderr
    assert {name: (folder / name).read_bytes() for name in FILES} == whole


def test_flowers_own_strategies_give_the_same_bytes_again(tmp_path: Path) -> None:
    more = ("--strategy", "flower-fedadam", "--per-round", "10")

    assert run(tmp_path / "a", SMALL, *more) == run(tmp_path / "b", SMALL, *more)


@pytest.mark.parametrize(
    "strategy",
    ["tinymetafed", "reptile", "fedavg", "fedsgd", "fedprox", "flower-fedmedian", "flower-krum"],
)
def test_every_strategy_runs_by_its_name(tmp_path: Path, strategy: str) -> None:
    values = {"app": "sine", "strategy": strategy, "devices": 40, "per_round": 8, "rounds": 3}
    study = complete({**values, "tasks": 8, "validation_tasks": 8, "shots": (4,)}, "test")
    folder = start(study, tmp_path / "run", "none", Machine(), lambda _: None)
    moved = np.load(folder / "weights.npy") - named_network("sine").init(1)

    assert json.loads((folder / "result.json").read_text())["strategy"] == strategy
    assert np.abs(moved).max() > 0


def test_a_study_file_is_the_same_run_as_its_options(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(
        'app = "sine"\ndevices = 40\nrounds = 6\ntasks = 8\nshots = [0, 8]\n'
    )

    assert run(tmp_path / "a", ["simulate", "study.toml"]) == run(tmp_path / "b", SMALL)


def test_characters_are_tested_on_another_file(tmp_path: Path, data_folder: Path) -> None:
    archive = data_folder / "images_background_small1.zip"
    done = tinyfleet(
        *("simulate", "characters", "--rounds", "3", "--devices", "40", "--tasks", "10"),
        *("--shots", "1", "--test-data", str(archive), "--out", "run", "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "run" / "run.json").read_text())["data"]

    assert archive.name in data["test"]
    assert archive.name not in data["train"]


BAD = [
    (["simulate", "chess"], "app: expected one of sine, characters or a study file, got 'chess'"),
    (["simulate", "sine", "--devices", "0"], "study.devices: expected 1 or more, got 0"),
    (["simulate", "sine", "--strategy", "magic"], "strategy: expected one of tinyreptile"),
    (["simulate", "sine", "--network", "none.toml"], "none.toml: "),
    (["simulate", "sine", "--network", "bad.toml"], "bad.toml: "),
    (["simulate", "sine", "--network", "characters"], "network characters: expected input (1,)"),
    (["simulate", "sine", "--workers", "0"], "workers: expected 1 or more, got 0"),
    (["simulate", "study.toml"], "study.toml: unknown key 'devises'"),
    (["simulate", "typed.toml"], "typed.toml: rounds: expected int, got 'many'"),
    (["simulate", "cut.toml"], "cut.toml: expected TOML"),
    (["simulate", "missing.toml"], "missing.toml: expected a readable study file"),
    (["simulate", "--resume", "nowhere"], "nowhere/run.json: expected a file that a run wrote"),
    (["simulate", "characters", "--data", "cut.zip"], "cut.zip: "),
    (["simulate", "characters", "--data", "nan.npz"], "nan.npz: "),
    (["simulate", "characters", "--shots", "99"], "characters.shots: expected at most"),
    (["simulate", "sine", "--out", "full"], "full: expected a new or empty folder"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda v: v if isinstance(v, str) else ""
)
def test_bad_input_is_one_line_and_nothing_written(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "bad.toml").write_text(
        'name = "n"\ninput = [1]\nloss = "mean-square"\n[[layer]]\nkind = "lstm"\n'
    )
    (tmp_path / "study.toml").write_text('app = "sine"\ndevises = 3\n')
    (tmp_path / "typed.toml").write_text('app = "sine"\nrounds = "many"\n')
    (tmp_path / "cut.toml").write_text("app = [")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut short")
    np.savez(tmp_path / "nan.npz", images=np.full((6, 20, 28, 28), np.nan))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    before = sorted(p.name for p in tmp_path.iterdir())

    done = tinyfleet(*arguments, cwd=tmp_path)

    assert done.returncode not in (0, 1)
    assert done.stderr.startswith("tinyfleet: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before
