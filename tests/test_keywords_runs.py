"""What the page on keywords says is so: its study files run, and its figures are the table's."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tinyfleet.errors import DatasetError
from tinyfleet.simulations import run
from tinyfleet.simulations.assemble import Machine, assemble
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.study import read_study_file

DOCS = Path(__file__).parent.parent / "docs"
GOOGLE, ARABIC = "gsc_v1_30words_16k.flac", "keywords_mfcc49x10.npz"
STUDIES = re.findall(r"```toml\n(.*?)```", (DOCS / "keywords.md").read_text("utf-8"), re.DOTALL)
SMALL = {
    "rounds": 2,
    "evaluations": 1,
    "tasks": 8,
    "validation_tasks": 4,
    "passes": [],
    "rates": [],
}


@pytest.mark.parametrize("text", STUDIES)
def test_the_study_files_of_the_page_run(text: str, data_folder: Path, tmp_path: Path) -> None:
    for name in (GOOGLE, ARABIC, f"{Path(GOOGLE).stem}_index.npz"):
        (tmp_path / name).symlink_to(data_folder / name)
    (tmp_path / "study.toml").write_text(text)
    values = {"data": str(data_folder / ARABIC), **read_study_file(tmp_path / "study.toml")}
    study = complete({**values, **SMALL}, "study.toml")

    run.start(study, tmp_path / "run", "", Machine(1), lambda _: None)

    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [int(shots) for shots in result["accuracy"]] == list(study.shots)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {},
            r"keywords\.support: expected support and query of at most 0 .*got 8 \+ 0 .*train part",
        ),
        ({"speakers": 1, "support": 1, "shots": (0, 2)}, r"keywords\.shots: .*validation part"),
        ({"across": True}, r"keywords\.support: expected at most 3 takes .*got 8 .*train part"),
        ({"across": True, "support": 1, "query": 9}, r"keywords\.query: .* got 9 .*train part"),
        (
            {"across": True, "support": 3, "shots": (0, 2)},
            r"keywords\.shots: .* got 2 .*validation",
        ),
        ({"across": True, "support": 3}, r"keywords\.ways: expected at most 3 .*got 4 .*test part"),
    ],
    ids=["plain", "alone", "support", "query", "shots", "ways"],
)
def test_a_refusal_names_the_key_that_is_too_large_and_the_part(
    data_folder: Path, values: dict[str, Any], message: str
) -> None:
    strategy = "tinymetafed" if "query" in values else "tinyreptile"
    asked = {"app": "keywords", "strategy": strategy, "shots": (0, 1)}
    study = complete({**asked, "data": str(data_folder / GOOGLE), **values}, "study")

    with pytest.raises(DatasetError, match=message):
        assemble(study, Machine(1))


@pytest.mark.parametrize("setting", ["one speaker", "across speakers"])
def test_the_reference_of_the_page_is_that_of_the_table(setting: str) -> None:
    table = (DOCS / "reproduce.md").read_text("utf-8")
    (row,) = re.findall(
        rf"^\| 5-way, {setting}, nearest class mean \| 1 shot, % \| ([\d.]+) ± ([\d.]+) .*\n"
        r"\| +\| 5 shots, % \| ([\d.]+) ± ([\d.]+) ",
        table,
        re.MULTILINE,
    )
    name = setting.replace("one", "within one")

    one, one_ci, five, five_ci = (f"{float(number):.1f}" for number in row)

    told = f"| {name} | {one} ± {one_ci} % | {five} ± {five_ci} % |"
    assert told in (DOCS / "keywords.md").read_text("utf-8")
