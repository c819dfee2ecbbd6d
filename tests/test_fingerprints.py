"""A fingerprint is the same for the same tasks, and another for any other."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyfleet.simulations.datasets.omniglot import CharacterImages, load_characters
from tinyfleet.simulations.tasks.characters import Characters, Episodes
from tinyfleet.simulations.tasks.drift import Drift
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.simulations.tasks.sine import Sine, tecs2024


def made(**changes: Any) -> CharacterImages:
    images = np.arange(6 * 4 * 784).astype(np.uint8).reshape(6, 4, 28, 28)
    values = {"images": images, "alphabets": ("a", "b") * 3, "source": "made", **changes}
    return CharacterImages(**values)


def changed_pixel() -> Any:
    images = made().images.copy()
    images[5, 3, 27, 27] ^= 1
    return images


FAMILIES: list[TaskFamily] = [tecs2024(3), Characters(made(), seed=3, episodes=Episodes(shots=2))]


@pytest.mark.parametrize("family", FAMILIES, ids=["sine", "characters"])
def test_a_fingerprint_is_16_hexadecimal_digits(family: TaskFamily) -> None:
    assert len(family.fingerprint) == 16
    assert int(family.fingerprint, 16) > 0


@pytest.mark.parametrize(
    "change",
    [
        {"images": changed_pixel()},
        {"images": made().images[::-1]},
        {"images": made().images.reshape(6, 4, 784)[:, ::-1].reshape(6, 4, 28, 28)},
        {"images": made().images[:, :3]},
        {"images": made().images[:3], "alphabets": ("a", "b", "a")},
        {"alphabets": ("a", "b", "a", "b", "b", "a")},
        {"alphabets": ("a', 'b", "a", "b", "a", "b", "a")},
    ],
)
def test_other_images_or_alphabets_have_another_fingerprint(change: dict[str, Any]) -> None:
    assert made(**change).fingerprint != made().fingerprint
    assert Characters(made(**change), episodes=Episodes(ways=3, shots=2)).fingerprint != (
        Characters(made(), episodes=Episodes(ways=3, shots=2)).fingerprint
    )


def test_the_shape_counts_even_where_the_bytes_are_the_same() -> None:
    wide = made(images=made().images.reshape(3, 8, 28, 28), alphabets=("a", "b", "a"))
    tall = made(images=made().images.reshape(6, 4, 28, 28))

    assert wide.images.tobytes() == tall.images.tobytes()
    assert wide.fingerprint != tall.fingerprint


def test_where_images_are_from_and_how_they_lie_in_memory_do_not_count() -> None:
    turned = np.asfortranarray(made().images)
    assert not turned.flags.c_contiguous

    assert made(images=turned, source="elsewhere").fingerprint == made().fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"part": "test"},
        {"episodes": Episodes(shots=3)},
        {"episodes": Episodes(shots=2, noise=0.1)},
        {"episodes": Episodes(shots=2, drift=Drift())},
        {"episodes": Episodes(shots=2, drift=Drift(zoom=0.2))},
    ],
)
def test_other_episodes_parts_or_seeds_have_another_fingerprint(change: dict[str, Any]) -> None:
    family = Characters(made(), seed=3, episodes=Episodes(shots=2))
    assert dataclasses.replace(family).fingerprint == family.fingerprint

    assert dataclasses.replace(family, **change).fingerprint != family.fingerprint


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Sine)])
def test_every_field_of_a_sine_counts(name: str) -> None:
    other: dict[str, Any] = {"part": "test", "query_at": "random", "min_support": 4, "noise": 0.5}
    ranges = {"amplitude", "frequency", "phase", "domain"}
    value = other.get(name, (0.5, 0.75) if name in ranges else 17)
    family = Sine()
    assert dataclasses.replace(family).fingerprint == family.fingerprint

    assert dataclasses.replace(family, **{name: value}).fingerprint != family.fingerprint


def test_a_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "from tinyfleet.simulations.tasks.sine import tecs2024; print(tecs2024(3).fingerprint);"
        "from tinyfleet.simulations.tasks.characters import Characters;"
        "from tinyfleet.simulations.datasets.digits import load_digits;"
        "print(Characters(load_digits()).fingerprint)"
    )
    told = {
        subprocess.check_output([sys.executable, "-c", code], text=True, env={"PYTHONHASHSEED": s})
        for s in ("1", "2")
    }

    assert len(told) == 1
    assert tecs2024(3).fingerprint in told.pop()


def test_the_same_file_has_the_same_fingerprint_wherever_it_lies(
    data_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "mine.zip"
    copy.write_bytes((data_folder / "images_background_small1.zip").read_bytes())
    ours = load_characters(data_folder / "images_background_small1.zip")

    assert load_characters(copy).fingerprint == ours.fingerprint
