"""In a mixed fleet a query chooses who trains, and the report says who, by what, and who not."""

import contextlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdflib import URIRef

from tinyfleet.errors import QueryError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.queries import named_queries
from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.choosing import Again
from tinyfleet.simulations.commands import show_demo
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.journal import MIXED_GRAPH, read_json
from tinyfleet.simulations.mixed import DEMO, Mix, go_on
from tinyfleet.simulations.report import spans
from tinyfleet.simulations.run_folder import read_mixed

MIX = Mix(simulated=4, boards=1, small=1, absent=2, per_round=3, rounds=3)
BOARD, SMALL, ABSENT = 4, 5, (6, 7)
MIDDLE = '[[layer]]\nkind = "dense"\noutputs = 64\n[[layer]]\nkind = "relu"\n'
WIDE = (
    'name = "wide"\ninput = [1]\nloss = "mean-square"\n'
    + 2 * MIDDLE
    + '[[layer]]\nkind = "dense"\noutputs = 1\n'
)


@dataclass(frozen=True)
class Shown:
    folder: Path
    text: str
    said: dict[str, Any]
    page: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("chosen")
    (folder / "wide.toml").write_text(WIDE)
    values = {"app": "sine", "strategy": "tinyreptile", "devices": 20, "rounds": 2, "support": 16}
    more = {"tasks": 4, "validation_tasks": 4, "shots": (0, 8), "training": {"rate": 1e-3}}
    study = complete({**values, **more, "network": str(folder / "wide.toml")}, "test")
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        show_demo(study, folder / "run", MIX)
    said = json.loads((folder / "run" / "mixed.json").read_text())
    page = (folder / "run" / "report.html").read_text()
    return Shown(folder / "run", output.getvalue(), said, page)


def table(page: str, name: str) -> list[list[str]]:
    rows = page.partition(f'id="{name}"')[2].partition("</table>")[0].partition("<tbody>")[2]
    return [
        [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", rows, re.DOTALL)
    ]


def test_only_those_whom_the_query_chose_learned(shown: Shown) -> None:
    chosen = {r["round"]: set(r["devices"]) for r in shown.said["selection"]["rounds"]}
    learned: dict[int, set[int]] = {}
    for update in shown.said["updates"]:
        learned.setdefault(update["round"], set()).add(update["device"])

    assert learned == chosen
    assert [len(devices) for devices in chosen.values()] == [3, 3, 3]
    assert set().union(*chosen.values()) == {0, 1, 2, 3, BOARD}


def test_the_bytes_are_those_of_the_same_choices_in_simulation(shown: Shown) -> None:
    learned = np.load(shown.folder / "mixed.npy")

    assert shown.said["weights_sha256"] == shown.said["simulation_sha256"]
    assert learned.tobytes() != np.load(shown.folder / "weights.npy").tobytes()
    assert "The same rounds in simulation end in the same bytes" in shown.page


def test_every_device_is_in_a_round_or_told_why_not(shown: Shown) -> None:
    for one in shown.said["selection"]["rounds"]:
        reasons = {left["device"]: left["reason"] for left in one["left_out"]}

        assert sorted([*one["devices"], *reasons]) == list(range(MIX.devices))
        assert re.search(r"needs [\d,]+ B RAM to train, has 8,192", reasons[SMALL])
        assert all(reasons[device].startswith("offline since 20") for device in ABSENT)
        others = [r for device, r in reasons.items() if device not in (SMALL, *ABSENT)]
        known = r"the round was full before its turn|gw-[12] had its share of the round: \d"
        assert all(re.fullmatch(known, reason) for reason in others)


def test_gateways_share_the_rounds(shown: Shown) -> None:
    for one in shown.said["selection"]["rounds"]:
        behind = ["gw-2" if device in (2, 3) else "gw-1" for device in one["devices"]]
        assert {behind.count("gw-1"), behind.count("gw-2")} == {1, 2}


def test_the_report_shows_the_query_its_answer_and_why_others_were_left_out(shown: Shown) -> None:
    selection = shown.said["selection"]
    shown_query = shown.page.partition('<pre id="query"><code>')[2].partition("</code>")[0]
    query = named_queries()["select-fair"].text

    assert selection["query"] == query
    assert shown_query.count("\n") == query.count("\n")
    assert "tf:fits ?model" in shown_query
    assert table(shown.page, "chosen-table") == [
        [str(r["round"]), ", ".join(map(str, r["devices"]))] for r in selection["rounds"]
    ]
    mixed = read_mixed(shown.folder)
    assert mixed is not None
    assert mixed.choices is not None
    assert [row[0] for row in table(shown.page, "left-out-table")] == [
        str(device) for device, _ in mixed.choices.reasons()
    ]
    assert ["6", selection["rounds"][0]["left_out"][-2]["reason"], "3-5"] in table(
        shown.page, "left-out-table"
    )


def test_the_terminal_says_who_was_left_out_and_why(shown: Shown) -> None:
    assert "who trains: query fair" in shown.text
    table = shown.text.partition("left out because")[2]  # its cells are cut into lines

    assert "8,192" in table
    assert "offline" in table


def test_the_graph_stays_and_says_who_trained(shown: Shown) -> None:
    text = (
        "PREFIX prov: <http://www.w3.org/ns/prov#> SELECT ?n ?device { GRAPH ?r "
        "{ ?r prov:wasAssociatedWith ?device ; <https://w3id.org/tinyfleet/ontology#number> ?n } }"
    )
    with FleetGraph.open(shown.folder / MIXED_GRAPH) as graph:
        found = {(int(str(n)), str(device)) for n, device in graph.select(text).rows}
        source = graph.thing("urn:tinyfleet:mixed:5")
        rows = graph.select(
            named_queries()["who-trained"].text, {"device": URIRef("urn:tinyfleet:mixed:0")}
        ).rows

    assert found == {
        (update["round"], f"urn:tinyfleet:mixed:{update['device']}")
        for update in shown.said["updates"]
    }
    assert "BBC micro:bit v1" in (source or "")
    assert rows == ()  # it is deployed nowhere


def test_a_query_that_finds_nobody_is_one_line(shown: Shown, tmp_path: Path) -> None:
    for name in ("run.json", "weights.npy"):
        (tmp_path / name).write_bytes((shown.folder / name).read_bytes())
    (tmp_path / "none.rq").write_text("SELECT ?device { ?device <urn:x> <urn:y> }")
    mix = Mix(simulated=1, boards=0, rounds=1, select=str(tmp_path / "none.rq"))

    with pytest.raises(QueryError, match="round 3: expected at least one of 1 devices, got none"):
        go_on(tmp_path, mix, Machine(), lambda _: None)
    assert not (tmp_path / "mixed.json").exists()


def test_the_demo_has_devices_that_do_not_fit_and_devices_that_are_not_there() -> None:
    assert DEMO.small > 0 < DEMO.absent
    assert 0 < DEMO.per_round < DEMO.simulated + DEMO.boards


def test_choices_are_made_again_on_any_grid(shown: Shown) -> None:
    mixed = read_mixed(shown.folder)
    assert mixed is not None
    assert mixed.choices is not None

    class Grid:
        devices = tuple(range(-1, MIX.devices))

    first = mixed.choices.rounds[0]
    choice = Again(mixed.choices).choose(Grid())(first.round, range(99))  # type: ignore[arg-type]
    assert [node - 1 for node in choice.nodes] == sorted(first.devices)


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([4], "4"), ([1, 2, 3, 7, 9, 10], "1-3, 7, 9-10")]
)
def test_rounds_are_written_as_spans(numbers: list[int], text: str) -> None:
    assert spans(numbers) == text


def test_a_run_of_its_own_is_left_as_it_was(shown: Shown) -> None:
    assert read_json(shown.folder / "run.json")["study"]["select"] == ""
    assert not (shown.folder / "graph").exists()
