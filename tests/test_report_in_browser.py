"""The report as a person opens it: in a real browser, from the disk, without a network."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from needed import go_without
from PIL import Image

from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.report import write_report
from tinyfleet.simulations.run import start

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> str:
    for name in NAMES:
        if found := shutil.which(name):
            return found
    return go_without(f"a browser: none of {', '.join(NAMES)}; apt-get install chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = {"app": "sine", "devices": 20, "rounds": 5, "tasks": 8, "validation_tasks": 8}
    folder = tmp_path_factory.mktemp("runs") / "run"
    start(complete(values, "test"), folder, "tinyfleet simulate", Machine(), lambda _: None)
    return write_report(folder)


def look(browser: str, page: Path, profile: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"),
        *(f"--user-data-dir={profile}", "--window-size=1000,1600", *more, page.as_uri()),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


def test_a_browser_shows_every_part_of_the_report(
    browser: str, report: Path, tmp_path: Path
) -> None:
    seen = look(browser, report, tmp_path, "--dump-dom")

    assert "CONSOLE" not in seen.stderr
    assert seen.stdout.count("<svg") >= 3
    assert seen.stdout.count("<table") >= 2
    assert "tinyfleet simulate" in seen.stdout


def test_the_report_is_no_blank_page(browser: str, report: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    look(browser, report, tmp_path / "profile", f"--screenshot={picture}")
    with Image.open(picture) as image:
        shades = np.asarray(image.convert("L"))

    assert shades.shape == (1600, 1000)
    assert len(np.unique(shades)) > 20
    assert (shades != shades[0, 0]).mean() > 0.02
