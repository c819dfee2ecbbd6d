"""What several tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data that TINYFLEET_DATA names; without it a test is skipped, not in CI."""
    named = os.environ.get("TINYFLEET_DATA")
    if named and Path(named).is_dir():
        return Path(named)
    missing = f"real data: TINYFLEET_DATA names no folder (got {named!r})"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
