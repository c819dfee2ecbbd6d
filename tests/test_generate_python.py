"""A generated Python project runs, on recorded readings, and says what the model says."""

import csv
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import PI, network_pairing, number, tflite_pairing, thing
from numpy.typing import NDArray

from tinyfleet import Training, load_weights, named_network
from tinyfleet.binding import variant
from tinyfleet.client.gateway import read_gateway
from tinyfleet.client.tflite import load_model
from tinyfleet.kernel_learner import Kernel
from tinyfleet.ontology.generate import Project, generate

Floats = NDArray[np.float32]
LABELS = ("unused", "somebody", "nobody")
ROOM = thing(**{f"p{at}": number(-1, at + 1) for at in range(8)})


def run(project: Project, *arguments: str) -> list[dict[str, Any]]:
    """Run a project's program; return what it says."""
    command = [sys.executable, "main.py", *arguments]
    done = subprocess.run(
        command, cwd=project.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def record(path: Path, names: list[str], rows: Floats, labels: list[str]) -> str:
    """Write readings as a file of CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "label"])
        writer.writerows([*map(float, row), label] for row, label in zip(rows, labels, strict=True))
    return str(path)


def test_a_network_predicts_and_learns_from_recorded_readings(tmp_path: Path) -> None:
    network = named_network("presence")
    project = generate(network_pairing(network, ROOM, "whole", PI), "python", tmp_path / "room")
    names = list(ROOM["properties"])
    rows = np.random.default_rng(0).uniform(-1, 1, (4, 8)).astype(np.float32)
    readings = record(tmp_path / "r.csv", names, rows, ["", "class 1", "nobody knows", "class 0"])

    said = run(project, "--recorded", readings, "--save", str(tmp_path / "learned.npy"))

    spans = np.array([at + 2 for at in range(8)], np.float64)
    x = ((rows.astype(np.float64) + 1) / spans).astype(np.float32)
    kernel, weights = Kernel(network, variant("scalar")), network.init(1)
    for at, target in ((1, 1.0), (3, 0.0)):
        y = np.full((1, 1, 1), target, np.float32)
        found, _ = kernel.train(Training(0.01), weights, x[None, at : at + 1], y, frozenset())
        weights = found[0]
    first = kernel.predict(network.init(1), x[None, :1])[0, 0]
    assert said[0]["outputs"] == [float(value) for value in first]
    assert [("loss" in line) for line in said] == [False, True, False, True]
    assert load_weights(tmp_path / "learned.npy", network).tobytes() == weights.tobytes()


def test_a_network_that_learns_its_head_alone_leaves_the_rest(tmp_path: Path) -> None:
    network = named_network("presence")
    project = generate(network_pairing(network, ROOM, "head", PI), "python", tmp_path / "room")
    readings = record(
        tmp_path / "r.csv", list(ROOM["properties"]), np.zeros((1, 8), np.float32), ["class 1"]
    )

    run(project, "--recorded", readings, "--save", str(tmp_path / "learned.npy"))

    head = list(network.parts.values())[-1].start
    changed = load_weights(tmp_path / "learned.npy", network) != network.init(1)
    assert not changed[:head].any()
    assert changed[head:].any()


def test_a_tflite_model_predicts_from_recorded_readings(seloc: Path, tmp_path: Path) -> None:
    path = seloc / "models" / "Hello_World.tflite"
    pairing = tflite_pairing(path, thing(angle=number(0, 8)), PI)
    project = generate(pairing, "python", tmp_path / "hello")
    rows = np.linspace(0, 6, 5, dtype=np.float32)[:, None]
    readings = record(tmp_path / "r.csv", ["angle"], rows, [""] * 5)

    said = run(project, "--recorded", readings)

    model = load_model(path)
    expected = model.run((rows / np.float32(8)).reshape(5, *model.input.shape)).reshape(5)
    assert [line["outputs"][0] for line in said] == pytest.approx(expected, abs=model.output.scale)


def test_a_picture_comes_from_a_file_of_arrays(seloc: Path, tmp_path: Path) -> None:
    path = seloc / "models" / "Person_Detection.tflite"
    pairing = tflite_pairing(path, thing(angle=number(0, 8)), PI, LABELS)
    project = generate(pairing, "python", tmp_path / "person")
    model = load_model(path)
    x = np.random.default_rng(0).uniform(0, 1, (2, *model.input.shape)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)

    said = run(project, "--recorded", str(tmp_path / "x.npz"))

    best = model.run(x).reshape(2, len(LABELS)).argmax(1)
    assert [line["predicted"] for line in said] == [LABELS[at] for at in best]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p0,p1\n1,2\n", "row 2: expected a number in each of p0"),
        ("p0,p1,p2,p3,p4,p5,p6,p7\n1,2,3,4,5,6,7,nan\n", "p7: nan"),
        ("p0,p1,p2,p3,p4,p5,p6,p7\n1,2,3,4,5,6,7,eight\n", "row 2"),
    ],
)
def test_a_row_that_is_no_reading_ends_the_program_in_one_line(
    text: str, told: str, tmp_path: Path
) -> None:
    pairing = network_pairing(named_network("presence"), ROOM, "whole", PI)
    project = generate(pairing, "python", tmp_path / "room")

    done = subprocess.run(
        [sys.executable, "main.py"],
        cwd=project.folder,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_gateway_and_the_package_of_a_project_are_read_as_they_are(tmp_path: Path) -> None:
    pairing = network_pairing(named_network("sine"), thing(level=number(0, 1)), "whole", PI)
    project = generate(pairing, "python", tmp_path / "sine")
    np.savez(
        project.folder / "recorded.npz",
        x=np.zeros((32, 1), np.float32),
        y=np.zeros((32, 1), np.float32),
    )

    gateway = read_gateway(project.folder / "gateway.toml")

    package = tomllib.loads((project.folder / "pyproject.toml").read_text())["project"]
    assert gateway.network == named_network("sine")
    assert package["dependencies"] == ["tinyfleet[edge]"]
