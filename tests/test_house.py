"""The house stays in order: imports, public names, examples, what is installed, the wheel."""

import ast
import doctest
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinyfleet

ROOT = Path(__file__).parent.parent
PARTS = {
    "core": "tinyfleet",
    "server": "tinyfleet.server",
    "client": "tinyfleet.client",
    "ontology": "tinyfleet.ontology",
    "simulations": "tinyfleet.simulations",
}
MAY_IMPORT = {
    "core": {"core"},
    "ontology": {"core", "ontology"},
    "client": {"core", "client"},
    "server": {"core", "ontology", "server"},
    "simulations": set(PARTS),
}
FLOWER = {
    "server/app.py",
    "server/deployment.py",
    "server/flowers_own.py",
    "server/grid.py",
    "server/strategy.py",
    "client/app.py",
    "client/flower_app.py",
    "simulations/bench/flower_peer.py",
}


def sources(part: str) -> list[Path]:
    return [p for p in sorted((ROOT / part).rglob("*.py")) if "kernel" not in p.parts]


def module_name(path: Path) -> str:
    part, *rest = path.relative_to(ROOT).with_suffix("").parts
    names = [PARTS[part], *rest]
    return ".".join(n for n in names if n != "__init__")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.add(node.module or "")
    return names


def part_of(module: str) -> str | None:
    """Return the folder that a tinyfleet module lies in."""
    if module.split(".")[0] != "tinyfleet":
        return None
    second = module.split(".")[1] if "." in module else ""
    return second if second in PARTS else "core"


ALL = [path for part in PARTS for path in sources(part)]


@pytest.mark.parametrize("part", PARTS)
def test_imports_point_inward(part: str) -> None:
    for path in sources(part):
        reached = {p for name in imported(path) if (p := part_of(name))}
        assert reached <= MAY_IMPORT[part], path


def test_flower_is_imported_at_its_seams_alone() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in ALL
        if any(name.split(".")[0] == "flwr" for name in imported(path))
    }
    assert users <= FLOWER


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_written_is_installed(path: Path) -> None:
    found = importlib.util.find_spec(module_name(path))
    assert found is not None, "a new module: run `make install`"
    assert found.origin is not None
    assert Path(found.origin).resolve() == path.resolve()


def test_public_names_are_exact_and_sorted() -> None:
    names = {n for n in vars(tinyfleet) if not n.startswith("_")}
    modules = {n for n in names if type(getattr(tinyfleet, n)).__name__ == "module"}
    assert names - modules == set(tinyfleet.__all__)
    assert tinyfleet.__all__ == sorted(
        tinyfleet.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n)
    )


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_in_docstrings_run(path: Path) -> None:
    result = doctest.testmod(importlib.import_module(module_name(path)))
    assert result.failed == 0


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name
)
def test_examples_in_documents_run(page: Path, tmp_path: Path) -> None:
    for block in python_blocks(page):
        subprocess.run([sys.executable, "-c", block], check=True, cwd=tmp_path, timeout=120)


def test_the_readme_has_an_example_of_twenty_lines() -> None:
    blocks = python_blocks(ROOT / "README.md")
    assert blocks
    assert len(blocks[0].strip().splitlines()) <= 20


def test_files_and_functions_stay_small() -> None:
    for path in ALL:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, (path, node.name)


def test_an_edge_box_loads_no_server() -> None:
    code = "import sys, tinyfleet, tinyfleet.client; print(*(m.split('.')[0] for m in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert not {"flwr", "torch", "ray", "rdflib", "matplotlib"} & set(loaded.stdout.split())


def test_the_wheel_works_from_another_directory(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    code = (
        "import tinyfleet, sys; from tinyfleet.cli import main; "
        "assert tinyfleet.__file__.startswith(sys.argv.pop(1)); main()"
    )
    arguments = [
        "simulate",
        "sine",
        "--rounds",
        "2",
        "--devices",
        "5",
        "--tasks",
        "4",
        "--out",
        "run",
    ]
    subprocess.run(
        [sys.executable, "-c", code, str(site), *arguments],
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(site), "PATH": ""},
    )
    assert (tmp_path / "run" / "report.html").is_file()
    assert (tmp_path / "run" / "weights.npy").is_file()


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "format", "--check", "."),
        ("ruff", "check", "."),
        ("mypy", "-p", "tinyfleet"),
        ("mypy", "tests"),
    ],
    ids=" ".join,
)
def test_checks_find_nothing(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
