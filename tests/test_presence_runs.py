"""A study of presence runs from its files to a result that says more than one figure."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rooms import room_arrays, write_rooms

from tinyfleet.errors import StudyError
from tinyfleet.simulations import run
from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.defaults import complete

DOCS = Path(__file__).parent.parent / "docs"
Run = Callable[..., tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture
def made(tmp_path: Path) -> Run:
    """Run a small study on small rooms; return what it describes and its result."""
    data = write_rooms(tmp_path / "rooms.npz", room_arrays())

    def go(**values: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        small = {"rounds": 120, "devices": 50, "tasks": 24, "validation_tasks": 8, "shots": [0, 8]}
        asked = {"app": "presence", "data": str(data), "evaluations": 2, "passes": [], **small}
        folder = tmp_path / "run"
        run.start(complete({**asked, **values}, "test"), folder, "", Machine(1), lambda _: None)
        described = json.loads((folder / "run.json").read_text())
        return described, json.loads((folder / "result.json").read_text())

    return go


def test_an_unseen_room_is_told_from_how_its_air_changes(made: Run) -> None:
    described, result = made(room="room_3")

    assert "test part, 1 of 6 rooms: room_3" in json.dumps(described)
    assert result["balanced_accuracy"]["8"]["mean"] > 90.0  # in these rooms CO2 says it all
    summary = result["summary"]["8"]
    assert summary["prevalence"] == pytest.approx(33.3, abs=3.0)
    assert summary["per_device"]["auprc"]["mean"] > summary["prevalence"]
    assert summary["one_class"] == 0


def test_another_file_of_rooms_is_tested_whole(made: Run, tmp_path: Path) -> None:
    other = write_rooms(tmp_path / "other.npz", room_arrays(rooms=2, seed=6))

    described, _ = made(test_data=str(other))

    told = json.dumps(described)
    assert "test part, 2 of 2 rooms: room_0, room_1" in told
    assert "left out, as the test file holds them: none" in told


@pytest.mark.parametrize(
    ("row", "column", "told"),
    [
        ("TinyReptile", "ours", "TinyReptile has {0} ± {1} % without a label"),
        ("boosting", "0 shots, %", "without adaptation, has\n  {0} ± {1} %"),
        ("logistic regression", "0 shots, %", "logistic regression {0} ± {1} %"),
        ("boosting, and the whole week", "8 shots, %", "the week before labelled has {0} ± {1} %"),
        ("TinyReptile, those devices", "8 shots, %", "on the same devices {0} ± {1} %"),
        ("TinyReptile less boosting", "8 shots, %", "  {0} ± {1} points over boosting without"),
        ("cold start", "8 shots, %", "from random weights, has {0} ± {1} %"),
    ],
)
def test_the_figures_of_the_page_are_those_of_the_table(row: str, column: str, told: str) -> None:
    table = (DOCS / "reproduce.md").read_text("utf-8").split('<a id="presence"></a>')[1]
    (found,) = re.findall(
        rf"^\| {row} \| {column} \| ([\d.]+) ± ([\d.]+) ", table.split("<a id=")[0], re.MULTILINE
    )

    figures = [f"{float(number):.1f}" for number in found]

    assert told.format(*figures) in (DOCS / "presence.md").read_text("utf-8")


@pytest.mark.parametrize("key", ["light", "room"])
def test_no_other_application_reads_a_rooms_keys(key: str) -> None:
    with pytest.raises(StudyError, match=key):
        complete({"app": "sine", key: {"light": True, "room": "room_1"}[key]}, "study")
