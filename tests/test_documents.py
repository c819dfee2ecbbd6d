"""Documents say what is so: their studies and networks load, their files exist, nothing is open."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyfleet import errors
from tinyfleet.client.gateway import read_gateway
from tinyfleet.description import network_from_toml
from tinyfleet.layers import LAYERS
from tinyfleet.network import LOSSES
from tinyfleet.simulations.applications import APPLICATIONS
from tinyfleet.simulations.assemble import load_study_network
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.strategies import STRATEGIES
from tinyfleet.simulations.study import read_study_file

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = {p.name for p in ROOT.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
SIMULATE = ROOT / "docs" / "simulate.md"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def toml_of_documents() -> Iterator[tuple[str, str]]:
    """Yield a name and a text for each TOML block of a page, and each TOML file beside them."""
    for page in PAGES:
        blocks = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        for number, block in enumerate(blocks, 1):
            yield f"{page.name} block {number}", block
    for path in sorted((ROOT / "docs").rglob("*.toml")):
        yield str(path.relative_to(ROOT)), path.read_text("utf-8")


TOML = list(toml_of_documents())


@pytest.mark.parametrize(("name", "text"), TOML, ids=[name for name, _ in TOML])
def test_a_study_network_or_gateway_in_a_document_loads(
    name: str, text: str, tmp_path: Path
) -> None:
    values = tomllib.loads(text)

    if "layer" in values:
        assert network_from_toml(text, name).parameters > 0
    elif "device" in values:
        (tmp_path / "gateway.toml").write_text(text)
        assert len(read_gateway(tmp_path / "gateway.toml").devices) == len(values["device"])
    else:
        assert complete(values, name).app == values["app"]


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("simulations/studies/*.toml")), ids=lambda p: p.name
)
def test_a_study_file_beside_the_documents_finds_its_network(path: Path) -> None:
    values = read_study_file(path)

    if "app" in values:
        assert load_study_network(complete(values, path.name)).parameters > 0


def test_the_documents_show_a_study_and_a_network() -> None:
    shown = [tomllib.loads(text) for name, text in TOML if name.startswith(SIMULATE.name)]

    assert [("app" in values, "layer" in values) for values in shown] == [
        (True, False),
        (False, True),
    ]


def test_two_boards_learn_after_four_commands_of_the_readme() -> None:
    section = (ROOT / "README.md").read_text("utf-8").partition("## Two boards")[2]
    commands = section.split("```")[1].strip().splitlines()
    (config,) = re.findall(r"--config (\S+)", section)
    gateway = read_gateway(ROOT / config)
    trained = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["flwr"]["app"]

    assert len(commands) <= 4
    assert shlex.split(commands[-1])[-2:] == ["--run-config", 'folder="runs/first"']
    assert [(table.kind, len(table.members)) for table in gateway.devices] == [("emulated", 2)]
    assert gateway.network.name == trained["config"]["network"]


def named_files(page: Path) -> Iterator[Path]:
    """Yield the files of this repository that a page links to or names."""
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            yield page.parent / target.partition("#")[0]
    for name in re.findall(r"(?<![\w./:-])docs/[\w./-]*[\w/]", text):
        yield ROOT / name
    for name in re.findall(r"`([\w./-]+)`", text):
        first, slash, _ = name.partition("/")
        if (slash and first in FOLDERS | {"tests", "docs"}) or re.fullmatch(r"[A-Z]+\.md", name):
            yield ROOT / name


@each_page
def test_every_file_that_a_document_names_exists(page: Path) -> None:
    assert [str(path) for path in named_files(page) if not path.exists()] == []


def test_files_are_found_in_links_and_in_text(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#part) [b](https://x.org/docs/c.md) [d](#here) see docs/e.md, `core/f.py`.\n"
        "`README.md` `run.json` `docs/g/`\n```\nrun docs/h.toml\n```\n"
    )

    names = {str(path.relative_to(tmp_path if tmp_path in path.parents else ROOT)): None
             for path in named_files(page)}  # fmt: skip

    assert list(names) == [
        "other.md",
        "docs/e.md",
        "docs/g",
        "docs/h.toml",
        "core/f.py",
        "README.md",
    ]


def placeholders(text: str) -> list[str]:
    """Return what a writer left to be filled in: a word in capitals alone on its line, or TODO."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    alone = re.findall(r"^[\s<>*_\[(]*([A-Z]{2,})[\s<>*_\]).:]*$", prose, re.MULTILINE)
    return alone + re.findall(r"\b(?:TODO|TBD|FIXME|XXX)\b", text)


@each_page
def test_no_placeholder_is_left(page: Path) -> None:
    assert placeholders(page.read_text("utf-8")) == []


@pytest.mark.parametrize("text", ["a\n\nRESULTS\n\nb", "**TABLE**", "as fast as TBD", "# TODO"])
def test_a_placeholder_is_noticed(text: str) -> None:
    assert placeholders(text) != []


@pytest.mark.parametrize(
    "text", ["# MIT licence", "The RESULTS are in.", "```\nEND\n```", "- MQTT, QoS 1"]
)
def test_words_in_capitals_are_no_placeholders_in_a_sentence(text: str) -> None:
    assert placeholders(text) == []


def cells(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading of the page on simulations."""
    section = SIMULATE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def test_the_strategies_are_those_that_there_are() -> None:
    named = [re.findall(r"`([^`]+)`", row[0]) for row in cells("Strategies")]

    assert sorted(name for names in named for name in names) == sorted(STRATEGIES)


def test_the_applications_are_those_that_there_are() -> None:
    assert [row[0].strip("`") for row in cells("Applications")] == list(APPLICATIONS)


def test_the_default_strategies_are_called_so() -> None:
    told = {
        re.findall(r"`([^`]+)`", row[0])[0]: row[1]
        for row in cells("Strategies")
        if "default" in row[1]
    }

    assert set(told) == {one.strategy for one in APPLICATIONS.values()}
    for app, one in APPLICATIONS.items():
        assert f"on `{app}`" in told[one.strategy].partition("the default")[2]


def test_as_many_devices_are_asked_as_the_table_says() -> None:
    told = {re.findall(r"`([^`]+)`", row[0])[0]: row[1] for row in cells("Strategies")}
    one, some = told["tinyreptile"].split("; ")[1].split(", ", 1)
    said = dict.fromkeys(re.findall(r"`(\w+)`", one), 1)
    said |= {app: int(n) for n, app in re.findall(r"(\d+) (?:in parallel )?on `(\w+)`", some)}

    assert one.startswith("one device a round on")
    assert "every device every round" in told["tinyreptile-parallel"]
    for app in APPLICATIONS:
        assert complete({"app": app, "strategy": "tinyreptile"}, app).per_round == said[app]
        assert complete({"app": app, "strategy": "tinyreptile-parallel"}, app).per_round == 0


def test_the_layers_and_losses_are_those_that_there_are() -> None:
    text = SIMULATE.read_text("utf-8")
    kinds = re.findall(r"^Kinds: (.*)\.$", text, re.MULTILINE)[0].split(", ")
    losses = re.findall(r"^Losses: (.*)\.$", text, re.MULTILINE)[0].split(", ")

    assert sorted(kinds) == sorted(LAYERS)
    assert sorted(losses) == sorted(LOSSES)


def test_the_exit_codes_are_those_of_the_errors() -> None:
    told = SIMULATE.read_text("utf-8").partition("## Exit codes\n")[2]

    for name, error in vars(errors).items():
        if name.endswith("Error") and name != "FleetError":
            word = {"DatasetError": "data"}.get(name, name.removesuffix("Error").lower())
            assert f"{error.exit_code} {word}" in told
