"""Official descriptions go in and come back as they were."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from directories import Asked, directory

EXAMPLES = sorted((Path(__file__).parent / "data" / "things").glob("*.td.json"))
DISCOVERY = "https://www.w3.org/2022/wot/discovery"


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    with directory() as client:
        yield client


def bare(found: dict[str, Any]) -> dict[str, Any]:
    """Return a retrieved description without what the directory adds to it."""
    context = [part for part in found["@context"] if part != DISCOVERY]
    return {k: v for k, v in found.items() if k != "registration"} | {"@context": context}


def listed(described: dict[str, Any]) -> dict[str, Any]:
    context = described["@context"]
    return described | {"@context": context if isinstance(context, list) else [context]}


def test_the_recommendations_whole_descriptions_are_here() -> None:
    assert len(EXAMPLES) == 19


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_official_example_comes_back_as_it_was(asked: Asked, path: Path) -> None:
    described = json.loads(path.read_text(encoding="utf-8"))
    answer = asked.put(described) if "id" in described else asked.post(described)

    assert answer.status_code in (201, 204), answer.text
    place = answer.headers.get("location", f"/things/{described.get('id')}")
    found = bare(asked("GET", place).json())
    assert {k: v for k, v in found.items() if k != "id" or "id" in described} == listed(described)
    kept = [key for key in found if key in described]
    assert kept == list(described), "in the same order"


def test_what_is_got_can_be_put_again(asked: Asked) -> None:
    described = json.loads(EXAMPLES[0].read_text(encoding="utf-8"))
    asked.put(described)
    place = f"/things/{described['id']}"
    found = asked("GET", place).json()

    assert asked.put(found).status_code == 204
    again = asked("GET", place).json()
    assert bare(again) == bare(found)
    assert again["registration"]["created"] == found["registration"]["created"]
