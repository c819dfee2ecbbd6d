"""A run that diverged, whose scores are null, has a page and a table all the same."""

import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_run import estimate, result_of, rounds_of, settings_of, writer
from rich.console import Console

from tinyfleet.errors import StudyError
from tinyfleet.simulations.comparison import compare, difference
from tinyfleet.simulations.fields import Fields
from tinyfleet.simulations.report import result_table, write_report
from tinyfleet.simulations.run_folder import read_run, result_from

APPS = pytest.mark.parametrize("app", ["characters", "sine"])
NULL = {"mean": None, "ci95": None, "tasks": 1000}


def scores(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [table for name, table in result.items() if name.startswith(("accuracy", "mse_by"))]


def diverged(app: str) -> dict[str, Any]:
    """A result.json without any finite score."""
    result = result_of(app)
    for table in scores(result):
        table.update(dict.fromkeys(table, NULL))
    return result


def diverged_rounds(app: str) -> list[dict[str, Any]]:
    score: dict[str, Any] = {"mse": None} if app == "sine" else {"accuracy": {"8": None}}
    return [
        {**line, "loss": None, **({"evaluation": score} if "evaluation" in line else {})}
        for line in rounds_of(app)
    ]


@APPS
def test_a_run_without_any_finite_score_has_a_page(app: str, tmp_path: Path) -> None:
    folder = writer(tmp_path)(app, result=diverged(app), rounds=diverged_rounds(app))
    page = write_report(folder).read_text("utf-8")

    assert page.count("<svg") == 3
    assert 'value="nan"' not in page
    assert "nan" not in page.split("<svg")[0]
    what = "a mean square error of \N{EN DASH} after" if app == "sine" else "of \N{EN DASH} after"
    assert what in page
    assert "the published" not in page.split("<ul")[0]  # nothing is better or worse than nothing


@APPS
def test_a_score_that_is_null_is_a_dash_in_the_terminal(app: str) -> None:
    console = Console(width=300, file=io.StringIO())
    with console.capture() as capture:
        console.print(result_table(diverged(app), settings_of(app)))
    line = next(line for line in capture.get().splitlines() if line.startswith("  8 "))

    assert re.split(" {2,}", line.strip())[2] == "\N{EN DASH}"
    assert "nan" not in capture.get()


@pytest.mark.parametrize("half", [{"mean": None}, {"ci95": None}])
def test_what_is_half_known_is_not_compared(half: dict[str, None]) -> None:
    result = result_of("characters")
    result["accuracy"]["8"].update(half)
    comparison = compare(result_from(Fields("", result)))

    assert difference(comparison.main, comparison.references[0]) is None


def test_the_scores_that_are_there_stay(tmp_path: Path) -> None:
    result = result_of("sine")
    result["mse_by_shots"]["8"] = NULL
    page = write_report(writer(tmp_path)("sine", result=result)).read_text("utf-8")

    assert '<data value="4.417">' in page
    assert '<data value="0.713">' in page


def test_numbers_of_older_runs_that_are_no_json_are_dashes_too(tmp_path: Path) -> None:
    result = result_of("sine")
    result["mse_by_shots"]["8"] = estimate(math.inf, math.nan)
    folder = writer(tmp_path)("sine", result=result)
    assert "Infinity" in (folder / "result.json").read_text()

    assert "a mean square error of \N{EN DASH} after" in write_report(folder).read_text("utf-8")


def test_a_loss_or_score_that_is_null_is_read_as_not_a_number(tmp_path: Path) -> None:
    rounds = read_run(writer(tmp_path)("characters", rounds=diverged_rounds("characters"))).rounds

    assert np.isnan(rounds.loss).all()
    assert [list(e.accuracy) for e in rounds.evaluations] == [[8]] * 5
    assert all(math.isnan(e.accuracy[8]) for e in rounds.evaluations)


def test_a_fine_tuning_that_diverged_is_drawn(tmp_path: Path) -> None:
    folder = writer(tmp_path)("sine")
    x, gone = np.linspace(-5, 5, 50), np.full(50, np.nan)
    gone[0] = np.inf
    path, y, few = folder / "example.npz", np.sin(x), x[:8]
    np.savez(path, x=x, truth=y, before=-y, after=gone, support_x=few, support_y=few)

    page = write_report(folder).read_text("utf-8")

    assert page.count("<svg") == 4
    assert "before, \N{EN DASH} after" in page


@pytest.mark.parametrize("value", ["much", True, [1.0]])
def test_a_score_that_is_neither_number_nor_null_is_refused(tmp_path: Path, value: object) -> None:
    result = result_of("characters")
    result["accuracy"]["8"]["mean"] = value
    with pytest.raises(StudyError, match=r"accuracy: 8: mean: expected a number or null, got"):
        write_report(writer(tmp_path)(result=json.loads(json.dumps(result))))


def test_a_score_that_is_missing_is_not_null(tmp_path: Path) -> None:
    result = result_of("characters")
    del result["accuracy"]["8"]["ci95"]
    with pytest.raises(StudyError, match="ci95: expected a number or null, got nothing"):
        write_report(writer(tmp_path)(result=result))
