"""Splits a population into three parts that never meet, and keeps them apart from other files."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.draws import Stream, uniforms

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

# Of Omniglot's 964 background characters; other data are split in the same proportions.
WHOLE, VALIDATION, TEST = 964, 64, 200
LEAST = 5  # classes of a small part, as long as a quarter of all is as many
TURNS = 4  # quarter turns until a drawing is itself again


def part_number(part: Part) -> int:
    """Return the number that stands for `part` in the key of a draw.

    Raises:
        DatasetError: there is no such part.
    """
    if part not in PARTS:
        raise DatasetError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    return PARTS.index(part)


def split_classes(classes: int, part: Part) -> NDArray[np.int64]:
    """Return the class ids of `part`, ascending: the same in every run, whatever its seed.

    Classes are put in a fixed random order; the first 200 of 964 are the test part, the next 64
    validation, the rest training. Other numbers of classes are split in proportion, with at least
    five classes a part, or a quarter of all when there are fewer than twenty.

    Args:
        classes: how many there are; ids are 0..classes-1.
        part: "train", "validation" or "test".

    Raises:
        DatasetError: fewer than four classes, or no such part.

    >>> [len(split_classes(964, part)) for part in PARTS]
    [700, 64, 200]
    >>> split_classes(10, "test").tolist()
    [0, 4]
    """
    number = part_number(part)
    if classes < 4:
        raise DatasetError(
            f"classes: expected at least 4 to split into {', '.join(PARTS)}, got {classes}; "
            "use the whole file as one part"
        )
    least = min(LEAST, classes // 4)
    test = max(least, round(classes * TEST / WHOLE))
    validation = max(least, round(classes * VALIDATION / WHOLE))
    order = np.argsort(uniforms((0, Stream.SPLIT), np.arange(classes), 1)[:, 0], kind="stable")
    held_out, tuned_on, learned = np.split(order, [test, test + validation])
    return np.sort((learned, tuned_on, held_out)[number])


def shared_classes(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which classes of `images` hold a drawing of `others`, turned or not, `(classes,)`.

    Drawings are the same when every pixel is, in any of four quarter turns.

    Args:
        images: `(classes, drawers, side, side)`.
        others: `(other classes, other drawers, side, side)`.
    """
    known = set(_drawings(others))
    shared = np.zeros(len(images), np.bool_)
    for turn in range(TURNS):
        found = [drawing in known for drawing in _drawings(np.rot90(images, turn, axes=(2, 3)))]
        shared |= np.array(found, np.bool_).reshape(images.shape[:2]).any(axis=1)
    return shared


def _drawings(images: NDArray[np.uint8]) -> list[bytes]:
    """Return the pixels of each drawing, one after the other."""
    size = images.shape[2] * images.shape[3]
    pixels = np.ascontiguousarray(images).tobytes()
    return [pixels[first : first + size] for first in range(0, len(pixels), size)]
