"""What several tests share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from needed import go_without
from seloc import seloc as seloc

# Before anything imports Flower or Ray: no reports home, no look for updates.
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real data, where TINYFLEET_DATA says; without it a test is skipped, and fails in CI."""
    named = os.environ.get("TINYFLEET_DATA")
    if named and Path(named).is_dir():
        return Path(named)
    return go_without(f"real data: TINYFLEET_DATA names no folder (got {named!r})")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built once."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    root = Path(__file__).parent.parent
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, root], check=True
    )
    (built,) = folder.glob("*.whl")
    return built
