"""`tinyfleet match` answers from files and from a graph; docs/match.md says how."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tinyfleet import named_network
from tinyfleet.cli import make_app
from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.boards import boards
from tinyfleet.ontology.describe_network import describe_network
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.match_files import fill, models_in, things_in
from tinyfleet.ontology.model_rdf import turtle
from tinyfleet.ontology.profile import profile_of
from tinyfleet.ontology.things import board_thing

PAGE = Path(__file__).parent.parent / "docs" / "match.md"
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for line in block.splitlines()
]


def run(command: str) -> Result:
    words = shlex.split(command)[1:]
    return CliRunner().invoke(make_app(words), words, catch_exceptions=True)


@pytest.fixture
def folder(seloc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with boards/, models/ and fleet/, which is where commands run."""
    shutil.copytree(seloc / "things", tmp_path / "boards")
    (tmp_path / "models").mkdir()
    shutil.copy(seloc / "tflite_models.ttl", tmp_path / "models")
    with FleetGraph.open(tmp_path / "fleet") as graph:
        for number, board in enumerate(boards().values()):
            graph.register(board_thing(board, f"urn:tinyfleet:lab:{number}"))
        graph.record(_with_name())
    monkeypatch.chdir(tmp_path)
    return tmp_path


inside = pytest.mark.usefixtures("folder")


def _with_name() -> str:
    own = "<urn:tinyfleet:model:person:0123456789abcdef>"
    return (
        f"INSERT DATA {{ GRAPH {own} {{ {own} schema:name 'Person_Detection' }} "
        f"GRAPH <urn:tinyfleet:graph:index> {{ {own} a nnet:NeuralNetwork ; tf:needsRam 300000 ; "
        "tf:macs 7000000 ; tf:trainingRam 900000 ; tf:headTrainingRam 200000 } }"
    )


@inside
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_page_answers(command: str) -> None:
    result = run(command)

    assert result.exit_code == 0, result.output
    assert "pairs" in result.stdout


def test_the_page_shows_commands() -> None:
    assert len(COMMANDS) >= 6


@inside
def test_json_alone_is_on_stdout_and_holds_89_pairs() -> None:
    answer = json.loads(run("tinyfleet match --things boards --models models --json").stdout)

    assert set(answer) == {"pairs", "refusals"}
    assert len(answer["pairs"]) == 89
    assert set(answer["pairs"][0]) == {"device", "model", "name"}
    assert {"device", "model", "reason", "needs", "has", "text"} <= set(answer["refusals"][0])


@inside
def test_training_fits_where_only_the_head_does() -> None:
    infer = json.loads(run("tinyfleet match --graph fleet --json").stdout)
    train = json.loads(run("tinyfleet match --graph fleet --task train --json").stdout)

    assert {pair["trains"] for pair in train["pairs"]} == {"whole", "head"}
    assert len(infer["pairs"]) == len(train["pairs"]) == 3


@inside
def test_a_limit_in_seconds_refuses_slow_boards() -> None:
    answer = json.loads(run("tinyfleet match --graph fleet --max-latency 0.01 --json").stdout)

    slow = [refusal for refusal in answer["refusals"] if refusal["reason"] == "latency"]
    assert {"needs an answer in 0.01 s, takes 0.0562 s"} <= {refusal["text"] for refusal in slow}


@inside
def test_a_name_that_nobody_has_is_refused_with_those_that_are_there() -> None:
    result = run("tinyfleet match --things boards --models models --device MS201")

    assert isinstance(result.exception, DescriptionError)
    assert "MS200_1" in str(result.exception)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"@context": "http://remote.example/x", "id": "urn:x:1"}'),
        ("a.json", "{"),
        ("a.ttl", "<urn:x> a"),
        ("a.ttl", ""),
        ("a.jsonld", "\udcff"),
    ],
)
def test_a_bad_description_is_refused_by_the_name_of_its_file(
    name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(DescriptionError, match=re.escape(str(tmp_path))):
        things_in(tmp_path)


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match=r"expected a file or a folder with \.ttl, \.tflite"):
        models_in(tmp_path)


BOARD = """\
@prefix s3n: <http://w3id.org/s3n/> . @prefix ssn: <http://www.w3.org/ns/ssn/> .
@prefix tf: <https://w3id.org/tinyfleet/ontology#> .
<urn:{name}> a s3n:SmartSensor ; ssn:hasSubSystem _:mcu .
_:mcu a s3n:MicroController ; tf:trainingArena {arena} .
"""


def test_blank_nodes_of_one_label_in_two_files_are_two(tmp_path: Path) -> None:
    for name, arena in (("a", 1000), ("b", 900_000)):
        (tmp_path / f"{name}.ttl").write_text(BOARD.format(name=name, arena=arena), "utf-8")

    graph = things_in(tmp_path)

    profiles = [profile_of(graph, f"urn:{name}") for name in ("a", "b")]
    assert [profile and profile.training_arena for profile in profiles] == [1000, 900_000]


@inside
def test_a_limit_tells_the_first_of_all_refusals() -> None:
    whole = json.loads(run("tinyfleet match --things boards --models models --json").stdout)
    some = json.loads(
        run("tinyfleet match --things boards --models models --json --limit 5").stdout
    )

    assert some == {key: rows[:5] for key, rows in whole.items()}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.ttl", "[] a s3n:SmartSensor .", "device: expected an IRI of its own"),
        ("b.ttl", "<urn:b> a s3n:SmartSensor .", "urn:b: expected a microcontroller"),
    ],
)
def test_a_device_that_nothing_can_be_said_of_is_refused(
    name: str, text: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(f"@prefix s3n: <http://w3id.org/s3n/> . {text}", "utf-8")

    with FleetGraph.open() as graph, pytest.raises(DescriptionError, match=expected):
        fill(graph, things_in(tmp_path), None)


@inside
def test_a_limit_that_is_no_number_is_refused() -> None:
    result = run("tinyfleet match --graph fleet --max-energy nan")

    assert isinstance(result.exception, DescriptionError)


def test_the_known_boards_are_compared_with_models_in_files(tmp_path: Path) -> None:
    described = describe_network(named_network("characters-mcu")).to_graph()
    (tmp_path / "model.ttl").write_bytes(turtle(described))
    answer = run(f"tinyfleet match --boards --models {tmp_path} --task train --json")
    pairs = json.loads(answer.stdout)["pairs"]
    assert {pair["name"] for pair in pairs} == {"characters-mcu"}
    assert "urn:tinyfleet:board:arduino-nano-33-ble-sense" in {pair["device"] for pair in pairs}


@inside
def test_a_table_names_each_model_in_full_and_has_no_empty_column() -> None:
    answer = run("tinyfleet match --things boards --models models --device MS200_1").stdout

    names = [f"Micro_Speech_Yes_No_{number}" for number in range(1, 5)]
    assert [answer.count(name) for name in names] == [1] * 4
    assert answer.count("MS200_1") == 1
    assert "latency" not in answer


@inside
def test_a_limit_that_nothing_was_held_to_says_so() -> None:
    answer = run("tinyfleet match --things boards --models models --max-latency 1").stdout

    assert "latency not judged for 9 of 9 devices" in answer
    assert "energy" not in answer


@inside
def test_names_that_are_not_listed_are_counted() -> None:
    result = run("tinyfleet match --things boards --models models --model zzz")

    assert str(result.exception).endswith("and 13 more, got no such")
