"""A report says what was communicated for its scores and for the published ones."""

from pathlib import Path
from typing import Any

import pytest
from finished_run import result_of, rounds_of, settings_of, writer

from tinyfleet.simulations.comparison import compare
from tinyfleet.simulations.limits import limits
from tinyfleet.simulations.report import headline, result_table
from tinyfleet.simulations.run_folder import Run, read_run

MILLION = 1_000_000
CURVE_15 = "Table 4 says nothing of communication. The published curve of TinyReptile (Figure 15)"


def run_of(folder: Path, app: str, sent: int, **replaced: Any) -> Run:
    """A run that communicated `sent` parameters, as many in each of its rounds."""
    rounds = rounds_of(app)
    for line in rounds:
        line["parameters_communicated"] = sent * line["round"] // len(rounds)
    result = {**result_of(app), "parameters_communicated": sent}
    return read_run(writer(folder)(app, **{"result": result, "rounds": rounds, **replaced}))


def said(run: Run) -> str:
    return "\n".join(limits(run, compare(run.result, run.settings)))


def first(run: Run) -> str:
    return headline(run.result, compare(run.result, run.settings))


@pytest.mark.parametrize(
    ("app", "sent", "end"),
    [
        ("characters", 19_000 * MILLION, "Table 4), and with 24 times the communication."),
        ("characters", 1_120 * MILLION, "Table 4), and with 1.4 times the communication."),
        ("characters", 801 * MILLION, "Table 4), and with a little more communication."),
        ("characters", 800 * MILLION, "Table 4)."),
        ("characters", 3 * MILLION, "Table 4)."),
        ("sine", 461 * MILLION, "Figure 9), but with 84 times the communication."),
        ("sine", 5_499_810, "Figure 9)."),
    ],
)
def test_the_headline_says_when_more_was_communicated_than_published(
    app: str, sent: int, end: str, tmp_path: Path
) -> None:
    assert first(run_of(tmp_path, app, sent)).endswith(end)


@pytest.mark.parametrize(("mean", "word"), [(99.0, "but"), (91.4, "but"), (50.0, "and")])
def test_more_communication_is_said_whatever_the_verdict(
    mean: float, word: str, tmp_path: Path
) -> None:
    result = {**result_of("characters"), "parameters_communicated": 8_000 * MILLION}
    result["accuracy"]["8"]["mean"] = mean
    run = run_of(tmp_path, "characters", 8_000 * MILLION, result=result)

    assert first(run).endswith(f"(printed, Table 4), {word} with 10 times the communication.")


def test_the_terminal_says_it_beside_the_column() -> None:
    result = {**result_of("characters"), "parameters_communicated": 19_000 * MILLION}
    caption = str(result_table(result, settings_of("characters")).caption)

    assert "Table 4) (ours with 24 times the communication); Reptile 2018" in caption


def test_accuracies_have_both_figures_and_our_score_within_the_budget(tmp_path: Path) -> None:
    text = said(run_of(tmp_path, "characters", 1_900 * MILLION))

    assert f"{CURVE_15} ends at 91.3 % after 800 million parameters were communicated" in text
    assert "ours were judged after 1,900 million, 2.4 times as many" in text
    assert (  # rounds 10, 20 and on are evaluated; after 20 of 50 it is 760 million
        "our learning curve is last at 40.0 %, after 760 million: validation tasks, one pass over "
        "8 shots of each class." in text
    )


def test_errors_have_both_figures_and_our_score_within_the_budget(tmp_path: Path) -> None:
    text = said(run_of(tmp_path, "sine", 11 * MILLION))

    assert "curve of TinyReptile (Figure 9) ends at 0.41 after 5.5 million" in text
    assert "ours were judged after 11 million, 2 times as many" in text
    assert "last at 0.200, after 4.4 million: validation tasks, one pass." in text


def test_a_learning_curve_that_starts_beyond_the_budget_is_left_out(tmp_path: Path) -> None:
    text = said(run_of(tmp_path, "characters", 19_000 * MILLION))

    assert "ours were judged after 19,000 million, 24 times as many." in text
    assert "Within that budget" not in text


def test_scores_that_were_not_finite_are_passed_over(tmp_path: Path) -> None:
    rounds = rounds_of("characters")
    rounds[-1]["evaluation"] = {"accuracy": {"8": None}}
    text = said(run_of(tmp_path, "characters", 2_870_900, rounds=rounds))

    assert "last at 60.0 %, after 2.3 million" in text


def test_a_curve_of_other_shots_says_of_how_many(tmp_path: Path) -> None:
    rounds = rounds_of("characters")
    rounds[-1]["evaluation"] = {"accuracy": {"1": 41.0, "4": 52.5}}
    text = said(run_of(tmp_path, "characters", 2_870_900, rounds=rounds))

    assert "last at 52.5 %, after 2.87 million: validation tasks, one pass over 4 shots" in text


def test_as_much_communication_is_called_so(tmp_path: Path) -> None:
    assert "ours were judged after 5.5 million, about as many." in said(
        run_of(tmp_path, "sine", 5_499_810)
    )


def test_other_data_are_not_weighed_against_the_published_budget(tmp_path: Path) -> None:
    settings = settings_of("characters")
    settings["data"]["test"] = "scikit-learn's digits"
    run = run_of(tmp_path, "characters", 19_000 * MILLION, settings=settings)

    assert "Figure 15" not in said(run)
    assert "communication" not in first(run)


def test_what_has_no_published_budget_is_not_weighed(tmp_path: Path) -> None:
    settings, result = settings_of("characters"), result_of("characters")
    settings["study"]["ways"] = 20  # only Reptile 2018 has 20 ways, and no communication
    result["parameters_communicated"] = 19_000 * MILLION
    run = run_of(tmp_path, "characters", 19_000 * MILLION, settings=settings, result=result)

    assert "parameters were communicated" not in said(run)
    assert "communication" not in first(run)
