"""A board that others published as Turtle is generated for as it is, from files or a graph."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from generated import PI, network_pairing, thing
from rdflib import Graph

from tinyfleet import named_network
from tinyfleet.client.firmware.project import arduino
from tinyfleet.client.python_project import python
from tinyfleet.client.templates import quantity
from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.generate import Writer, generate, plain
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.inputs import Channel, channels, map_inputs
from tinyfleet.ontology.pairing import Asked, find_pair
from tinyfleet.ontology.rdf_things import board_in, part_of, thing_from
from tinyfleet.ontology.things_rdf import thing_graph

PROGRAM = str(Path(sys.executable).parent / "tinyfleet")
WAND = "Magic_Wand_1"


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "generate", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_turtle_gives_the_same_project_from_its_folder_its_file_and_a_graph(
    seloc: Path, tmp_path: Path
) -> None:
    with FleetGraph.open(tmp_path / "fleet") as fleet:
        fleet.import_(seloc / "things" / "ms200.ttl")
    model = str(seloc / "models" / f"{WAND}.tflite")
    ways = (
        Asked(WAND, "MS200_1", models=seloc / "models", things=seloc / "things"),
        Asked(model, str(seloc / "things" / "ms200.ttl")),
        Asked(model, "MS200_1", graph=str(tmp_path / "fleet")),
    )

    written = []
    for at, asked in enumerate(ways):
        found = find_pair(asked)
        generate(found.pairing, found.kind, tmp_path / str(at))
        written.append(contents(tmp_path / str(at)))

    assert written[0] == written[1] == written[2]
    readme = written[0]["README.md"].decode()
    assert "SIEMENS MS200 MicroController" in readme
    assert "The sensor of the model's input is not described" in readme


def test_a_published_pair_that_does_not_fit_tells_why_and_the_remedy_and_writes_nothing(
    seloc: Path, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    shutil.copy(seloc / "models" / "Person_Detection.tflite", tmp_path / "models")
    (tmp_path / "models" / "Person_Detection.toml").write_text('sensors = ["Camera"]')

    done = command("--models", tmp_path / "models", "--model", "Person_Detection", "--things",
                   seloc / "things", "--device", "MS200_1", "--out", tmp_path / "p")  # fmt: skip

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (12, "", 1)
    assert "Person_Detection does not fit MS200_1: " in done.stderr
    assert "Camera" in done.stderr
    assert "--force" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_named_sensor_of_a_published_board_goes_in_axis_by_axis(
    seloc: Path, tmp_path: Path
) -> None:
    shutil.copy(seloc / "models" / f"{WAND}.tflite", tmp_path / "wand.tflite")
    (tmp_path / "wand.toml").write_text('sensors = ["Accelerometer"]')
    asked = Asked(str(tmp_path / "wand.tflite"), str(seloc / "things" / "ms200.ttl"))

    pairing = find_pair(asked).pairing

    names = [channel.name for channel in pairing.inputs.channels]
    assert names == [f"Acceleration.{axis}" for axis in "xyz"]
    assert pairing.inputs.window == 128
    readme = arduino(plain(pairing, "arduino"))["README.md"].decode()
    assert "is not described" not in readme


def test_the_numbers_of_a_published_board_have_their_unit_limits_and_sensor(seloc: Path) -> None:
    graph = Graph().parse(seloc / "things" / "ssi_web_td_1.ttl", format="ox-turtle")
    (device,) = {str(s) for s in graph.subjects() if "SSI_Web" in str(s)}

    found = channels(thing_from(graph, device))

    assert found[0] == Channel(
        "Acceleration", "Acceleration", "Accelerometer", "", "gravity", -4.0, 4.0
    )
    assert [channel.name for channel in found] == ["Acceleration", "Orientation", "Temperature"]
    assert board_in(graph, device) == "SIEMENS SSI-Web Node MicroController"


def test_the_rdf_of_a_thing_description_gives_the_numbers_that_its_json_gives() -> None:
    axes = {axis: {"type": "number", "minimum": -4, "maximum": 4} for axis in "xyz"}
    described = {
        "@context": "https://www.w3.org/2022/wot/td/v1.1",
        "id": "urn:a",
        "title": "A",
        "properties": {
            "acceleration": {"type": "object", "properties": axes},
            "levels": {
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "items": {"type": "integer", "minimum": 0, "maximum": 9},
            },
            "mode": {"type": "integer", "enum": [1, 2]},
            "temperature": {"type": "number", "minimum": -10.5, "maximum": 50},
            "target": {"type": "number", "writeOnly": True},
        },
    }

    graph = thing_graph(described)

    assert channels(thing_from(graph, "urn:a")) == channels(described)
    assert map_inputs(thing_from(graph, "urn:a"), (3,), ()) == map_inputs(described, (3,), ())


def test_a_part_that_leads_in_a_circle_ends_and_other_devices_are_left_out() -> None:
    text = """
        PREFIX ssn: <http://www.w3.org/ns/ssn/> PREFIX s3n: <http://w3id.org/s3n/>
        PREFIX td: <https://www.w3.org/2019/wot/td#>
        <urn:a> a s3n:SmartSensor ; ssn:hasSubSystem <urn:part> ; td:title "A" ;
            td:hasPropertyAffordance [ td:title "p" ; td:type "number" ; td:minimum 2 ],
                [ td:title "p" ; td:type "number" ; td:minimum 1 ] .
        <urn:part> ssn:hasSubSystem <urn:a>, <urn:part>, <urn:b> .
        <urn:b> a s3n:SmartSensor ; td:title "B" .
    """
    graph = Graph().parse(data=text, format="ox-turtle")

    part = part_of(graph, "urn:a")

    assert {str(s) for s in part.subjects() if "urn" in str(s)} == {"urn:a", "urn:part"}
    assert list(thing_from(part, "urn:a")["properties"]) == ["p", "p 2"]


def test_a_device_that_is_not_clear_is_one_line(seloc: Path) -> None:
    with pytest.raises(DescriptionError, match="--graph: expected it or --things, got both"):
        find_pair(Asked("sine", "MS200_1", things=seloc / "things", graph="fleet"))
    with pytest.raises(DescriptionError, match=r"--device: expected one of .*MS200_1"):
        find_pair(Asked("sine", "MS200_9", things=seloc / "things"))


@pytest.mark.parametrize("write", [arduino, python])
def test_the_page_tells_time_and_energy_as_people_read_them(write: Writer) -> None:
    pairing = network_pairing(named_network("presence"), thing(), None, PI, latency=1.0425,
                              energy=0.00321)  # fmt: skip

    readme = write(plain(pairing, "x"))["README.md"].decode()

    assert "about 1.04 s and 3.21 mJ" in readme


@pytest.mark.parametrize("seconds", [0.0, 5e-324, 1e-12, 9.996e-7, 0.9996, 1.0, 59.96, 12345.6])
def test_no_quantity_has_an_exponent(seconds: float) -> None:
    number, unit = quantity(seconds, "s").split(" ")

    assert set(number) <= set("0123456789.,")
    assert unit in ("s", "ms", "µs", "ns")
