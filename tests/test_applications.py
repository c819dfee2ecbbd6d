"""Every application under every strategy is a study, and leaves what tables and reports read."""

import json
from pathlib import Path
from typing import Any

import pytest

from tinyfleet.simulations.applications import APPLICATIONS
from tinyfleet.simulations.assemble import Machine, assemble
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.further import further_rows
from tinyfleet.simulations.report import write_report
from tinyfleet.simulations.run import start
from tinyfleet.simulations.run_folder import read_run
from tinyfleet.simulations.strategies import STRATEGIES

SMALL = {"tasks": 8, "validation_tasks": 8, "shots": (0, 2), "passes": (2,), "rates": ()}


@pytest.fixture
def data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYFLEET_DATA", str(data_folder))
    return data_folder


@pytest.mark.parametrize("app", list(APPLICATIONS))
def test_every_strategy_fits_every_application(app: str) -> None:
    for strategy in STRATEGIES:
        study = complete({"app": app, "strategy": strategy}, "test")
        assert (study.app, study.strategy) == (app, strategy)


@pytest.mark.parametrize("app", list(APPLICATIONS))
def test_parts_share_no_data_and_say_where_theirs_are_from(app: str, data: Path) -> None:
    del data
    setup = assemble(complete({"app": app, **SMALL}, "test"), Machine(1))

    assert list(setup.provenance) == ["train", "validation", "test"]
    assert all(f"{part} part" in told for part, told in setup.provenance.items())
    assert len(set(setup.fingerprints.values())) == 3


def presence(folder: Path, **values: Any) -> Path:
    study = complete({"app": "presence", "rounds": 20, "devices": 20, **SMALL, **values}, "test")
    return start(study, folder / "run", "none", Machine(1), lambda _: None)


def test_presence_is_judged_by_more_than_one_figure(tmp_path: Path, data: Path) -> None:
    del data
    folder = presence(tmp_path)
    result = json.loads((folder / "result.json").read_text())
    last = json.loads((folder / "rounds.jsonl").read_text().splitlines()[-1])

    assert set(result["balanced_accuracy"]) == set(result["balanced_accuracy_one_pass"])
    assert result["balanced_accuracy"]["2"]["tasks"] == 8
    assert "accuracy" not in result
    assert last["evaluation"]["balanced_accuracy"].keys() == {"2"}
    assert last["parameters_communicated"] == result["parameters_communicated"]
    summary = result["summary"]["2"]
    assert 0 < summary["prevalence"] < 100
    assert {"auroc", "auprc", "balanced_accuracy"} <= summary["pooled"].keys()
    assert summary["per_device"]["balanced_accuracy"] == result["balanced_accuracy"]["2"]
    assert "worst_decile" in summary


def test_the_report_shows_the_further_figures(tmp_path: Path, data: Path) -> None:
    del data
    folder = presence(tmp_path)
    page = write_report(folder).read_text("utf-8")
    rows = dict(further_rows(read_run(folder).result))

    assert "Balanced accuracy in percent on" in page
    assert [len(texts) for texts in rows.values()] == [2] * len(rows)
    assert f"<td>{rows['pooled: AUROC'][1]}</td>" in page
    assert "other data" in page


def test_keywords_are_tested_on_the_words_and_people_of_another_file(data: Path) -> None:
    other = data / "gsc_v1_30words_16k.flac"
    values = {"app": "keywords", "test_data": str(other), "across": True, **SMALL}
    setup = assemble(complete(values, "test"), Machine(1))

    assert setup.provenance["test"].startswith("Google Speech Commands")
    assert "Arabic Speech Commands" in setup.provenance["train"]


def test_an_encoding_changes_what_travels_and_not_how_much_of_it(tmp_path: Path) -> None:
    sent = {}
    for encoding in ("float32", "int8"):
        study = complete(
            {"app": "sine", "rounds": 2, "devices": 10, **SMALL, "encoding": encoding}, "test"
        )
        folder = start(study, tmp_path / encoding, "none", Machine(1), lambda _: None)
        result = json.loads((folder / "result.json").read_text())
        sent[encoding] = (result["parameters_communicated"], result["bytes_communicated"])

    assert sent["int8"][0] == sent["float32"][0] == 2 * 1153 * 20
    assert sent["float32"][1] == 4 * sent["float32"][0]
    assert sent["int8"][1] < 0.64 * sent["float32"][1]
