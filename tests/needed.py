"""What a test does without something that it needs."""

import os
from typing import NoReturn

import pytest

from tinyfleet.server.mosquitto import find_mosquitto


def go_without(missing: str) -> NoReturn:
    """Skip the test and name what is missing; fail it in CI, where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def mosquitto_program() -> str:
    """Return Mosquitto's program."""
    return find_mosquitto() or go_without("no mosquitto: apt-get install mosquitto")
