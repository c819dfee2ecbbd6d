"""What a separate test file holds, no device has seen: neither in training nor in validation."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from finished_run import result_of, settings_of

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.assemble import Machine, assemble
from tinyfleet.simulations.comparison import same_data
from tinyfleet.simulations.datasets.characters import PACK, find_characters
from tinyfleet.simulations.datasets.digits import load_digits
from tinyfleet.simulations.datasets.omniglot import SMALL_1, CharacterImages, load_characters
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.fields import Fields
from tinyfleet.simulations.run_folder import result_from
from tinyfleet.simulations.tasks.characters import Characters, Episodes, characters_family
from tinyfleet.simulations.tasks.split import PARTS, Part, shared_classes, split_classes

EPISODES = Episodes(ways=5, shots=2, query_shots=1)
SEEN = pytest.mark.parametrize("part", ["train", "validation"])


def drawn(classes: int, drawers: int = 4, seed: int = 0) -> CharacterImages:
    """Random characters, no two drawings alike."""
    images = np.random.default_rng(seed).integers(0, 256, (classes, drawers, 28, 28), np.uint8)
    return CharacterImages(images, ("made",) * classes, "made images")


def some(images: CharacterImages, ids: list[int]) -> CharacterImages:
    names = tuple(images.alphabets[i] for i in ids)
    return dataclasses.replace(images, images=images.images[ids], alphabets=names)


def drawings(images: CharacterImages) -> set[bytes]:
    return {image.tobytes() for image in images.images.reshape(-1, 28, 28)}


def seen_by(images: CharacterImages, part: Part, test: CharacterImages) -> Characters:
    return characters_family(images, part, 0, EPISODES, unseen=test)


@pytest.fixture(scope="module")
def pack(data_folder: Path) -> CharacterImages:
    return load_characters(data_folder / PACK)


@pytest.fixture(scope="module")
def small(data_folder: Path) -> CharacterImages:
    return load_characters(data_folder / SMALL_1.name)


@SEEN
def test_no_drawing_of_the_test_file_is_learned(
    part: Part, pack: CharacterImages, small: CharacterImages
) -> None:
    family, test = (
        seen_by(pack, part, small),
        characters_family(small, "test", 0, EPISODES, whole=True),
    )

    assert len(test.images) == 136
    assert drawings(family.images).isdisjoint(drawings(test.images))
    assert not drawings(characters_family(pack, part, 0, EPISODES).images).isdisjoint(
        drawings(test.images)
    )


def test_the_author_s_small_archive_leaves_out_its_136_classes(
    pack: CharacterImages, small: CharacterImages
) -> None:
    told = [seen_by(pack, part, small).provenance for part in ("train", "validation")]

    assert shared_classes(pack.images, small.images).sum() == 136
    assert told[0] == (
        f"Omniglot pack {PACK}; train part, 596 of 964 classes (104 classes left out: the test "
        "file holds them), 2384 with quarter turns"
    )
    assert told[1].endswith("; validation part, 55 of 964 classes (9 classes left out: the test "
                            "file holds them)")  # fmt: skip


def test_parts_of_one_file_share_no_drawing_however_turned(pack: CharacterImages) -> None:
    train, validation, test = (pack.images[split_classes(len(pack), part)] for part in PARTS)

    assert not shared_classes(np.concatenate([train, validation]), test).any()
    assert not shared_classes(train, validation).any()


@SEEN
@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_one_shared_drawing_however_turned_leaves_its_class_out(part: Part, turn: int) -> None:
    images, test = drawn(120), drawn(6, seed=1)
    shared = int(split_classes(120, part)[3])
    test.images[2, 1] = np.rot90(images.images[shared, 2], turn)

    family = seen_by(images, part, test)

    assert drawings(family.images).isdisjoint(drawings(some(images, [shared])))
    assert drawings(family.images).isdisjoint(drawings(test))
    assert "(1 class left out: the test file holds it)" in family.provenance
    assert len(family.images) == (len(split_classes(120, part)) - 1) * (4 if part == "train" else 1)


def test_a_drawing_that_differs_in_one_pixel_is_another() -> None:
    images = drawn(20)
    others = some(images, [4])
    assert shared_classes(images.images, others.images).nonzero()[0].tolist() == [4]

    others.images[0, :, 27, 27] ^= 1

    assert not shared_classes(images.images, others.images).any()


@SEEN
def test_a_file_of_other_characters_leaves_none_out_and_says_so(part: Part) -> None:
    images = drawn(120)

    apart, plain = seen_by(images, part, drawn(6, seed=1)), characters_family(
        images, part, 0, EPISODES
    )  # fmt: skip

    np.testing.assert_array_equal(apart.images.images, plain.images.images)
    assert "(none left out: the test file holds none of them)" in apart.provenance
    assert "left out" not in plain.provenance


@SEEN
def test_fewer_classes_than_ways_are_refused(part: Part) -> None:
    images = drawn(120)
    ids = split_classes(120, part)
    assert len(seen_by(images, part, some(images, ids[:-5].tolist())).images) >= 5

    with pytest.raises(DatasetError, match=rf"made images, {part} part: .*at least 5 .*got 4"):
        seen_by(images, part, some(images, ids[:-4].tolist()))


def test_a_file_is_not_tested_on_itself(data_folder: Path) -> None:
    file = str(data_folder / SMALL_1.name)
    study = complete({"app": "characters", "data": file, "test_data": file, "tasks": 2}, "test")

    with pytest.raises(DatasetError, match="test on characters that the training data lack"):
        assemble(study, Machine())


def test_a_study_keeps_its_test_file_unseen(data_folder: Path) -> None:
    values = {
        "app": "characters",
        "data": str(data_folder / PACK),
        "test_data": str(data_folder / SMALL_1.name),
        "tasks": 2,
    }
    setup = assemble(complete(values, "test"), Machine())

    assert "596 of 964 classes (104 classes left out" in setup.provenance["train"]
    assert "55 of 964 classes (9 classes left out" in setup.provenance["validation"]
    assert setup.provenance["test"].endswith("test part, 136 of 136 classes")


@pytest.mark.parametrize("folder", ["plain", "omniglot", "Omniglot pack"])
def test_digits_never_count_as_omniglot(folder: str, tmp_path: Path) -> None:
    images = find_characters(None, {"XDG_CACHE_HOME": str(tmp_path / folder)})
    assert folder in images.source

    assert not counts_as_omniglot(images)


def test_a_file_of_either_format_counts_as_omniglot(
    tmp_path: Path, pack: CharacterImages, small: CharacterImages
) -> None:
    np.savez(tmp_path / "digits.npz", images=load_digits().images[:, :20])

    assert counts_as_omniglot(pack)
    assert counts_as_omniglot(small)
    assert counts_as_omniglot(load_characters(tmp_path / "digits.npz"))


def counts_as_omniglot(images: CharacterImages) -> bool:
    """Whether a run that was tested on `images` is compared with published numbers."""
    settings = settings_of("characters")
    family = characters_family(images, "test", 0, Episodes(ways=5, shots=1))
    settings["data"]["test"] = family.provenance
    read = Fields("run.json", json.loads(json.dumps(settings)))
    return same_data(result_from(Fields("result.json", result_of("characters"))), read)
