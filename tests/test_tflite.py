"""A .tflite model runs on either runtime, to the same bits; what cannot run says why."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from needed import go_without
from tflite_files import Value, dense_model, write_model

from tinyfleet import DatasetError, NetworkError
from tinyfleet.client import tflite
from tinyfleet.client.tflite import load_model

ROOT = Path(__file__).parent.parent
W0 = np.array([[1, -2, 3], [0.5, 4, -1]], np.float32)
W1 = np.array([[1, 0], [0, -1], [2, 2]], np.float32)
B0, B1 = np.array([0, 1, 2], np.float32), np.array([-1, 8], np.float32)

# What the other runtime's Python is given: the package's folders, then files to run.
ELSEWHERE = """
import sys, types, json, hashlib
import numpy as np
for name, folder in (("tinyfleet", sys.argv[1]), ("tinyfleet.client", sys.argv[2])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from tinyfleet.client.tflite import load_model
from tinyfleet.errors import NetworkError
found = {}
for path in sys.argv[3:]:
    try:
        model = load_model(path)
        x = np.random.default_rng(0).normal(0, 3, (3, *model.input.shape)).astype(np.float32)
        digest = hashlib.sha256(model.run(x).tobytes() + model.features(x).tobytes()).hexdigest()
        found[path] = [model.runtime, digest]
    except NetworkError as error:
        found[path] = ["refused", str(error)]
print(json.dumps(found))
"""


@pytest.fixture(scope="session")
def other_python() -> str:
    python = ROOT / ".venv-tflite" / "bin" / "python"
    if python.exists():
        return str(python)
    return go_without(f"tflite-runtime: no {python.relative_to(ROOT)}; make tools")


@pytest.fixture(scope="session")
def real_models(data_folder: Path) -> list[Path]:
    folder = data_folder.parent / "reference" / "seloc-ml" / "models"
    found = sorted(folder.glob("*.tflite"))
    if not found:
        go_without(f"real models: none in {folder}")
    return found


@pytest.fixture
def two_layers(tmp_path: Path) -> Path:
    return dense_model(tmp_path / "two.tflite", [(W0, B0), (W1, B1)])


def elsewhere(python: str, paths: list[Path]) -> dict[str, list[str]]:
    done = subprocess.run(
        [python, "-c", ELSEWHERE, ROOT / "core", ROOT / "client", *map(str, paths)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def here(path: Path) -> str:
    model = load_model(path)
    x = np.random.default_rng(0).normal(0, 3, (3, *model.input.shape)).astype(np.float32)
    return hashlib.sha256(model.run(x).tobytes() + model.features(x).tobytes()).hexdigest()


def test_a_float_model_computes_its_layers(two_layers: Path) -> None:
    x = np.array([[1, 2], [-3, 0.5], [0, 0]], np.float32)

    model = load_model(two_layers)

    assert (model.input.shape, model.output.shape) == ((2,), (2,))
    assert model.run(x).tolist() == ((x @ W0 + B0) @ W1 + B1).tolist()


def test_features_are_what_the_last_layer_reads(two_layers: Path) -> None:
    x = np.array([[1, 2], [-3, 0.5]], np.float32)

    model = load_model(two_layers)

    assert model.features(x).tolist() == (x @ W0 + B0).tolist()
    assert model.features(x, "y1").tolist() == model.run(x).tolist()
    assert (model.feature_count(), model.feature_count("y1")) == (3, 2)


def test_an_integer_model_takes_and_gives_real_numbers(tmp_path: Path) -> None:
    weights = np.array([[10, -20], [30, 40]], np.int8)  # of 0.1; rows are outputs
    path = write_model(
        tmp_path / "int8.tflite",
        [
            Value("x", (1, 2), "int8", scale=0.5, zero_point=-3),
            Value("w", (2, 2), "int8", weights, scale=0.1),
            Value("b", (2,), "int32", np.array([20, -40], np.int32), scale=0.05),
            Value("y", (1, 2), "int8", scale=0.25, zero_point=5),
        ],
        [("FULLY_CONNECTED", [0, 1, 2], [3])],
        ([0], [3]),
    )
    x = np.array([[1.0, -0.5], [0.2, 100.0]], np.float32)

    model = load_model(path)

    assert model.input.quantised(x).tolist() == [[-1, -4], [-3, 127]]
    assert model.run(x[:1]).tolist() == [[1 + 1.0 + 1.0, 3 - 2.0 - 2.0]]
    assert model.run_integers(np.array([[-1, -4]], np.int8)).tolist() == [[5 + 12, 5 - 4]]


def test_ties_are_quantised_away_from_zero() -> None:
    tensor = tflite.Tensor("x", (4,), "int8", 2.0, 0)

    assert tensor.quantised(np.array([1, -1, 3, -3], np.float32)).tolist() == [1, -1, 2, -2]


def test_real_models_run_to_finite_numbers_of_their_shape(real_models: list[Path]) -> None:
    for path in real_models:
        model = load_model(path)
        x = np.zeros((2, *model.input.shape), np.float32)
        assert model.run(x).shape == (2, *model.output.shape)
        assert np.isfinite(model.features(x)).all()
        assert model.features(x).shape == (2, model.feature_count())


def test_both_runtimes_give_the_same_bits(other_python: str, real_models: list[Path]) -> None:
    found = elsewhere(other_python, real_models)

    assert found == {str(path): ["tflite_runtime", here(path)] for path in real_models}


def test_the_other_runtime_refuses_a_cut_file_and_lives(
    other_python: str, two_layers: Path
) -> None:
    content = two_layers.read_bytes()
    cut = two_layers.with_name("cut.tflite")
    cut.write_bytes(content[:100])

    found = elsewhere(other_python, [cut, two_layers])

    assert found[str(cut)][0] == "refused"
    assert "cut.tflite: expected a sound .tflite file" in found[str(cut)][1]
    assert found[str(two_layers)] == ["tflite_runtime", here(two_layers)]


@pytest.mark.parametrize("length", [0, 3, 8, 40, 0.3, 0.6, 0.9, 0.97])
def test_a_cut_file_is_refused(two_layers: Path, length: float) -> None:
    content = two_layers.read_bytes()
    two_layers.write_bytes(content[: int(length if length >= 1 else length * len(content))])

    with pytest.raises(NetworkError, match=r"two\.tflite: expected a"):
        load_model(two_layers)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"no\.tflite: expected a \.tflite file, got No such"):
        load_model(tmp_path / "no.tflite")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("this is no model at all")

    with pytest.raises(NetworkError, match="got 23 other bytes"):
        load_model(tmp_path / "text.tflite")


def test_a_custom_operator_is_named(tmp_path: Path) -> None:
    values = [Value("x", (1, 2)), Value("y", (1, 2))]
    path = write_model(tmp_path / "m", values, [("custom:Sorcery", [0], [1])], ([0], [1]))

    with pytest.raises(NetworkError, match=r"built-in operators alone, got .*Sorcery"):
        load_model(path)


def test_a_model_of_two_inputs_is_refused(tmp_path: Path) -> None:
    eye = np.eye(2, dtype=np.float32)
    values = [Value("a", (1, 2)), Value("b", (1, 2)), Value("w", (2, 2), data=eye)]
    values.append(Value("y", (1, 2)))
    path = write_model(
        tmp_path / "m", values, [("FULLY_CONNECTED", [0, 2, -1], [3])], ([0, 1], [3])
    )

    with pytest.raises(NetworkError, match="expected a model of one input, got 2"):
        load_model(path)


@pytest.mark.parametrize("shape", [(2,), (1, 3), (1, 2, 1), ()])
def test_samples_of_another_shape_are_refused(two_layers: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(NetworkError, match=r"x: .* expects samples of \(2,\), got an array of"):
        load_model(two_layers).run(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(two_layers: Path, value: float) -> None:
    x = np.array([[0, 0], [0, value]], np.float32)

    with pytest.raises(DatasetError, match=r"x: expected finite numbers, .* at \[1, 1\]"):
        load_model(two_layers).features(x)


def test_integers_of_another_type_are_refused(two_layers: Path) -> None:
    with pytest.raises(NetworkError, match="expects float32, got int8"):
        load_model(two_layers).run_integers(np.zeros((1, 2), np.int8))


def test_an_unknown_tensor_is_refused_and_others_named(two_layers: Path) -> None:
    with pytest.raises(NetworkError, match="expected one of x, y0, y1, got 'pool'"):
        load_model(two_layers).features(np.zeros((1, 2), np.float32), "pool")


def test_without_a_runtime_both_are_named(
    two_layers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tflite, "RUNTIMES", ("no_runtime_of_this_name",))

    with pytest.raises(NetworkError, match="ai-edge-litert or tflite-runtime") as refused:
        load_model(two_layers)
    assert "pip install" in str(refused.value)


def test_importing_the_seam_loads_no_runtime() -> None:
    code = "import sys, tinyfleet.client.tflite; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert not set(tflite.RUNTIMES) & set(loaded.stdout.split())
