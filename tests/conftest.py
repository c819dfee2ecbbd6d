"""What several tests share."""

import os
from pathlib import Path

import pytest

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
    missing = f"real data: TINYFLEET_DATA names no folder (got {named!r})"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
