"""The boards and models that SeLoC-ML published, for the tests that need them."""

import os
from pathlib import Path

import pytest
from needed import go_without

BASE = "https://w3id.org/tinyml-schema/published/"
"""What the published files' relative IRIs, such as `<None>`, are taken relative to."""


@pytest.fixture(scope="session")
def seloc() -> Path:
    """The folder of the published data, beside the folder that TINYFLEET_DATA names."""
    named = os.environ.get("TINYFLEET_DATA")
    if named:
        folder = Path(named).parent / "reference" / "seloc-ml"
        if folder.is_dir():
            return folder
    return go_without(f"SeLoC-ML's data: no reference/seloc-ml beside TINYFLEET_DATA ({named!r})")
