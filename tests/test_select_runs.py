"""A study whose devices a query chooses: reproducible, resumable, and answerable afterwards."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfleet.errors import FleetError, QueryError, StudyError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.queries import named_queries
from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.population import KINDS, PER_GATEWAY, iri_of
from tinyfleet.simulations.run import resume, start
from tinyfleet.simulations.study import read_study_file

FILES = ("weights.npy", "rounds.jsonl", "result.json")
SMALL: dict[str, Any] = {
    "app": "sine",
    "strategy": "tinyreptile",
    "devices": 250,
    "per_round": 10,
    "rounds": 5,
    "tasks": 4,
    "validation_tasks": 4,
    "shots": (4,),
    "select": "least-recent",
}
LONG = {"devices": 60, "per_round": 4, "rounds": 200, "select": "worst-accuracy"}
OFTEN = (  # a run that is worth killing has a checkpoint
    "from tinyfleet.simulations import journal; journal._SECONDS_BETWEEN_CHECKPOINTS = 0.1; "
    "from tinyfleet.cli import main; main()"
)


def run(folder: Path, **changed: Any) -> Path:
    study = complete({**SMALL, **changed}, "test")
    return start(study, folder, "test", Machine(), lambda _: None)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def graph_of(folder: Path) -> set[tuple[str, ...]]:
    """Return all that the graph of a run says which no clock has had a part in."""
    text = (
        "SELECT ?g ?s ?p ?o { GRAPH ?g { ?s ?p ?o } FILTER (?g NOT IN "
        "(<urn:tinyfleet:graph:sources>)) FILTER (!ISBLANK(?s) && !ISBLANK(?o)) }"
    )
    with FleetGraph.open(folder / "graph") as graph:
        return {tuple(map(str, row)) for row in graph.select(text, limit=10**6).rows}


def tinyfleet(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from tinyfleet.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_least_recent_lets_everybody_train_in_turn(tmp_path: Path) -> None:
    selected = [device for line in lines(run(tmp_path / "run")) for device in line["selected"]]

    assert len(selected) == len(set(selected)) == 50


def test_boards_without_the_ram_are_left_out(tmp_path: Path) -> None:
    more = {"app": "characters", "network": "characters-mcu", "shots": (1,), "support": 1}
    folder = run(tmp_path / "run", **more, devices=50, rounds=2, select="capable", per_round=40)
    selected = {device for line in lines(folder) for device in line["selected"]}

    assert [kind.arena < 66_000 for kind in KINDS] == [False] * 4 + [True]
    assert selected == {n for n in range(50) if n % len(KINDS) != 4}


def test_gateways_share_the_rounds(tmp_path: Path) -> None:
    for line in lines(run(tmp_path / "run", select="fair", per_round=9)):
        behind = [device // PER_GATEWAY for device in line["selected"]]
        assert [behind.count(gateway) for gateway in (0, 1, 2)] == [3, 3, 3]


def test_a_round_holds_what_every_chosen_device_gave(tmp_path: Path) -> None:
    for line in lines(run(tmp_path / "run")):
        assert [device for device, *_ in line["updates"]] == line["selected"]
        assert sum(examples for _, examples, *_ in line["updates"]) == line["examples"]


@pytest.mark.parametrize("name", ["available", "worst-accuracy"])
def test_the_same_study_makes_the_same_choices(tmp_path: Path, name: str) -> None:
    first, again = run(tmp_path / "a", select=name), run(tmp_path / "b", select=name)

    assert files(first) == files(again)
    assert graph_of(first) == graph_of(again)


def test_what_travelled_behind_each_gateway_is_what_the_journal_counts(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    with FleetGraph.open(folder / "graph") as graph:
        rows = graph.select(named_queries()["cost-by-gateway"].text).rows

    sent, received = (sum(int(str(row[place])) for row in rows) for place in (2, 3))
    assert {str(row[0]).rpartition(":")[2] for row in rows} == {"gw-1", "gw-2", "gw-3"}
    assert sent == received == 5 * 10 * 1153 * 4
    assert sent + received == lines(folder)[-1]["bytes_communicated"]


def test_the_graph_of_a_run_holds_its_rounds(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    text = (
        "PREFIX prov: <http://www.w3.org/ns/prov#> SELECT ?round ?device "
        "{ GRAPH ?round { ?round prov:wasAssociatedWith ?device } }"
    )
    with FleetGraph.open(folder / "graph") as graph:
        found = {tuple(map(str, row)) for row in graph.select(text).rows}

    assert found == {
        (f"urn:tinyfleet:run:study:{line['round']}", iri_of(device))
        for line in lines(folder)
        for device in line["selected"]
    }


def test_a_study_file_names_its_query(tmp_path: Path) -> None:
    (tmp_path / "mine.rq").write_text(
        "PREFIX tf: <https://w3id.org/tinyfleet/ontology#>\n"
        "SELECT ?device { GRAPH <urn:tinyfleet:graph:index> { ?device tf:number ?n } } "
        "ORDER BY DESC(?n)"
    )
    (tmp_path / "study.toml").write_text(
        'app = "sine"\nstrategy = "tinyreptile"\ndevices = 20\nper_round = 3\nrounds = 2\n'
        'tasks = 4\nvalidation_tasks = 4\nshots = [4]\nselect = "mine.rq"\n'
    )
    study = complete(read_study_file(tmp_path / "study.toml"), "study.toml")
    start(study, tmp_path / "run", "test", Machine(), lambda _: None)

    assert [line["selected"] for line in lines(tmp_path / "run")] == [[19, 18, 17]] * 2


def test_a_bad_query_is_one_line_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "bad.rq").write_text("SELECT ?thing { ?thing ?p ?o }")
    done = tinyfleet("simulate", "sine", "--select", "bad.rq", "--out", "run", cwd=tmp_path)

    assert done.returncode == 13
    assert "bad.rq: expected a SELECT that binds ?device, got ?thing" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_query_that_finds_nobody_ends_the_run_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "none.rq").write_text("SELECT ?device { ?device <urn:x> <urn:y> }")

    with pytest.raises(QueryError, match="round 1: expected at least one of 250 devices, got none"):
        run(tmp_path / "run", select=str(tmp_path / "none.rq"))


def test_flowers_own_strategies_choose_by_their_own() -> None:
    with pytest.raises(StudyError, match="select: expected"):
        complete({**SMALL, "strategy": "flower-fedavg"}, "test")


def test_a_run_that_was_killed_ends_in_the_same_bytes_and_the_same_graph(tmp_path: Path) -> None:
    whole, folder = run(tmp_path / "whole", **LONG), tmp_path / "run"
    (tmp_path / "study.toml").write_text(
        'app = "sine"\nstrategy = "tinyreptile"\nselect = "worst-accuracy"\ndevices = 60\n'
        "per_round = 4\nrounds = 200\ntasks = 4\nvalidation_tasks = 4\nshots = [4]\n"
    )
    command = [sys.executable, "-c", OFTEN, "simulate", "study.toml", "--out", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while not (folder / "checkpoint.npz").exists():
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert not (folder / "result.json").exists()

    resume(folder, Machine(), lambda _: None)

    assert files(folder) == files(whole)
    assert graph_of(folder) == graph_of(whole)


def stopped(folder: Path, after: int) -> Path:
    """Run into `folder` and stop after some rounds, as Ctrl-C would."""

    def listen(progress: Any) -> None:
        if progress.done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(complete(SMALL, "test"), folder, "test", Machine(), listen)
    return folder


def test_what_the_graph_had_seen_beyond_the_journal_is_forgotten(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "run", 3)
    with FleetGraph.open(folder / "graph") as graph:
        graph.record("INSERT DATA { GRAPH <urn:tinyfleet:run:study:4> { <urn:a> <urn:b> 1 } }")

    resume(folder, Machine(), lambda _: None)

    assert files(folder) == files(run(tmp_path / "whole"))
    assert graph_of(folder) == graph_of(tmp_path / "whole")


def test_a_run_goes_on_with_the_query_that_it_began_with(tmp_path: Path) -> None:
    query = tmp_path / "mine.rq"
    query.write_text("SELECT ?device { GRAPH ?g { ?device ?p ?o } } ORDER BY ?device")
    folder = tmp_path / "run"
    run(folder, select=str(query), rounds=1)
    query.write_text("SELECT ?device { GRAPH ?g { ?device ?p ?o } } ORDER BY DESC(?device)")

    with pytest.raises(StudyError, match="selection: the run began with"):
        resume(folder, Machine(), lambda _: None)


def test_a_journal_that_does_not_say_who_was_selected_is_refused(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "run", 3)
    journal = folder / "rounds.jsonl"
    journal.write_text(
        journal.read_text().replace('"selected"', '"chosen_ids"')[: journal.stat().st_size]
    )

    with pytest.raises(FleetError, match="start the run anew"):
        resume(folder, Machine(), lambda _: None)


def test_a_study_without_a_query_has_no_graph(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", select="")

    assert not (folder / "graph").exists()
    assert set(lines(folder)[0]) & {"selected", "updates", "weights_sha256"} == set()
    assert np.load(folder / "weights.npy").shape == (1153,)


def test_the_query_is_checked_before_the_run_begins(tmp_path: Path) -> None:
    with pytest.raises(QueryError):
        run(tmp_path / "run", select="nobody")
    assert not (tmp_path / "run").exists()


def _said(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = "from tinyfleet.cli import main; main()"
    typed = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(typed, capture_output=True, text=True, check=True)


def test_the_page_says_how_a_run_is_asked(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "select.md").read_text("utf-8")
    asked = [line for line in page.splitlines() if line.startswith("tinyfleet query")]
    folder = run(tmp_path / "run", devices=20)

    answers = [
        _said(*shlex.split(line.replace("runs/fair", str(folder)))[1:], "--csv").stdout
        for line in asked
    ]

    assert [line.split()[2] for line in asked] == ["rounds", "device-history"]
    assert len(answers[0].splitlines()) == 1 + len(lines(folder))
    assert (
        len(answers[1].splitlines()) == 1 + sum(0 in line["selected"] for line in lines(folder)) > 1
    )


@pytest.mark.parametrize(("per_round", "notes"), [(0, 1), (3, 0)])
def test_a_query_that_chooses_nothing_is_noted(per_round: int, notes: int, tmp_path: Path) -> None:
    typed = "--strategy tinyreptile-parallel --devices 10 --rounds 1 --tasks 2 --shots 4"
    asked = ("--per-round", str(per_round), "--select", "fair", "--out", tmp_path / "run")

    done = _said("simulate", "sine", *typed.split(), *asked)

    assert done.stderr.count("note: every device that the query finds trains") == notes
    assert "run=urn:tinyfleet:run:study" in done.stdout
