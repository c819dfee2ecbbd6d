"""A finished run becomes a page that is whole, honest and harmless."""

import io
import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from finished_run import Write, result_of, rounds_of, settings_of, writer
from rich.console import Console

from tinyfleet.errors import StudyError
from tinyfleet.simulations.comparison import compare, difference
from tinyfleet.simulations.fields import Fields
from tinyfleet.simulations.plots import POINTS, plots_of, thinned
from tinyfleet.simulations.report import result_table, size, write_report
from tinyfleet.simulations.run_folder import read_run, result_from

VOID = {"meta", "link", "br", "img", "input", "hr"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a run folder; keyword arguments replace what would stand in it."""
    return writer(tmp_path)


class Page(HTMLParser):
    """What a browser would find: tags in order, cells and exact numbers of tables, open tags."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.numbers: list[float] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "data":
            self.numbers.append(float(dict(attrs)["value"] or "nan"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for found, attrs in self.tags if found == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The page of an ordinary run of each app."""
    folders = {app: writer(tmp_path_factory.mktemp(app))(app) for app in ("characters", "sine")}
    return {app: write_report(folder).read_text("utf-8") for app, folder in folders.items()}


def page_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def numbers_in(value: object) -> set[float]:
    if isinstance(value, dict):
        return {n for inner in value.values() for n in numbers_in(inner)}
    return {float(value)} if isinstance(value, int | float) else set()


APPS = pytest.mark.parametrize("app", ["characters", "sine"])


@APPS
def test_the_page_is_balanced_and_names_its_language(app: str, html: dict[str, str]) -> None:
    page = Page(html[app])
    assert page.open == []
    assert page.attributes("html") == [{"lang": "en"}]


@APPS
def test_the_page_needs_nothing_from_outside(app: str, html: dict[str, str]) -> None:
    page = Page(html[app])
    tags = {tag for tag, _ in page.tags}
    assert tags.isdisjoint({"script", "link", "iframe", "img", "object", "embed", "base"})
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import", html[app])


@APPS
def test_every_number_of_the_result_is_in_a_table(app: str, html: dict[str, str]) -> None:
    result = result_of(app)
    page = Page(html[app])
    expected = {
        n
        for key in result
        if key not in ("rounds", "devices", "seed")
        for n in numbers_in(result[key])
    }
    assert expected <= set(page.numbers)


def test_rounds_and_devices_are_in_the_headline(html: dict[str, str]) -> None:
    text = " ".join(Page(html["characters"]).text)
    assert "1,234 simulated devices learned a network of 28,709 parameters in 50 rounds" in text
    assert "90.9 % (± 0.2) after fine-tuning on 8 shots of each class" in text


@APPS
def test_ids_are_unique_and_every_reference_has_its_target(app: str, html: dict[str, str]) -> None:
    page = Page(html[app])
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', html[app]))
    assert used
    assert {a or b for a, b in used} <= set(ids)


@APPS
def test_plots_are_described_and_table_headers_have_a_scope(app: str, html: dict[str, str]) -> None:
    page = Page(html[app])
    described = [a for a in page.attributes("div") if a.get("role") == "img"]
    assert len(described) == len(page.attributes("svg")) == 3
    assert all(len(a["aria-label"] or "") > 20 for a in described)
    assert all("scope" in a for a in page.attributes("th"))


@APPS
def test_plots_are_well_formed_xml_with_text_that_can_be_read(app: str, write: Write) -> None:
    run = read_run(write(app))
    plots = plots_of(run, compare(run.result, run.settings))
    assert [plot.name for plot in plots] == ["shots", "learning", "communication"]
    for plot in plots:
        root = ET.fromstring(plot.svg)
        texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not any("$" in (text or "") for text in texts)


def test_published_curves_say_where_they_are_from(html: dict[str, str]) -> None:
    text = " ".join(Page(html["characters"]).text)
    assert "TinyReptile, TECS 2024 (printed, Table 4)" in text
    assert "TinyMetaFed, TECS 2024 (read off Figure 15)" in text


def test_the_same_run_gives_the_same_page(write: Write, html: dict[str, str]) -> None:
    assert write_report(write("sine")).read_text("utf-8") == html["sine"]


def test_hostile_names_are_only_text(write: Write) -> None:
    evil = "<script>alert('$x')</script>&\"[bold]"
    result, settings = result_of("characters"), settings_of("characters")
    result["app"] = result["strategy"] = result["weights_sha256"] = evil
    settings["command"] = settings["study"]["strategy"] = settings["network"]["name"] = evil
    settings["study"][evil] = {evil: [evil]}
    settings["data"]["train"] = evil
    page = page_of(write(result=result, settings=settings))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "".join(page.text).count(evil) >= 8
    shown = page_text(result_table(result, settings))
    assert "".join(evil.split()) in "".join(shown.split())  # a long title is wrapped


def page_text(renderable: object) -> str:
    console = Console(width=300, file=io.StringIO())
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.mark.parametrize(
    ("shots", "gap", "verdict"),
    [(0, -0.5, ""), (1, 9.13, "better"), (4, 0.1, "even"), (8, -0.5, "worse")],
)
def test_accuracies_are_compared_with_table_4(shots: int, gap: float, verdict: str) -> None:
    comparison = compare(result_from(Fields("", result_of("characters"))))
    row = next(row for row in comparison.groups[0][1] if row.shots == shots)
    found = difference(row, comparison.references[0])
    assert found == pytest.approx(gap)
    assert comparison.verdict(row, gap) == verdict


def test_one_pass_is_compared_apart(html: dict[str, str]) -> None:
    page = Page(html["characters"])
    assert any(math.isclose(n, 65.17 - 58.3) for n in page.numbers)
    assert any(math.isclose(n, 67.43 - 58.3) for n in page.numbers)


def test_less_error_is_better() -> None:
    comparison = compare(result_from(Fields("", result_of("sine"))))
    row, reference = comparison.main, comparison.references[0]
    gap = difference(row, reference)
    assert gap == pytest.approx(0.1418 - 0.41)
    assert comparison.verdict(row, gap or 0) == "better"


def test_a_mean_is_not_compared_with_a_single_sine() -> None:
    comparison = compare(result_from(Fields("", result_of("sine"))))
    single = comparison.references[1]
    assert single.values == {0: 7.17, 8: 0.131}
    assert difference(comparison.main, single) is None


def test_other_data_than_the_papers_are_not_compared(write: Write) -> None:
    settings = settings_of("characters")
    settings["data"]["test"] = "scikit-learn's digits; no file in /data/Omniglot; test part"
    page = page_of(write(settings=settings))
    assert not any(math.isclose(n, 90.9 - 91.4) for n in page.numbers)
    assert "This run was judged on other data, unlike those of the papers" in " ".join(page.text)


@pytest.mark.parametrize(
    ("train", "test", "across", "told"),
    [
        ("Arabic Speech Commands", "Google Speech Commands", False, "trained on other data"),
        ("Google Speech Commands", "Arabic Speech Commands", False, "judged on other data"),
        (
            *("Google Speech Commands", "Google Speech Commands", True),
            "judged on other people than it learned from",
        ),
        (
            *("Arabic Speech Commands", "Google Speech Commands", True),
            "trained on other data and judged on other people than it learned from",
        ),
    ],
)
def test_other_training_data_or_other_people_are_not_compared(
    train: str, test: str, across: bool, told: str, write: Write
) -> None:
    settings, result = settings_of("keywords"), result_of("keywords")
    settings["study"] = {**settings["study"], "ways": 4, "across": across}
    settings["data"] = {"train": train, "validation": train, "test": test}
    text = page_text(result_table(result, settings))
    page = page_of(write("keywords", settings=settings, result=result))

    assert "61.7" in text
    assert "gap" not in text
    said = f"This run was {told}, unlike those of the papers, so no differences are given."
    assert said in " ".join(page.text)
    assert {a.get("class") for a in page.attributes("td")}.isdisjoint({"better", "worse", "even"})


def test_the_papers_own_data_and_way_of_asking_are_compared() -> None:
    settings = settings_of("keywords")
    settings["study"]["ways"] = 4
    settings["data"] = dict.fromkeys(settings["data"], "Google Speech Commands archive")

    assert "+5.7" in page_text(result_table(result_of("keywords"), settings))  # 67.4, 61.7


def test_columns_say_whose_scores_they_are_and_which() -> None:
    result = {**result_of("sine"), "strategy": "flower-krum"}
    table = result_table(result, settings_of("sine"))

    assert [column.header for column in table.columns][3:] == [
        "TinyReptile,\nTECS 2024,\nFigure 9",
        "gap",
        "TinyReptile,\nTECS 2024,\na single sine",
    ]


def test_the_tiles_say_whose_scores_they_are(write: Write) -> None:
    result = {**result_of("sine"), "strategy": "fomaml"}
    page = write_report(write("sine", result=result)).read_text("utf-8")

    assert "TinyReptile, TECS 2024: 0.41</small>" in page


def test_chance_is_neither_better_nor_worse(write: Write) -> None:
    result = result_of("characters")
    for name in ("accuracy", "accuracy_one_pass"):
        result[name] = {"0": {"mean": 20.0, "ci95": 0.1, "tasks": 1000}}
    result["passes"] = {"0": 1}
    page = page_of(write(result=result))

    assert not [a for a in page.attributes("td") if a.get("class") in ("better", "worse", "even")]
    assert "the published" not in "".join(page.text).split("Results")[0]


def test_settings_that_the_study_does_not_read_are_left_out(write: Write) -> None:
    settings = settings_of("sine")
    settings["study"].update(room="", light=False, speakers=1, setting="tecs2024", share=1.0)
    page = write_report(write("sine", settings=settings)).read_text("utf-8")
    listed = set(re.findall("<dt><code>(.*?)</code></dt>", page))

    assert {"setting", "devices", "training.rate"} <= listed
    assert listed.isdisjoint({"ways", "room", "light", "speakers", "share", "data"})


@pytest.mark.parametrize(
    ("typed", "again"),
    [
        ("tinyfleet simulate sine --out runs/s1 --seed 7", "tinyfleet simulate sine --seed 7"),
        ("tinyfleet simulate sine '--out=my runs/s1'", "tinyfleet simulate sine"),
        ("tinyfleet simulate 'my study.toml'", "tinyfleet simulate 'my study.toml'"),
    ],
)
def test_the_command_to_run_again_takes_a_new_folder(typed: str, again: str, write: Write) -> None:
    settings = {**settings_of("sine"), "command": typed}
    assert read_run(write("sine", settings=settings)).command == again


def test_other_ways_than_the_paper_leave_its_table_out() -> None:
    settings = settings_of("characters")
    settings["study"]["ways"] = 20
    result = result_from(Fields("", result_of("characters")))
    references = compare(result, Fields("", settings)).references
    assert [(r.source.paper, r.values[1]) for r in references] == [("Reptile 2018", 88.14)]


def test_an_app_without_published_numbers_has_a_page_all_the_same(write: Write) -> None:
    result = {**result_of("characters"), "app": "gestures"}
    page = page_of(write(result=result))
    assert 67.43 in page.numbers


def test_the_terminal_shows_ours_beside_published() -> None:
    text = page_text(result_table(result_of("characters"), settings_of("characters")))
    line = next(line for line in text.splitlines() if "1 shot " in line)
    cells = re.split(" {2,}", line.strip())
    assert cells == ["1 shot", "3", "67.4 ± 0.7", "58.3", "+9.1", "95.39", "\N{MINUS SIGN}28.0"]


@pytest.mark.parametrize("name", ["run.json", "rounds.jsonl", "result.json"])
def test_a_missing_file_is_named(name: str, write: Write) -> None:
    folder = write()
    (folder / name).unlink()
    with pytest.raises(StudyError, match=re.escape(name)) as error:
        write_report(folder)
    assert "\n" not in str(error.value)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("name", ["run.json", "rounds.jsonl", "result.json"])
def test_a_cut_file_is_refused(name: str, write: Write) -> None:
    folder = write()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(StudyError, match=re.escape(name)) as error:
        write_report(folder)
    assert "\n" not in str(error.value)


def test_a_damaged_round_is_named_by_its_line(write: Write) -> None:
    rounds = rounds_of("characters")
    rounds[4]["round"] = "five"
    with pytest.raises(StudyError, match=r'line 5: round: expected a whole number.*"five"'):
        write_report(write(rounds=rounds))


@pytest.mark.parametrize("key", ["parameters", "passes", "weights_sha256", "accuracy_one_pass"])
def test_a_missing_field_is_named(key: str, write: Write) -> None:
    result = result_of("characters")
    del result[key]
    with pytest.raises(StudyError, match=rf"result\.json.*{key}.*got nothing"):
        write_report(write(result=result))


def test_a_result_without_scores_is_refused(write: Write) -> None:
    with pytest.raises(StudyError, match="accuracy: expected some shots"):
        write_report(write(result={**result_of("characters"), "accuracy": {}}))


@pytest.mark.parametrize(("app", "count"), [("characters", 0), ("characters", 1), ("sine", 1)])
def test_a_short_run_has_a_page(app: str, count: int, write: Write) -> None:
    page = page_of(write(app, rounds=rounds_of(app, count)))
    assert page.open == []


def test_a_fine_tuned_sine_is_drawn_when_it_is_there(write: Write) -> None:
    folder = write("sine")
    x = np.linspace(-5, 5, 50)
    y = np.sin(x)
    np.savez(
        folder / "example.npz", x=x, truth=y, before=-y, after=y, support_x=x[:8], support_y=y[:8]
    )
    page = page_of(folder)
    assert len(page.attributes("svg")) == 4
    assert "before and after fine-tuning on 8 points" in " ".join(page.text)


def test_an_example_that_lacks_arrays_is_refused(write: Write) -> None:
    folder = write("sine")
    np.savez(folder / "example.npz", x=np.zeros(3))
    with pytest.raises(StudyError, match=r"example\.npz: expected arrays x, truth"):
        write_report(folder)


def test_many_rounds_are_thinned_to_means_of_neighbours() -> None:
    number, values = np.arange(1.0, 50_001.0), np.tile([1.0, 3.0], 25_000)
    values[:2] = np.nan
    centre, mean, low, high = thinned(number, values)
    assert len(centre) <= POINTS
    assert np.all(np.diff(centre) > 0)
    assert mean[1:].tolist() == pytest.approx([2.0] * (len(mean) - 1), abs=0.03)
    assert np.all((low <= mean) & (mean <= high))


def test_few_rounds_are_shown_as_they_are() -> None:
    values = np.array([3.0, np.nan, 2.0])
    centre, mean, _, _ = thinned(np.array([1.0, 2.0, 3.0]), values)
    assert centre.tolist() == [1.0, 3.0]
    assert mean.tolist() == [3.0, 2.0]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (4990, "4.99 kB"), (999_600, "1.00 MB"), (919e6, "919 MB")],
)
def test_bytes_are_written_with_three_digits(count: float, text: str) -> None:
    assert size(count).replace("\N{NO-BREAK SPACE}", " ") == text
