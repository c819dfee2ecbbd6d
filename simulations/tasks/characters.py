"""Characters: every device learns to tell a few characters apart, N ways, K shots."""

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.omniglot import SIDE, CharacterImages
from tinyfleet.simulations.draws import Stream, distinct, integers, normals, uniforms
from tinyfleet.simulations.tasks.drift import DRAWS, Drift, drifted
from tinyfleet.simulations.tasks.family import check_shots, noise_rule
from tinyfleet.simulations.tasks.split import (
    TURNS,
    Part,
    part_number,
    shared_classes,
    split_classes,
)
from tinyfleet.task import Floats, TaskBatch

PIXELS = SIDE * SIDE


@dataclass(frozen=True)
class Episodes:
    """What a device's problem looks like.

    Attributes:
        ways: classes of a device.
        shots: support images of each class.
        query_shots: query images of each class, by other drawers than the support's; may be 0.
        min_shots: when given, a device has min_shots..shots images of each class, always the same
            number.
        noise: largest standard deviation of a device's pixel noise; each device's own is uniform in
            0..noise. Pixels stay in [0, 1].
        drift: how far each device's camera is off; None for not at all.

    Raises:
        DatasetError: a number cannot be.
    """

    ways: int = 5
    shots: int = 10
    query_shots: int = 0
    min_shots: int | None = None
    noise: float = 0.0
    drift: Drift | None = None

    def __post_init__(self) -> None:
        ways = "ways", self.ways, "at least 2", self.ways >= 2
        check_shots("characters", self, ways, noise_rule(self.noise))


@dataclass(frozen=True)
class Characters:
    """A population of devices, each with some characters of its own; a `TaskFamily`.

    A device's characters and their labels follow from seed, part and device; which drawings of them
    it sees, and in which order, also from the round. Support and query come in blocks that hold one
    image of each class in random order: the first `ways * d` support rows are the d-shot problem.

    Attributes:
        images: the classes of this part, and no others.
        part: which part they are; devices of different parts have different draws.
        seed: seed of the population, 0..2**64 - 1.
        episodes: what a device's problem looks like.

    Raises:
        DatasetError: fewer classes than ways, or fewer drawers than shots and query shots together.
    """

    images: CharacterImages
    part: Part = "train"
    seed: int = 0
    episodes: Episodes = Episodes()

    def __post_init__(self) -> None:
        part_number(self.part)
        ways, shots, query = self.episodes.ways, self.episodes.shots, self.episodes.query_shots
        if ways > len(self.images):
            raise DatasetError(
                f"characters.ways: expected at most {len(self.images)}, the classes of "
                f"{self.images.source}, got {ways}"
            )
        if shots + query > self.images.drawers:
            raise DatasetError(
                f"characters.shots: expected at most {self.images.drawers} images of a class, as "
                f"{self.images.source} has, got {shots} support shots + {query} query shots; "
                "ask for fewer"
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image: height, width, channels."""
        return (SIDE, SIDE, 1)

    @property
    def outputs(self) -> int:
        """Length of one target: the ways."""
        return self.episodes.ways

    @property
    def provenance(self) -> str:
        """Say which characters these are."""
        return self.images.source

    @property
    def fingerprint(self) -> str:
        """Tell populations of other drawings, seeds or episodes apart: 16 hexadecimal digits."""
        told = repr((self.images.fingerprint, self.part, self.seed, self.episodes))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def classes(self, devices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return each device's classes in the order of its labels, `(n, ways)`."""
        key = (self.seed, Stream.CHARACTERS_CLASSES, part_number(self.part))
        return distinct(uniforms(key, devices, self.episodes.ways), len(self.images))

    def batch(self, devices: NDArray[np.int64], round_number: int) -> TaskBatch:
        """Return the tasks of `devices`, `(n,)`; drawings and their order are new every round."""
        pictures, labels = self._layout(devices, round_number)
        x = self._seen(devices, round_number, pictures)
        y = np.eye(self.episodes.ways, dtype=np.float32)[labels]
        cut = self.episodes.ways * self.episodes.shots
        return TaskBatch(
            np.ascontiguousarray(x[:, :cut]),
            np.ascontiguousarray(y[:, :cut]),
            np.ascontiguousarray(x[:, cut:]),
            np.ascontiguousarray(y[:, cut:]),
            self._counts(devices),
        )

    def _layout(
        self, devices: NDArray[np.int64], round_number: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which picture and which label each row has, both `(n, rows)`; support first."""
        n, ways = len(devices), self.episodes.ways
        blocks = self.episodes.shots + self.episodes.query_shots
        cells = ways * blocks
        key = (self.seed, Stream.CHARACTERS_SAMPLES, part_number(self.part), round_number)
        u = uniforms(key, devices, 2 * cells)
        drawers = distinct(u[:, :cells].reshape(n * ways, blocks), self.images.drawers)
        labels = distinct(u[:, cells:].reshape(n * blocks, ways), ways).reshape(n, cells)
        pictures = (
            self.classes(devices)[:, :, None] * self.images.drawers
            + drawers.reshape(n, ways, blocks)
        ).reshape(n, cells)
        block = np.repeat(np.arange(blocks), ways)
        return np.take_along_axis(pictures, labels * blocks + block, axis=1), labels

    def _seen(
        self, devices: NDArray[np.int64], round_number: int, pictures: NDArray[np.int64]
    ) -> Floats:
        """Return the images as the devices' cameras see them, `(n, rows, 28, 28, 1)`."""
        n, rows = pictures.shape
        part = part_number(self.part)
        inks = self.images.images.reshape(-1, PIXELS).take(pictures.ravel(), axis=0)
        x = inks.astype(np.float32)
        x *= np.float32(1 / 255)
        if self.episodes.drift is not None:
            u = uniforms((self.seed, Stream.CHARACTERS_DRIFT, part), devices, DRAWS)
            x = drifted(x.reshape(n, rows, SIDE, SIDE), self.episodes.drift, u)
        x = x.reshape(n, rows * PIXELS)
        if self.episodes.noise > 0.0:
            level = uniforms((self.seed, Stream.CHARACTERS_NOISE_LEVEL, part), devices, 1)
            key = (self.seed, Stream.CHARACTERS_NOISE, part, round_number)
            errors = normals(uniforms(key, devices, rows * PIXELS))
            x = np.clip(x + self.episodes.noise * level * errors, 0.0, 1.0).astype(np.float32)
        return x.reshape(n, rows, SIDE, SIDE, 1)

    def _counts(self, devices: NDArray[np.int64]) -> NDArray[np.int32]:
        ways, shots, least = self.episodes.ways, self.episodes.shots, self.episodes.min_shots
        if least is None:
            return np.full(len(devices), ways * shots, np.int32)
        key = (self.seed, Stream.CHARACTERS_COUNT, part_number(self.part))
        return (ways * integers(uniforms(key, devices, 1)[:, 0], least, shots)).astype(np.int32)


def characters_family(
    images: CharacterImages,
    part: Part,
    seed: int,
    episodes: Episodes,
    *,
    whole: bool = False,
    unseen: CharacterImages | None = None,
) -> Characters:
    """Return the population of `part`.

    The classes are split once and for all (`split_classes`), so that the parts share no character.
    Quarter turns of training characters count as further classes, as in Reptile 2018; those of
    another part only if it has fewer characters than `ways`.

    Args:
        images: all characters.
        part: "train", "validation" or "test".
        seed: seed of the population.
        episodes: what a device's problem looks like.
        whole: all characters belong to `part`, as those of a separate test file do.
        unseen: those of a separate test file. A character that shares a drawing with them, in any
            quarter turn, is left out, so that no device learns from what it is tested on.

    Raises:
        DatasetError: too few characters or drawers for the episodes.
    """
    total = len(images)
    ids = np.arange(total) if whole else split_classes(total, part)
    note = ""
    if unseen is not None:
        ids, note = _apart(images, ids, unseen, f"{images.source}, {part} part", episodes.ways)
    chosen = dataclasses.replace(
        images,
        images=images.images[ids],
        alphabets=tuple(images.alphabets[i] for i in ids),
        source=f"{images.source}; {part} part, {len(ids)} of {total} classes{note}",
    )
    turned = part == "train" or len(ids) < episodes.ways
    return Characters(quarter_turns(chosen) if turned else chosen, part, seed, episodes)


def _apart(
    images: CharacterImages,
    ids: NDArray[np.int64],
    unseen: CharacterImages,
    place: str,
    ways: int,
) -> tuple[NDArray[np.int64], str]:
    """Return those of `ids` that share no drawing with `unseen`, and how many were left out."""
    shared = shared_classes(images.images[ids], unseen.images)
    left, out = ids[~shared], int(shared.sum())
    if not out:
        return left, " (none left out: the test file holds none of them)"
    if len(left) < ways:
        raise DatasetError(
            f"{place}: expected at least {ways} classes, the ways, that the test file does not "
            f"hold, got {len(left)}; test on characters that the training data lack"
        )
    noun, them = ("class", "it") if out == 1 else ("classes", "them")
    return left, f" ({out} {noun} left out: the test file holds {them})"


def quarter_turns(images: CharacterImages) -> CharacterImages:
    """Return each class and its turns by 90, 180 and 270 degrees as four classes, side by side."""
    turns = [np.rot90(images.images, turn, axes=(2, 3)) for turn in range(TURNS)]
    return CharacterImages(
        np.stack(turns, axis=1).reshape(-1, images.drawers, SIDE, SIDE),
        tuple(name for name in images.alphabets for _ in range(TURNS)),
        f"{images.source}, {TURNS * len(images)} with quarter turns",
    )
