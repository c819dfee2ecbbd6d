"""Spoken keywords: takes of words by people, as coefficients of the front end in `tinyfleet.mfcc`.

The pack of these is Arabic Speech Commands (Ghandoura, Hjabo & Al Dakkak 2021, CC BY 4.0): 30
keywords by 30 speakers, 10 takes each.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.client.npz import read_arrays
from tinyfleet.errors import DatasetError
from tinyfleet.mfcc import COEFFICIENTS, FRAMES
from tinyfleet.task import Floats, check_finite

_LARGEST = float(np.finfo(np.float32).max)
_ARRAYS = ("features", "keyword", "keyword_names", "speaker", "mfcc_scale", "mfcc_zero_point")


@dataclass(frozen=True, eq=False)
class KeywordTakes:
    """Takes of keywords; not every speaker need have said every keyword.

    Attributes:
        features: 49 frames of 10 coefficients, `(n, 49, 10)` float32, as `tinyfleet.mfcc` gives
            them.
        keyword: which keyword each is, a place in `names`, `(n,)` int64.
        speaker: who said it, 0 or more, `(n,)` int64.
        names: the keywords.
        source: where they are from, in plain words.

    Raises:
        DatasetError: arrays have other shapes, types or values.
    """

    features: Floats = field(repr=False)
    keyword: NDArray[np.int64] = field(repr=False)
    speaker: NDArray[np.int64] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    source: str

    def __post_init__(self) -> None:
        _check_takes(self.source, self.features, np.float32)
        check_finite(f"{self.source}: features", self.features)
        for name, values, most in (
            ("keyword", self.keyword, len(self.names) - 1),
            ("speaker", self.speaker, 2**31 - 1),
        ):
            if values.shape != (len(self),) or values.dtype.kind not in "iu":
                raise DatasetError(
                    f"{self.source}: {name}: expected a whole number for each of {len(self)} "
                    f"takes, got {values.dtype} of {values.shape}"
                )
            if values.min() < 0 or values.max() > most:
                raise DatasetError(
                    f"{self.source}: {name}: expected 0..{most}, got {values.min()}..{values.max()}"
                )

    @property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of takes and names, not of the source."""
        digest = hashlib.sha256(repr((self.features.shape, self.names)).encode())
        for values in (self.features, self.keyword, self.speaker):
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()[:16]

    def of(self, chosen: NDArray[np.bool_], source: str) -> "KeywordTakes":
        """Return the chosen takes, `(n,)`, under another source; keywords keep their numbers."""
        return KeywordTakes(
            self.features[chosen], self.keyword[chosen], self.speaker[chosen], self.names, source
        )

    def __len__(self) -> int:
        return len(self.features)


def load_pack(path: Path, source: str = "") -> KeywordTakes:
    """Read a pack of takes, .npz.

    It holds `features` `(n, 49, 10)` int8 with `mfcc_scale` and `mfcc_zero_point`, `keyword` `(n,)`
    with `keyword_names`, and `speaker` `(n,)`.

    Args:
        path: the file.
        source: what it is, in plain words.

    Raises:
        DatasetError: the file is missing, cut short, damaged, or holds something else.
    """
    arrays = read_arrays(path, _ARRAYS)
    for name in _ARRAYS:
        if name not in arrays:
            held = ", ".join(sorted(arrays)) or "none of its arrays"
            raise DatasetError(f"{path}: expected a pack of keywords with `{name}`, got {held}")
    codes = arrays["features"]
    _check_takes(f"{path}", codes, np.int8)
    scale, zero = _number(path, arrays, "mfcc_scale"), _number(path, arrays, "mfcc_zero_point")
    if scale <= 0:
        raise DatasetError(f"{path}: mfcc_scale: expected a number above 0, got {scale:g}")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        features = (codes.astype(np.float32) - np.float32(zero)) * np.float32(scale)
    return KeywordTakes(
        features,
        whole_numbers(path, arrays, "keyword"),
        whole_numbers(path, arrays, "speaker"),
        tuple(map(str, arrays["keyword_names"].ravel().tolist())),
        source or f"keywords pack {path.name}",
    )


def whole_numbers(path: Path, arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.int64]:
    """Return an array of whole numbers; `DatasetError` where it holds others."""
    if arrays[name].dtype.kind not in "iu":
        raise DatasetError(f"{path}: {name}: expected whole numbers, got {arrays[name].dtype}")
    return arrays[name].astype(np.int64)


def _number(path: Path, arrays: Mapping[str, NDArray[Any]], name: str) -> float:
    array = arrays[name]
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise DatasetError(f"{path}: {name}: expected one number, got {array.dtype} {array.shape}")
    number = float(array.ravel()[0])
    if not abs(number) <= _LARGEST:
        raise DatasetError(f"{path}: {name}: expected a finite float32, got {number}")
    return number


def _check_takes(what: str, values: NDArray[Any], expected: type[np.generic]) -> None:
    shape = values.shape
    if values.dtype != expected or shape[1:] != (FRAMES, COEFFICIENTS):
        raise DatasetError(
            f"{what}: features: expected {expected.__name__} of shape (takes, {FRAMES}, "
            f"{COEFFICIENTS}), got {values.dtype} of {shape}"
        )
    if not len(values):
        raise DatasetError(f"{what}: features: expected a take or more, got none")
