"""Character tasks: blocks, disjoint drawers, disjoint parts, the same bytes for any grouping."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.omniglot import CharacterImages, load_characters
from tinyfleet.simulations.tasks.characters import (
    Characters,
    Episodes,
    characters_family,
    quarter_turns,
)
from tinyfleet.simulations.tasks.drift import Drift, drifted
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.simulations.tasks.split import PARTS, Part, split_classes
from tinyfleet.task import TaskBatch

DEVICES = np.arange(60)


def labelled(classes: int, drawers: int) -> CharacterImages:
    """Images that tell who they are: pixel (0, 0) is the class, pixel (0, 1) the drawer."""
    images = np.zeros((classes, drawers, 28, 28), np.uint8)
    images[:, :, 0, 0] = np.arange(classes)[:, None]
    images[:, :, 0, 1] = np.arange(drawers)
    return CharacterImages(images, ("made",) * classes, "made images")


def read(x: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    told = np.rint(x[..., 0, :2, 0] * 255).astype(np.int64)
    return told[..., 0], told[..., 1]


@pytest.fixture(scope="module")
def omniglot(data_folder: Path) -> CharacterImages:
    return load_characters(data_folder / "omniglot_background_28.npz")


def test_every_block_holds_each_class_once_in_random_order() -> None:
    family: TaskFamily = Characters(labelled(30, 20), episodes=Episodes(shots=8, query_shots=4))

    batch = family.batch(DEVICES, 1)

    labels = batch.support_y.argmax(axis=-1).reshape(60, 8, 5)
    assert (np.sort(labels, axis=-1) == np.arange(5)).all()
    assert len(np.unique(labels.reshape(-1, 5), axis=0)) > 100  # of 120 orders
    query = batch.query_y.argmax(axis=-1).reshape(60, 4, 5)
    assert (np.sort(query, axis=-1) == np.arange(5)).all()


def test_a_label_means_the_same_class_throughout_a_device() -> None:
    family = Characters(labelled(30, 20), episodes=Episodes(shots=8, query_shots=4))

    batch = family.batch(DEVICES, 1)

    classes = family.classes(DEVICES)
    for x, y in ((batch.support_x, batch.support_y), (batch.query_x, batch.query_y)):
        assert (y.sum(axis=-1) == 1.0).all()
        told, _ = read(x)
        np.testing.assert_array_equal(told, np.take_along_axis(classes, y.argmax(axis=-1), axis=1))


def test_no_drawer_of_a_class_is_in_support_and_query() -> None:
    family = Characters(labelled(30, 12), episodes=Episodes(shots=8, query_shots=4))

    batch = family.batch(DEVICES, 1)

    x = np.concatenate([batch.support_x, batch.query_x], axis=1)
    classes, drawers = read(x)
    pictures = np.sort(classes * 12 + drawers, axis=1)
    assert (np.diff(pictures, axis=1) > 0).all()  # all 12 drawings of 5 classes, each once


def test_labels_of_a_class_differ_between_devices() -> None:
    classes = Characters(labelled(5, 20)).classes(np.arange(1000))

    counts = np.bincount(np.argmax(classes == 0, axis=1), minlength=5)

    assert counts.min() > 150


@pytest.mark.parametrize(
    "episodes",
    [
        Episodes(shots=4, query_shots=2),
        Episodes(shots=4, min_shots=1, noise=0.2, drift=Drift()),
    ],
)
def test_a_batch_is_the_same_bytes_however_devices_are_grouped(episodes: Episodes) -> None:
    family = Characters(labelled(30, 20), episodes=episodes)
    order = np.array([41, 3, 4, 59])

    whole, part = family.batch(DEVICES, 4), family.batch(order, 4)

    for field in dataclasses.fields(TaskBatch):
        some, every = getattr(part, field.name), getattr(whole, field.name)
        assert some.tobytes() == every[order].tobytes(), field.name


def test_a_new_round_brings_other_drawings_of_the_same_classes() -> None:
    family = Characters(labelled(30, 20), episodes=Episodes(shots=10))

    one, two = (read(family.batch(DEVICES, number).support_x) for number in (1, 2))

    assert not np.array_equal(one[1], two[1])
    np.testing.assert_array_equal(np.sort(one[0], axis=1), np.sort(two[0], axis=1))


def test_images_keep_their_ink_as_numbers_from_0_to_1(omniglot: CharacterImages) -> None:
    family = characters_family(omniglot, "test", 0, Episodes(shots=3, query_shots=1))

    batch = family.batch(np.arange(3), 1)

    assert batch.support_x.shape == (3, 15, 28, 28, 1)
    assert batch.query_x.shape == (3, 5, 28, 28, 1)
    assert batch.support_x.dtype == batch.support_y.dtype == np.float32
    assert batch.support_x.flags.c_contiguous
    held = omniglot.images.reshape(-1, 784)
    first = np.rint(batch.support_x[0, 0].ravel() * 255).astype(np.uint8)
    assert (held == first).all(axis=1).any()
    assert (batch.support_x.min(), batch.support_x.max()) == (0.0, 1.0)


def test_parts_of_omniglot_share_no_character(omniglot: CharacterImages) -> None:
    ids = [set(split_classes(len(omniglot), part).tolist()) for part in PARTS]

    assert [len(part) for part in ids] == [700, 64, 200]
    assert ids[0] | ids[1] | ids[2] == set(range(964))


@pytest.mark.parametrize("classes", [4, 10, 19, 20, 136, 659, 5000])
def test_any_number_of_classes_is_split_without_overlap(classes: int) -> None:
    ids = [split_classes(classes, part) for part in PARTS]

    assert np.sort(np.concatenate(ids)).tolist() == list(range(classes))
    assert min(len(part) for part in ids) >= min(5, classes // 4)


def test_three_classes_cannot_be_split() -> None:
    with pytest.raises(DatasetError, match=r"expected at least 4 .*got 3"):
        split_classes(3, "test")


def test_only_training_has_quarter_turns(omniglot: CharacterImages) -> None:
    families = [characters_family(omniglot, part, 0, Episodes()) for part in PARTS]

    assert [len(family.images) for family in families] == [2800, 64, 200]
    assert families[0].provenance.endswith(
        "train part, 700 of 964 classes, 2800 with quarter turns"
    )
    assert families[2].provenance.endswith("test part, 200 of 964 classes")


def test_a_part_with_too_few_classes_is_turned_too() -> None:
    family = characters_family(labelled(10, 20), "test", 0, Episodes(ways=5))

    assert len(family.images) == 8
    assert "2 of 10 classes, 8 with quarter turns" in family.provenance


def test_a_quarter_turn_turns_every_drawing() -> None:
    images = np.arange(2 * 3 * 784).astype(np.uint8).reshape(2, 3, 28, 28)

    turned = quarter_turns(CharacterImages(images, ("a", "b"), "made"))

    assert turned.alphabets == ("a",) * 4 + ("b",) * 4
    np.testing.assert_array_equal(turned.images[4], images[1])
    np.testing.assert_array_equal(turned.images[5, 2], np.rot90(images[1, 2]))
    np.testing.assert_array_equal(turned.images[7, 0], np.rot90(images[1, 0], 3))


def test_a_whole_file_is_one_part() -> None:
    family = characters_family(labelled(7, 20), "test", 0, Episodes(ways=5), whole=True)

    assert set(family.classes(np.arange(200)).ravel().tolist()) == set(range(7))


@pytest.mark.parametrize("part", ["validation", "train"])
def test_devices_of_different_parts_draw_differently(part: Part) -> None:
    images = labelled(30, 20)

    ours, theirs = Characters(images, "test").classes(DEVICES), Characters(images, part)

    assert not np.array_equal(ours, theirs.classes(DEVICES))


def test_heterogeneous_devices_have_whole_blocks() -> None:
    family = Characters(labelled(30, 20), episodes=Episodes(shots=6, min_shots=2))

    counts = family.batch(np.arange(200), 1).counts

    assert set(counts.tolist()) == {10, 15, 20, 25, 30}
    np.testing.assert_array_equal(counts, family.batch(np.arange(200), 2).counts)


def test_pixel_noise_stays_between_paper_and_ink() -> None:
    clean = Characters(labelled(30, 20), episodes=Episodes(shots=2))

    noisy = dataclasses.replace(clean, episodes=Episodes(shots=2, noise=0.2))

    ours, theirs = clean.batch(DEVICES, 1).support_x, noisy.batch(DEVICES, 1).support_x
    assert theirs.dtype == np.float32
    assert 0.0 <= theirs.min() < theirs.max() <= 1.0
    levels = (theirs - ours).reshape(60, -1).std(axis=1)
    assert levels.max() > 5 * levels.min() > 0.0  # each device has a level of its own


def test_a_camera_without_error_changes_nothing() -> None:
    images = np.random.default_rng(0).random((2, 3, 28, 28), np.float32)

    seen = drifted(images, Drift(rotation=90.0), np.full((2, 4), 0.5))

    np.testing.assert_array_equal(seen, images)


def test_a_camera_turned_by_90_degrees_turns_images() -> None:
    images = np.random.default_rng(0).random((1, 2, 28, 28), np.float32)

    seen = drifted(images, Drift(rotation=90.0, shift=0.0, zoom=0.0), np.ones((1, 4)))

    turned = np.rot90(images, -1, axes=(2, 3))
    np.testing.assert_allclose(seen, turned, atol=1e-5)


def test_a_camera_that_moved_moves_images_and_fills_with_paper() -> None:
    images = np.ones((1, 1, 28, 28), np.float32)
    images[0, 0, 10, 10] = 0.5

    seen = drifted(
        images, Drift(rotation=0.0, shift=7 / 28, zoom=0.0), np.array([[0.5, 1, 0, 0.5]])
    )

    assert seen[0, 0, 3, 17] == pytest.approx(0.5)  # 7 to the right, 7 up
    assert not seen[0, 0, :, :7].any()
    assert not seen[0, 0, 21:].any()


def test_a_camera_that_zooms_spreads_the_ink() -> None:
    images = np.zeros((1, 1, 28, 28), np.float32)
    images[0, 0, 9:19, 9:19] = 1.0  # 10 x 10 in the middle

    seen = drifted(images, Drift(rotation=0.0, shift=0.0, zoom=0.1), np.array([[0.5, 0.5, 0.5, 1]]))

    assert seen.sum() == pytest.approx(100 * 1.1**2, rel=0.01)


def test_more_images_than_a_class_has_are_refused() -> None:
    with pytest.raises(
        DatasetError, match=r"expected at most 20 images .*got 16 support shots \+ 5 query shots"
    ):
        Characters(labelled(30, 20), episodes=Episodes(shots=16, query_shots=5))


def test_more_ways_than_classes_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"ways: expected at most 4, .*got 5"):
        characters_family(labelled(4, 20), "test", 0, Episodes(ways=5))


@pytest.mark.parametrize(
    "change",
    [{"ways": 1}, {"shots": 0}, {"query_shots": -1}, {"min_shots": 11}, {"noise": float("inf")}],
)
def test_an_episode_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match=rf"^characters\.{next(iter(change))}: expected .*got"):
        Episodes(**change)


@pytest.mark.parametrize("change", [{"zoom": 1.0}, {"rotation": -1.0}, {"shift": float("nan")}])
def test_a_drift_that_cannot_be_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(DatasetError, match=rf"^drift\.{next(iter(change))}: expected .*got"):
        Drift(**change)
