"""`tinyfleet query` answers from a graph or from files, for people and for machines."""

import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import asked_fleet as fleet
import pytest
from click.testing import Result
from listed_questions import listing
from typer.testing import CliRunner

from tinyfleet.cli import make_app
from tinyfleet.errors import QueryError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.queries import named_queries

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "queries.md").read_text(encoding="utf-8")
PROGRAM = shutil.which("tinyfleet", path=sysconfig.get_path("scripts")) or "tinyfleet"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fleet")
    with FleetGraph.open(folder) as graph:
        fleet.fill(graph)
        graph.flush()
        yield folder


def query(*arguments: str | Path, stdin: str = "") -> Result:
    """Run the command in this process; what it refuses is the result's exception."""
    typed = ["query", *map(str, arguments)]
    return CliRunner(env={"COLUMNS": "120"}).invoke(make_app(typed), typed, input=stdin)


def test_an_answer_for_machines_is_sparql_results_as_json_alone(place: Path) -> None:
    done = query("models-for-device", "--graph", place, "--bind", "device=device 1", "--json")
    found = json.loads(done.stdout)
    assert found["head"]["vars"] == ["model", "name", "macs", "ram", "flash"]
    names = [row["name"]["value"] for row in found["results"]["bindings"]]
    assert names == ["hum", "walk"]


def test_an_answer_for_people_is_a_table_with_short_names(place: Path) -> None:
    done = query("deployments", "--graph", place)
    assert done.exit_code == 0
    assert "tf:Running" in done.stdout
    assert "https://w3id.org" not in done.stdout


def test_a_table_in_a_pipe_keeps_each_name_on_one_line(place: Path) -> None:
    wide = f"SELECT ?a ?b {{ BIND (<urn:{'a' * 150}> AS ?a) BIND (<urn:{'b' * 150}> AS ?b) }}"
    done = query("-", "--graph", place, stdin=wide)
    assert f"urn:{'a' * 150}  urn:{'b' * 150}" in done.stdout


def test_an_empty_answer_says_so(place: Path) -> None:
    done = query("can-train", "--graph", place, "--bind", "model=walk", "--bind", "bytes=1")
    assert done.stdout == "nothing found\n"


def test_a_value_given_twice_has_alternatives(place: Path) -> None:
    both = [f"--bind=device={fleet.device(1)}", f"--bind=device={fleet.device(3)}"]
    done = query("device-history", "--graph", place, *both, "--csv")
    assert len(done.stdout.splitlines()) == 4


def test_what_is_over_the_limit_is_told_on_stderr(place: Path) -> None:
    typed = [PROGRAM, "query", "devices-by-ram", "--graph", str(place), "--limit", "1", "--csv"]
    done = subprocess.run(typed, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.startswith("more than 1:")


def test_triples_come_as_turtle(place: Path) -> None:
    text = "CONSTRUCT { ?a tf:runs 1 } WHERE { GRAPH ?d { ?d tf:deployedOn ?a } }"
    done = query("-", "--graph", place, "--turtle", stdin=text)
    assert done.stdout.count("<urn:tinyfleet:lab:") == 2


def test_a_query_of_ones_own_says_its_parameters(place: Path, tmp_path: Path) -> None:
    example = re.findall(r"```sparql\n(.*?)```", PAGE, re.DOTALL)[0]
    file = tmp_path / "kitchen.rq"
    file.write_text(example)
    done = query(file, "--graph", place, "--bind", "room=kitchen", "--csv")
    assert done.stdout.split() == ["device,gateway", f"{fleet.device(1)},{fleet.gateway('hall')}"]
    refused = query(file, "--graph", place).exception
    assert str(refused) == "?room: expected a binding (what people call it), got none"


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("nothing",), "", "nothing: expected a question or a .rq file"),
        (("models-for-devise",), "", "try models-for-device"),
        (("absent.rq",), "", "absent.rq: expected a query that can be read"),
        (("-",), "DROP ALL", "got an update"),
        (("-",), "ASK { SERVICE <http://x/> {} }", "line 1, column 7"),
        (("-", "--write"), "LOAD <http://x/>", "no LOAD"),
        (("overview", "--json", "--csv"), "", "expected one form"),
        (("overview", "--turtle"), "", "expected --json or --csv for a SELECT"),
        (("overview", "--bind", "a"), "", "--bind a: expected NAME=VALUE"),
        (("overview", "--bind", "a=1"), "", "?a: expected a variable of the query"),
        (("devices-for-model", "--bind", "model=wal"), "", "expected the IRI or the name"),
        (("overview", "--models", "."), "", "got both"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(
    place: Path, arguments: tuple[str, ...], stdin: str, message: str
) -> None:
    done = query(*arguments, "--graph", place, stdin=stdin)
    assert isinstance(done.exception, QueryError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not done.stdout


def test_a_refusal_is_one_line_on_stderr_and_exit_code_13() -> None:
    done = subprocess.run([PROGRAM, "query"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (13, "", 1)


def test_a_query_that_takes_too_long_is_ended(place: Path) -> None:
    rows = " ".join(map(str, range(2000)))
    text = "SELECT (COUNT(*) AS ?n) {" + "".join(f"VALUES ?v{i} {{ {rows} }}" for i in range(3))
    done = query("-", "--graph", place, "--timeout", "0.5", stdin=text + "}")
    assert isinstance(done.exception, QueryError)
    assert "0.5 s" in str(done.exception)


def test_an_update_is_written_where_it_is_allowed(tmp_path: Path) -> None:
    text = "INSERT DATA { GRAPH <urn:g> { <urn:a> <urn:b> 1 } }"
    assert query("-", "--graph", tmp_path, "--write", stdin=text).exit_code == 0
    done = query("-", "--graph", tmp_path, stdin="ASK { GRAPH ?g { <urn:a> ?b 1 } }")
    assert done.stdout == "yes\n"


def test_the_list_says_names_questions_and_parameters() -> None:
    listed = json.loads(query("--list", "--json").stdout)
    assert [one["name"] for one in listed] == list(named_queries())
    (own,) = (one for one in listed if one["name"] == "stale-devices")
    assert [p["name"] for p in own["parameters"]] == ["before"]
    assert "can-train model bytes\n" in query("--list").stdout


def test_the_page_lists_every_question_as_it_is() -> None:
    assert PAGE.endswith(listing())


def test_the_story_of_the_page_ends_with_an_answer(tmp_path: Path) -> None:
    story = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()
    assert len(story) == 4
    for line in story:
        done = subprocess.run(
            line.replace("tinyfleet ", f"'{PROGRAM}' ", 1),
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
    assert "nRF52840 DK" in done.stdout
    assert "part" in done.stdout


def test_published_boards_and_models_are_asked_as_they_are(seloc: Path) -> None:
    done = query(
        "overview", "--things", seloc / "things", "--models", seloc / "tflite_models.ttl", "--json"
    )
    rows = json.loads(done.stdout)["results"]["bindings"]
    fits = sorted(int(row["models"]["value"]) for row in rows)
    assert fits == [0, 2, 3, 8, 8, 12, 16, 19, 21]
