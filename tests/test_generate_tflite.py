"""A .tflite file becomes a sketch for TensorFlow Lite Micro that a C++ compiler takes."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from boards import need
from generated import BOARD, number, tflite_pairing, thing

from tinyfleet.client.firmware.tflite_micro import METHODS
from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.generate import Project, generate
from tinyfleet.ontology.runtimes import MICRO, RUNTIMES

HERE = Path(__file__).parent
MOTION = {
    "title": "Wand",
    "ssn:hasSubSystem": [
        {"@type": ["sosa:Sensor", "sosa_extend:Accelerometer"], "schema:name": "LSM9DS1"}
    ],
}
IMU = """
struct Motion {
  int begin();
  int readAcceleration(float &x, float &y, float &z);
};
extern Motion IMU;
"""


def compile_sketch(project: Project, tmp_path: Path, *, libraries: tuple[str, ...] = ()) -> None:
    """Let the C++ compiler check every file of a sketch against declarations."""
    need("c++")
    declared = tmp_path / "declared"
    for name in ("micro_interpreter.h", "micro_mutable_op_resolver.h"):
        (declared / "tensorflow/lite/micro").mkdir(parents=True, exist_ok=True)
        (declared / "tensorflow/lite/micro" / name).touch()
    (declared / "tensorflow/lite/schema").mkdir()
    (declared / "tensorflow/lite/schema/schema_generated.h").touch()
    methods = "\n".join(f"OPERATOR({name})" for name in sorted(set(METHODS.values())))
    (declared / "operators.inc").write_text(methods)
    for name in libraries:
        (declared / f"{name}.h").write_text(f"#pragma once\n{IMU}")
    includes = [f"-I{place}" for place in (declared, HERE / "tflite_micro", HERE / "arduino")]
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *includes]
    sources = [p for p in project.folder.rglob("*") if p.suffix in (".ino", ".cpp")]
    for source in sources:
        command = ["c++", *flags, "-x", "c++", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:2000]
    assert len(sources) == 2


@pytest.mark.parametrize("kind", ["arduino", "platformio"])
@pytest.mark.parametrize("name", ["Magic_Wand_1", "Person_Detection", "Hello_World"])
def test_a_published_model_becomes_a_sketch_that_compiles(
    kind: str, name: str, seloc: Path, tmp_path: Path
) -> None:
    pairing = tflite_pairing(seloc / "models" / f"{name}.tflite", MOTION)

    project = generate(pairing, kind, tmp_path / "project")

    compile_sketch(project, tmp_path, libraries=("Arduino_LSM9DS1",))


def test_the_model_is_carried_byte_for_byte_and_its_operators_are_listed_once(
    seloc: Path, tmp_path: Path
) -> None:
    path = seloc / "models" / "Person_Detection.tflite"
    pairing = tflite_pairing(path, thing())

    project = generate(pairing, "platformio", tmp_path / "project")

    source = (project.folder / "src" / "model.cpp").read_text()
    body = source.partition("model_data[] = {")[2]
    added = re.findall(r"operators\.Add(\w+)\(\)", source)
    assert bytes(map(int, re.findall(r"\d+", body))) == path.read_bytes()
    assert sorted(added) == sorted({METHODS[one] for one in pairing.model.description["operators"]})
    assert f"Resolver<{len(added)}>" in (project.folder / "src" / "model.h").read_text()


def test_the_arena_is_what_was_measured_and_a_reserve(seloc: Path, tmp_path: Path) -> None:
    pairing = tflite_pairing(seloc / "models" / "Hello_World.tflite", thing(x=number(0, 6.28)))

    project = generate(pairing, "arduino", tmp_path / "project")

    (header,) = project.folder.rglob("model.h")
    (arena,) = map(int, re.findall(r"MODEL_ARENA (\d+)", header.read_text()))
    total = pairing.model.description["arena_bytes"]["total"]
    assert total + 1024 <= arena < total + 1024 + 16


def test_a_sensor_that_is_known_leaves_no_line_to_write(seloc: Path, tmp_path: Path) -> None:
    path = seloc / "models" / "Magic_Wand_1.tflite"

    known = generate(tflite_pairing(path, MOTION), "arduino", tmp_path / "known")
    unknown = generate(tflite_pairing(path, thing()), "arduino", tmp_path / "unknown")

    (sensors,) = known.folder.rglob("sensors.h")
    assert "IMU.readAcceleration(values[0], values[1], values[2]);" in sensors.read_text()
    assert (known.yours, unknown.yours) == (0, 1)


def test_an_operator_that_the_library_lacks_is_named(seloc: Path, tmp_path: Path) -> None:
    pairing = tflite_pairing(seloc / "models" / "Hello_World.tflite", thing())
    described = pairing.model.description
    described = {**described, "operators": [*described["operators"], "RFFT2D"]}
    pairing = replace(pairing, model=replace(pairing.model, description=described))

    with pytest.raises(DescriptionError, match="TensorFlow Lite Micro has, got RFFT2D"):
        generate(pairing, "arduino", tmp_path / "project")

    assert not (tmp_path / "project").exists()


def test_a_board_that_platformio_may_not_know_is_refused(seloc: Path, tmp_path: Path) -> None:
    device = replace(BOARD, board="A board of mine")
    pairing = tflite_pairing(seloc / "models" / "Hello_World.tflite", thing(), device)

    with pytest.raises(DescriptionError, match=r"A board of mine: .* take --kind arduino"):
        generate(pairing, "platformio", tmp_path / "project")


def test_the_resolver_adds_every_operator_that_a_board_with_the_runtime_has() -> None:
    assert set(METHODS) == set(RUNTIMES[MICRO].operators)
