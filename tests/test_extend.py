"""A researcher's own application and algorithm: the page builds both, and mistakes are one line."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinyfleet.errors import StudyError
from tinyfleet.simulations import run
from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.defaults import complete

PAGE = (Path(__file__).parent.parent / "docs" / "extend.md").read_text("utf-8")
FILES = dict(re.findall(r"Save this as `(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^tinyfleet .*$", PAGE, re.MULTILINE)
SMALL = {"rounds": 2, "devices": 8, "tasks": 8, "validation_tasks": 8, "shots": (1,)}


def save(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def tinyfleet(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from tinyfleet.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True
    )


def start(folder: Path, **values: object) -> Path:
    given = {"app": str(folder / "calibration.py"), **SMALL, **values}
    return run.start(
        complete(given, "test"), folder / "run", "", Machine(workers=1), lambda _: None
    )


def test_the_page_needs_less_than_sixty_lines() -> None:
    lines = [line for text in FILES.values() for line in text.splitlines() if line.strip()]

    assert list(FILES) == ["calibration.py", "sparse.py"]
    assert len(lines) < 60


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder, found = save(tmp_path_factory.mktemp("page")), []
    for command in COMMANDS:
        done = tinyfleet(*shlex.split(command)[1:], "--workers", "1", "--json", cwd=folder)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    return found


def test_the_commands_of_the_page_run_to_the_error_that_it_tells(
    results: list[dict[str, Any]],
) -> None:
    assert [result["strategy"] for result in results] == ["tinyreptile", "sparse-reptile"]
    for result in results:
        assert result["app"] == "calibration"
        errors = {shots: score["mean"] for shots, score in result["mse_by_shots"].items()}
        assert 0.12 * errors["0"] < errors["4"] < 0.17 * errors["0"]


def test_the_algorithm_of_the_page_saves_the_bytes_that_it_tells(
    results: list[dict[str, Any]],
) -> None:
    plain, sparse = (result["bytes_communicated"] for result in results)

    assert 0.55 * plain < sparse < 0.65 * plain


BAD = [
    ("", "calibration.py: APPLICATION: expected an Application, got none"),
    ("APPLICATION = 5", "calibration.py: APPLICATION: expected an Application, got int"),
    ("x = 1\ny = x / 0", "calibration.py: line 2: ZeroDivisionError: division by zero"),
    ("def f(:", "calibration.py: line 1: SyntaxError: "),
    ("import nowhere_at_all", "calibration.py: line 1: ModuleNotFoundError: "),
    ("import sys\nsys.exit('no')", "calibration.py: line 2: SystemExit: no"),
    (FILES["calibration.py"].replace('"calibration"', '"sine"'), "another name than sine"),
    (FILES["calibration.py"].replace("8e3 +", "8e3 + 'a' +"), "calibration.py: line 32: "),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=range(len(BAD)))
def test_an_application_that_cannot_be_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "calibration.py").write_text(text)

    with pytest.raises(StudyError) as caught:
        start(tmp_path)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sparse.py: ALGORITHM: expected an Algorithm, got none"),
        (FILES["sparse.py"].replace("sparse-reptile", "reptile"), "another name than tinyreptile"),
        (FILES["sparse.py"].replace("knobs.settings", "knobs.setting"), "sparse.py: line 10: Attr"),
    ],
    ids=["none", "taken", "wrong"],
)
def test_an_algorithm_that_cannot_be_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (save(tmp_path) / "sparse.py").write_text(text)

    with pytest.raises(StudyError, match=re.escape(message)):
        start(tmp_path, strategy=str(tmp_path / "sparse.py"))


def test_a_key_that_an_algorithm_of_ones_own_does_not_read_is_refused(tmp_path: Path) -> None:
    save(tmp_path)

    with pytest.raises(StudyError, match="share: calibration with sparse-reptile does not read it"):
        start(tmp_path, strategy=str(tmp_path / "sparse.py"), share=0.5)


@pytest.mark.parametrize("name", ["calibration.py", "sparse.py"])
def test_a_run_goes_on_with_nothing_but_the_files_that_it_began_with(
    tmp_path: Path, name: str
) -> None:
    folder = start(save(tmp_path), strategy=str(tmp_path / "sparse.py"))
    before = (folder / "result.json").read_bytes()

    run.resume(folder, Machine(workers=1), lambda _: None)
    assert (folder / "result.json").read_bytes() == before

    with (tmp_path / name).open("a") as file:
        file.write("\n")
    with pytest.raises(StudyError, match=rf"run.json: own: the run began with .*{name}"):
        run.resume(folder, Machine(workers=1), lambda _: None)


def test_a_study_file_names_them_relative_to_itself(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    save(inner)
    (inner / "study.toml").write_text(
        'app = "calibration.py"\nstrategy = "sparse.py"\nrounds = 2\ndevices = 8\n'
        "tasks = 8\nvalidation_tasks = 8\nshots = [1]\n"
    )

    done = tinyfleet("simulate", "inner/study.toml", "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["folder"] == "runs/calibration-sparse-reptile-1"


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = tinyfleet("simulate", "nowhere.py", cwd=tmp_path)

    assert done.returncode == StudyError.exit_code
    assert done.stderr.count("\n") == 1
    assert "nowhere.py: expected a readable Python file" in done.stderr
