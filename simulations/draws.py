"""Random numbers that belong to a device: the same however devices are grouped.

A counter-based generator (Salmon et al. 2011, Philox) turns a key and a place into numbers. The key
says what the numbers are for, the place is the device; so the numbers of one device among a million
are found without drawing those before it.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.random import Generator, Philox, SeedSequence
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError

PER_BLOCK = 4  # 64-bit numbers that Philox makes at a time


class Stream(IntEnum):
    """What numbers are drawn for, the second number of a key: no two uses share a stream."""

    SPLIT = 1
    SINE_CURVE = 2
    SINE_COUNT = 3
    SINE_NOISE_LEVEL = 4
    SINE_SUPPORT = 5
    SINE_QUERY = 6
    SINE_SUPPORT_NOISE = 7
    SINE_QUERY_NOISE = 8
    CHARACTERS_CLASSES = 9
    CHARACTERS_COUNT = 10
    CHARACTERS_NOISE_LEVEL = 11
    CHARACTERS_DRIFT = 12
    CHARACTERS_SAMPLES = 13
    CHARACTERS_NOISE = 14
    KEYWORDS_SPLIT = 15
    KEYWORDS_PEOPLE = 16
    KEYWORDS_CLASSES = 17
    KEYWORDS_COUNT = 18
    KEYWORDS_ROOM = 19
    KEYWORDS_TAKES = 20
    KEYWORDS_LABELS = 21
    KEYWORDS_NOISE = 22
    PRESENCE_MOMENT = 23
    PRESENCE_COUNT = 24
    PRESENCE_NOISE_LEVEL = 25
    PRESENCE_ROWS = 26
    PRESENCE_NOISE = 27


def uniforms(key: Sequence[int], devices: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return `count` numbers in [0, 1) for each device, `(n, count)`.

    Under one key and one `count`, a device's numbers are its own: alone, in any order or among a
    million. Contiguous devices are drawn in one sweep, so ranges are fastest.

    Args:
        key: what the numbers are for, such as (seed, stream, part, round); each in 0..2**64 - 1.
        devices: numbers of the devices, `(n,)`, each at least 0.
        count: numbers a device.

    Raises:
        DatasetError: a number of the key is outside its range.

    >>> import numpy as np
    >>> every = uniforms((7, Stream.SPLIT), np.arange(1000), 3)
    >>> bool((uniforms((7, Stream.SPLIT), np.array([999, 5]), 3) == every[[999, 5]]).all())
    True
    """
    blocks = -(-count // PER_BLOCK)
    bits = Philox(key=_hashed(key))
    generator = Generator(bits)
    numbers = np.empty((len(devices), blocks * PER_BLOCK))
    bounds = [0, *(np.flatnonzero(np.diff(devices) != 1) + 1).tolist(), len(devices)]
    firsts = devices[bounds[:-1]].tolist() if len(devices) else []
    at = 0  # in blocks, as advance() counts
    for first, start, stop in zip(firsts, bounds[:-1], bounds[1:], strict=False):
        bits.advance(first * blocks - at)
        generator.random(out=numbers[start:stop])
        at = (first + stop - start) * blocks
    return numbers[:, :count]


def _hashed(key: Sequence[int]) -> NDArray[np.uint64]:
    """Hash a key of any length to Philox's two words."""
    for number in key:
        if not 0 <= number < 2**64:
            raise DatasetError(f"seed: expected each number of the key in 0..2**64-1, got {number}")
    # Fixed width and length first: (1,), (1, 0) and (2**32 + 1,) must be three different keys.
    words = [len(key)]
    for number in key:
        words += [int(number) & 0xFFFFFFFF, int(number) >> 32]
    return SeedSequence(words).generate_state(2, np.uint64).astype(np.uint64)


def integers(u: NDArray[np.float64], least: int, most: int) -> NDArray[np.int64]:
    """Turn numbers in [0, 1) into integers in `least..most`, both included; same shape as `u`."""
    return least + (u * (most - least + 1)).astype(np.int64)


def distinct(u: NDArray[np.float64], population: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose k different integers of 0..population-1 a row, in random order, `(n, k)`.

    Draw i picks one of the `population - i` integers that are left; its rank among those is turned
    into the integer by counting how many chosen ones lie below it. With k = population a row is a
    permutation. All ordered choices are equally likely.

    Args:
        u: numbers in [0, 1), `(n, k)`.
        population: how many integers there are, at least k; of each row, `(n, 1)`, or of all.

    >>> import numpy as np
    >>> distinct(np.array([[0.0, 0.0, 0.99]]), 4).tolist()
    [[0, 1, 3]]
    """
    k = u.shape[1]
    ranks = (u * (population - np.arange(k))).astype(np.int64)
    chosen = ranks.copy()
    for i in range(1, k):
        # free[:, j]: integers below the j-th smallest chosen one that nobody has chosen
        free = np.sort(chosen[:, :i], axis=1) - np.arange(i)
        chosen[:, i] += (free <= ranks[:, i, None]).sum(axis=1)
    return chosen


def normals(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn numbers in [0, 1) into standard normal ones of the same shape, `(n, even)`.

    The two halves of a row give radius and angle (Box & Muller 1958).
    """
    half = u.shape[1] // 2
    radius = np.sqrt(-2.0 * np.log1p(-u[:, :half]))
    angle = 2.0 * np.pi * u[:, half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
