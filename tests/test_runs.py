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

from tinyfleet import FleetError, StudyError, TrainingError, named_network, network_to_toml
from tinyfleet.simulations.assemble import Machine, load_study_network
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.journal import Journal, State
from tinyfleet.simulations.run import resume, start
from tinyfleet.simulations.study import read_study_file

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


@pytest.mark.parametrize(
    "more", [("--workers", "1"), ("--workers", "2"), ("--workers", "8"), ("--chunk", "3")]
)
def test_workers_and_chunks_change_no_byte_of_a_run(tmp_path: Path, more: tuple[str, str]) -> None:
    assert run(tmp_path / "other", SMALL, *more) == run(tmp_path / "plain", SMALL)


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    first, second = run(tmp_path / "a", SMALL), run(tmp_path / "b", SMALL, "--seed", "2")

    assert first["weights.npy"] != second["weights.npy"]


def interrupt(folder: Path, how: signal.Signals) -> int:
    """Start the long run, send `how` when it is well under way, and return its exit code."""
    # As from a terminal: what a shell puts in the background begins with SIGINT ignored.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = heed + "from tinyfleet.cli import main; main()"
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


APPS = "sine, characters, keywords, presence"
BAD = [
    (["simulate", "chess"], f"app: expected one of {APPS}, a .py or a .toml file, got 'chess'"),
    (["simulate", "a" * 5000], f"app: expected one of {APPS}, a .py or a .toml file"),
    (["simulate", "sine", "--devices", "0"], "study.devices: expected 1 to 2147483647, got 0"),
    (["simulate", "sine", "--devices", "9" * 20], "study.devices: expected 1 to 2147483647"),
    (["simulate", "sine", "--seed", "-1"], "study.seed: expected 0 to 2147483647, got -1"),
    (["simulate", "sine", "--shots", ""], "--shots: expected numbers like 0,1,8, got ''"),
    (["simulate", "sine", "--shots=-1"], "study.shots: expected numbers of 0 to"),
    (["simulate", "sine", "--strategy", "magic"], "strategy: expected one of tinyreptile"),
    (["simulate", "sine", "--network", "none.toml"], "none.toml: "),
    (["simulate", "sine", "--network", "bad.toml"], "bad.toml: "),
    (["simulate", "sine", "--network", "characters"], "network characters: expected input (1,)"),
    (["simulate", "sine", "--network", "full"], "full: "),
    (["simulate", "sine", "--network", "nonet"], "network: expected one of characters, "),
    (["simulate", "sine", "--data", "cut.zip"], "study: data: sine with tinyreptile-parallel"),
    (["simulate", "sine", "--workers", "0"], "workers: expected 1 or more, got 0"),
    (["simulate", "sine", "--out", "full"], "full: expected a new or empty folder"),
    (
        ["simulate", "sine", "--out", "cut.zip"],
        "cut.zip: expected a folder that can be written, got a file",
    ),
    (
        ["simulate", "sine", "--out", "cut.zip/x"],
        "cut.zip/x: expected a folder that can be written, got Not",
    ),
    (["simulate", "missing.toml"], "missing.toml: expected a readable study file"),
    (["simulate", "full.toml"], "full.toml: expected a readable study file"),
    (["simulate", "--resume", "nowhere"], "nowhere/run.json: expected a file that a run wrote"),
    (["simulate", "--resume", "full"], "full/run.json: study: expected a table, got 5"),
    (["simulate", "characters", "--data", "cut.zip"], "cut.zip: "),
    (["simulate", "characters", "--data", "nan.npz"], "nan.npz: "),
    (["simulate", "characters", "--data", "full"], "full: "),
    (["simulate", "characters", "--shots", "99"], "characters.shots: expected at most"),
    (["simulate"], f"app: expected one of {APPS}, a .py or a .toml file, got ''"),
]

BAD_STUDIES = [
    ("share = 1.0", "with tinyreptile-parallel does not read it, tinymetafed does; leave it out"),
    ("across = true", "does not read it, keywords does; leave it out"),
    ("sharee = 1", "unknown key 'sharee'; did you mean share?"),
    ("trainig = 1", "unknown key 'trainig'; did you mean training?"),
    ("batch = 1", "unknown key 'batch'; did you mean batch under [training]?"),
    ("rate = 1", "did you mean rates or rate under [training]?"),
    ('strategy = "magic"', "study.toml: strategy: expected one of tinyreptile"),
    ('network = "nonet"', "network: expected one of characters, "),
    ("devises = 3", "unknown key 'devises'"),
    ('rounds = "many"', "rounds: expected int, got 'many'"),
    ("rounds = true", "rounds: expected int, got True"),
    ("training = 5", "training: expected a table, got 5"),
    ("training = {rat = 0.1}", "training: unknown key 'rat'"),
    ("training = {rate = nan}", "training.rate: "),
    ("training = {rate = 1e39}", "training.rate: "),
    ("training = {rate = 1e-300}", "training.rate: "),
    ("training = {rate = 1" + "0" * 400 + "}", "training: rate: expected float, got 1000"),
    ("training = {passes = 99999999999}", "training.passes: "),
    ("evaluations = 0", "study.evaluations: expected 1 to"),
    ("passes = [99999999999]", "study.passes: expected numbers of 2 to"),
    ("step = -1.0", "study.step: expected a finite number above 0, got -1.0"),
    ("step = inf", "study.step: expected a finite number above 0, got inf"),
    ("noise = -0.5", "study.noise: "),
    ("share = 0.5", "share: sine with tinyreptile-parallel does not read it"),
    ('strategy = "tinymetafed"\nlocal = ["x"]', "has no trainable layer 'x'"),
    ('strategy = "tinymetafed"\nshare = 2.0', "study.share: expected more than 0 and at most 1"),
    ('strategy = "fedsgd"\ntraining = {batch = 3}', "fedsgd reads the rate alone"),
    ("app = [", "expected TOML: "),
    ("shots = " + "[" * 3000, "expected TOML: "),
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
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut short")
    np.savez(tmp_path / "nan.npz", images=np.full((6, 20, 28, 28), np.nan))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "run.json").write_text('{"study": 5}')
    (tmp_path / "full.toml").mkdir()
    before = sorted(p.name for p in tmp_path.iterdir())

    done = tinyfleet(*arguments, cwd=tmp_path)

    assert done.returncode not in (0, 1)
    assert done.stderr.startswith("tinyfleet: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize(("text", "message"), BAD_STUDIES, ids=range(len(BAD_STUDIES)))
def test_a_bad_study_is_one_line_that_names_file_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text if text.startswith("app") else f'app = "sine"\n{text}\n')

    with pytest.raises(FleetError) as caught:
        start(
            complete(read_study_file(path), str(path)),
            tmp_path / "run",
            "",
            Machine(),
            lambda _: None,
        )

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"devices": 0}, "study.devices: expected 1 to 2147483647, got 0"),
        ({"training": {"rate": -1.0}}, "study: training.rate: expected a finite number above 0"),
    ],
    ids=["devices", "rate"],
)
def test_what_is_refused_is_named_once(values: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError) as caught:
        complete({"app": "sine", **values}, "study")

    assert str(caught.value).startswith(message)


def test_a_study_without_an_application_is_named() -> None:
    with pytest.raises(StudyError, match=r"^keywords\.toml: app: expected one of sine, "):
        complete({"rounds": 3}, "keywords.toml")


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        (3, "got 3; set network to one that has as many: a network file with 3 outputs"),
        (20, "as many: characters-conv-20, a network file with 20 outputs"),
    ],
)
def test_ways_that_the_network_has_no_outputs_for_say_what_to_do(ways: int, told: str) -> None:
    with pytest.raises(StudyError) as caught:
        complete({"app": "characters", "ways": ways}, "study")

    assert "ways: expected 5, the outputs of network characters" in str(caught.value)
    assert told in str(caught.value)


def test_a_network_file_of_as_many_outputs_is_taken_for_other_ways(tmp_path: Path) -> None:
    text = network_to_toml(named_network("characters-mcu")).replace("outputs = 5", "outputs = 3")
    (tmp_path / "three.toml").write_text(text)
    values = {"app": "characters", "ways": 3, "network": str(tmp_path / "three.toml")}

    assert load_study_network(complete(values, "study")).outputs == 3


def test_without_a_terminal_each_validation_score_is_a_line(tmp_path: Path) -> None:
    done = tinyfleet(*SMALL, "--out", "run", cwd=tmp_path)
    silent = tinyfleet(*SMALL, "--out", "silent", "--json", cwd=tmp_path)
    lines = done.stderr.splitlines()

    assert [line.split("  loss")[0] for line in lines] == [f"round {n} of 6" for n in range(1, 7)]
    assert all("  validation " in line for line in lines)
    assert silent.stderr == ""


STOPPED = """
import signal, sys

class Stop:
    def find_spec(self, name, *_):
        if name == "tinyfleet.simulations.run":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Stop())
from tinyfleet.cli import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["simulate", "--resume", "run"], "go on with: tinyfleet simulate --resume run"),
        (["simulate", "sine", "--out", "run"], "nothing is kept"),
    ],
    ids=["resume", "start"],
)
def test_an_interrupt_before_anything_runs_is_one_line(
    tmp_path: Path, arguments: list[str], advice: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 130
    assert done.stderr == f"tinyfleet: interrupted; {advice}\n"


def test_a_run_that_learned_nothing_is_no_success(tmp_path: Path) -> None:
    values = {"app": "sine", "devices": 10, "rounds": 2, "tasks": 8, "training": {"rate": 0.9}}

    with pytest.raises(TrainingError, match="brought no sound update"):
        start(complete(values, "test"), tmp_path / "run", "", Machine(), lambda _: None)


def test_a_run_goes_on_with_nothing_but_its_own_network(tmp_path: Path) -> None:
    network = tmp_path / "own.toml"
    text = network_to_toml(named_network("sine"))
    network.write_text(text)
    values = {"app": "sine", "devices": 10, "rounds": 2, "tasks": 8, "network": str(network)}
    start(complete(values, "test"), tmp_path / "run", "", Machine(), lambda _: None)
    network.write_text(text.replace("relu", "tanh"))

    with pytest.raises(StudyError, match=r"run.json: network: the run began with"):
        resume(tmp_path / "run", Machine(), lambda _: None)


def test_a_run_goes_on_with_nothing_but_its_own_data(
    tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"app": "characters", "devices": 40, "rounds": 2, "tasks": 8, "shots": (1,)}
    study = complete({**values, "validation_tasks": 8}, "test")
    monkeypatch.setenv("TINYFLEET_DATA", str(data_folder))
    start(study, tmp_path / "run", "", Machine(), lambda _: None)
    other = tmp_path / "other"
    other.mkdir()
    images = np.load(data_folder / "omniglot_background_28.npz")
    kept = {name: images[name][:200] for name in ("images", "alphabet", "character", "number")}
    names = images["alphabet_names"]
    np.savez(other / "omniglot_background_28.npz", alphabet_names=names, **kept)
    monkeypatch.setenv("TINYFLEET_DATA", str(other))

    with pytest.raises(StudyError, match=r"run.json: fingerprints: the run began with"):
        resume(tmp_path / "run", Machine(), lambda _: None)


def test_a_journal_shorter_than_its_checkpoint_is_refused_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    values = {"app": "sine", "devices": 10, "rounds": 3, "tasks": 8}
    start(complete(values, "test"), folder, "", Machine(), lambda _: None)
    cut = (folder / "rounds.jsonl").read_bytes()[:50]
    (folder / "rounds.jsonl").write_bytes(cut)

    with pytest.raises(StudyError, match=r"rounds.jsonl: expected at least \d+ bytes"):
        resume(folder, Machine(), lambda _: None)
    assert (folder / "rounds.jsonl").read_bytes() == cut


def test_two_runs_never_write_into_one_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    state = State(0, named_network("sine").init(1))

    with Journal(tmp_path / "run", state), pytest.raises(StudyError, match="another run writes"):
        Journal(tmp_path / "run", state).__enter__()
