"""A researcher's own application and algorithm: the page builds both, and mistakes are one line."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinyfleet.errors import DatasetError, FleetError, NetworkError, StudyError
from tinyfleet.simulations import run
from tinyfleet.simulations.assemble import Machine, assemble
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


def changed(old: str, new: str, name: str = "calibration.py") -> str:
    text: str = FILES[name]
    assert old in text
    return text.replace(old, new)


FINGERPRINT = re.search(r"    @property\n.*?\n\n", FILES["calibration.py"], re.DOTALL)[0]  # type: ignore[index]
PROVENANCE = re.search(r"    provenance = .*\n", FILES["calibration.py"])[0]  # type: ignore[index]
COUNTS = "np.full(len(devices), self.support, np.int32)"
ERROR = "metric=mean_squared_error"
TARGET = "y = np.float32((kelvin - 303.15) / 10)[..., None]"
TRAIN = "calibration.py: train part: batch: "
WRONG = [
    (FINGERPRINT, "", "calibration.py: train part: .* no attribute 'fingerprint'; mend the file"),
    (PROVENANCE, "", "calibration.py: train part: .* no attribute 'provenance'; mend the file"),
    (
        "    @property\n",
        "",
        "train part: fingerprint: expected str, got method; make it a property",
    ),
    ("return Parts(train, *(", "return (train, *(", "parts: expected Parts, got tuple"),
    ("part in (1, 2)", "part in (1, 1)", "parts: expected three populations"),
    ("study: 1", "study: 0", "calibration.py: rows_per_shot: expected a whole number .* got 0"),
    ("        return TaskBatch", "        TaskBatch", f"{TRAIN}expected a TaskBatch of 2 .* None"),
    (ERROR, "metric=lambda a: 1", "calibration.py: metric: TypeError: .* 1 positional argument"),
    (ERROR, "metric=lambda a, b: 1.0", "calibration.py: metric: expected an array .* got float of"),
    (ERROR, f"{ERROR}, summary=lambda a, b: 5", "calibration.py: summary: TypeError: "),
    ('"mse"', '"f1"', "line 48: score: expected one of accuracy, balanced_accuracy, mse, got 'f1'"),
    (
        '"mse"',
        '"mse", reads=("nois",)',
        r"line 48: reads: expected keys of a study, .* \('nois',\)",
    ),
    (
        "study.seed, part, most",
        "study.seed, part, 1",
        "support: expected at least 2 rows, .* got 1",
    ),
    (COUNTS, COUNTS.replace("self.support", "1"), "validation part: .* at least 2 rows, .* got 1"),
    ("part, most, 50", "part, most", "validation part: batch: query: expected rows to judge by"),
    (COUNTS, COUNTS.replace("self.support", "99"), f"{TRAIN}counts: .* of 1 to 32, .* got .99 99"),
    ("x = np.float32", "x = np.float64", rf"{TRAIN}support_x: .*got float64 .*np.float32\(x\)"),
    (TARGET, "y = np.int64(kelvin)", rf"{TRAIN}support_y: .*got int64 .* one-hot, np.eye\(1, "),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=range(len(WRONG)))
def test_what_an_application_lacks_is_one_line_before_training(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    (tmp_path / "calibration.py").write_text(changed(old, new))

    with pytest.raises(FleetError, match=rf"calibration.py: .*{message.split('.py: ')[-1]}") as one:
        start(tmp_path, shots=(1, 2))

    assert "\n" not in str(one.value)
    assert not (tmp_path / "run").exists()


UNSOUND = [
    ("ask, step,", "step, ask,", "ALGORITHM: ask: expected it to return Settings, got MetaStep"),
    ("return MetaStep(", "MetaStep(", "ALGORITHM: step: expected it to return MetaStep, got None"),
    ("def ask(knobs)", "def ask()", r"ALGORITHM: TypeError: ask\(\) takes 0 positional"),
    ('"unmoved"', '"gone"', "ALGORITHM: absent: expected one of unmoved, unknown, got 'gone'"),
    ('"int8"', '"int4"', "ALGORITHM: encoding: expected one of float32, float16, int8, got 'int4'"),
    ("share=0.25", "local=('dense-9',)", "ALGORITHM: ask: .* no trainable layer 'dense-9'"),
    ('"step_end"', '"stepend"', "ALGORITHM: reads: expected some of .* step_end.* got 'stepend'"),
    ("knobs.schedule()", "0.5", "ALGORITHM: step: MetaStep expects a function .* got 0.5"),
    ('"step_end")', '"step_end"), personal="mine"', "line 17: personal: expected one of whole, "),
]


@pytest.mark.parametrize(("old", "new", "message"), UNSOUND, ids=range(len(UNSOUND)))
def test_what_is_wrong_with_an_algorithm_is_one_line_before_training(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    (save(tmp_path) / "sparse.py").write_text(changed(old, new, "sparse.py"))

    with pytest.raises(FleetError, match=rf"sparse.py: {message}"):
        start(tmp_path, strategy=str(tmp_path / "sparse.py"))

    assert not (tmp_path / "run").exists()


def classifying(labels: str) -> str:
    """Return the page's application, made to tell warm from cold."""
    text = changed(TARGET, f"y = {labels}").replace("outputs = 1", "outputs = 2")
    text = text.replace("Dense(1)", "Dense(2)").replace('"mean-square"', '"softmax-cross-entropy"')
    return text.replace("mean_squared_error", "accuracy").replace('"mse"', '"accuracy"')


def test_a_classification_is_written_as_the_page_tells(tmp_path: Path) -> None:
    assert "`np.eye(ways, dtype=np.float32)[labels]`" in PAGE
    (tmp_path / "calibration.py").write_text(
        classifying("np.eye(2, dtype=np.float32)[np.int64(kelvin > 303.15)]")
    )

    result = json.loads((start(tmp_path) / "result.json").read_text())

    assert result["accuracy"]["1"]["mean"] > 50.0


def test_labels_that_are_not_one_hot_are_told_how(tmp_path: Path) -> None:
    (tmp_path / "calibration.py").write_text(classifying("np.int64(kelvin > 303.15)"))

    with pytest.raises(NetworkError, match=r"calibration.py: train part: .*support_y: .*np.eye\(2"):
        start(tmp_path)


def test_no_shots_are_judged_on_fewer_rows_than_they_stand_for() -> None:
    study = complete({"app": "sine", "shots": (0, 3), "tasks": 2, "validation_tasks": 2}, "test")
    setup = assemble(study, Machine(workers=1))

    with pytest.raises(DatasetError, match=r"support: expected at least 4 rows, .* got 3"):
        setup.test.scores(setup.network.init(1), 4, 1)
