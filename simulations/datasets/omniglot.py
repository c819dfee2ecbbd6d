"""Omniglot (Lake, Salakhutdinov & Tenenbaum 2015): characters of alphabets, by 20 drawers each."""

import hashlib
import io
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tinyfleet.errors import DatasetError
from tinyfleet.simulations.datasets.archive import Archive, verify

SIDE = 28  # pixels of an image here
SCAN = 105  # pixels of an image in the author's archives


def _archive(name: str, size: int, sha256: str) -> Archive:
    author = "https://github.com/brendenlake/omniglot/raw/master/python"
    return Archive(name, f"{author}/{name}", size, sha256)


# Sizes and SHA-256 as TensorFlow Datasets publishes them (url_checksums/omniglot.txt).
BACKGROUND = _archive(
    "images_background.zip",
    9464212,
    "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
)
EVALUATION = _archive(
    "images_evaluation.zip",
    6462886,
    "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
)
SMALL_1 = _archive(
    "images_background_small1.zip",
    1319022,
    "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
)
SMALL_2 = _archive(
    "images_background_small2.zip",
    1580917,
    "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f",
)
PUBLISHED = {archive.name: archive for archive in (BACKGROUND, EVALUATION, SMALL_1, SMALL_2)}

# images_background/Balinese/character01/0108_01.png
_SCAN_NAME = re.compile(r"(?:.*/)?(?P<alphabet>[^/]+)/[^/]+/(?P<number>\d+)_(?P<drawer>\d+)\.png")


@dataclass(frozen=True, eq=False)
class CharacterImages:
    """Characters, each drawn once by each of several people.

    Attributes:
        images: `(classes, drawers, 28, 28)` uint8; ink is 255, paper 0.
        alphabets: the alphabet of each class.
        source: where they are from, in plain words.

    Raises:
        DatasetError: `images` have another shape or type.
    """

    images: NDArray[np.uint8] = field(repr=False)
    alphabets: tuple[str, ...] = field(repr=False)
    source: str

    def __post_init__(self) -> None:
        shape = self.images.shape
        if len(shape) != 4 or shape[2:] != (SIDE, SIDE) or 0 in shape:
            raise DatasetError(
                f"{self.source}: images: expected shape (classes, drawers, {SIDE}, {SIDE}), "
                f"got {shape}"
            )
        if self.images.dtype != np.uint8:
            raise DatasetError(
                f"{self.source}: images: expected uint8, 0 for paper to 255 for ink, "
                f"got {self.images.dtype}{_nan(self.images)}"
            )
        if len(self.alphabets) != len(self.images):
            raise DatasetError(
                f"{self.source}: alphabet: expected one for each of {len(self.images)} classes, "
                f"got {len(self.alphabets)}"
            )

    @property
    def drawers(self) -> int:
        """How many images each class has."""
        return int(self.images.shape[1])

    @property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of images and alphabets, not of the source."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(repr(self.alphabets).encode())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.images)


def load_characters(path: Path) -> CharacterImages:
    """Read one of the author's zip archives, or a pack of the same images.

    An archive holds 105x105 images, black on white, `<alphabet>/<character>/<number>_<drawer>.png`;
    they are inverted and averaged over boxes to 28x28, classes in the order of their official
    number. A file that has a published name must have the published bytes. A pack is an .npz with
    `images` `(classes, drawers, 28, 28)` uint8 and, if known, `alphabet` `(classes,)` with
    `alphabet_names`.

    Raises:
        DatasetError: the file is missing, cut short, damaged, or holds something else.
    """
    if path.name in PUBLISHED:
        verify(path, PUBLISHED[path.name])
    try:
        with zipfile.ZipFile(path) as file:
            names = [name for name in file.namelist() if _is_data(name)]
            if any(name.endswith(".npy") for name in names):
                return _read_pack(path, file)
            scans = sorted(name for name in names if name.endswith(".png"))
            if scans:
                return _read_scans(path, file, scans)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DatasetError(
            f"{path}: expected a whole .zip or .npz, got one that is cut short, damaged or of "
            f"another kind ({error}); fetch it again"
        ) from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    raise DatasetError(f"{path}: expected .png images or an array `images`, got neither")


def _is_data(name: str) -> bool:
    """Tell data from what file managers leave in archives."""
    place = PurePosixPath(name)
    return not name.endswith("/") and not any(p.startswith((".", "__")) for p in place.parts)


def _read_pack(path: Path, file: zipfile.ZipFile) -> CharacterImages:
    images = _read_array(path, file, "images")
    source = f"Omniglot pack {path.name}"
    alphabets: tuple[str, ...] = ("unknown",) * (len(images) if images.ndim else 0)
    if {"alphabet.npy", "alphabet_names.npy"} <= set(file.namelist()):
        names = _read_array(path, file, "alphabet_names").ravel().tolist()
        places = _read_array(path, file, "alphabet").ravel()
        if places.dtype.kind not in "iu" or not np.isin(places, np.arange(len(names))).all():
            raise DatasetError(
                f"{path}: alphabet: expected integers in 0..{len(names) - 1}, places of names"
            )
        alphabets = tuple(str(names[place]) for place in places)
    return CharacterImages(images, alphabets, source)


def _read_array(path: Path, file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read a whole array, so that its checksum in the archive is compared."""
    try:
        raw = file.read(f"{name}.npy")
    except KeyError as error:
        held = ", ".join(n.removesuffix(".npy") for n in file.namelist()) or "nothing"
        raise DatasetError(f"{path}: expected an array `{name}`, got {held}") from error
    try:
        array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise DatasetError(
            f"{path}: {name}: not an array that can be read: {_line(error)}"
        ) from error
    return array


def _read_scans(path: Path, file: zipfile.ZipFile, scans: list[str]) -> CharacterImages:
    found: dict[tuple[int, str], dict[int, str]] = {}
    for name in scans:
        match = _SCAN_NAME.fullmatch(name)
        if match is None:
            raise DatasetError(
                f"{path}: {name}: expected <alphabet>/<character>/<number>_<drawer>.png"
            )
        key = (int(match["number"]), match["alphabet"])
        found.setdefault(key, {})[int(match["drawer"])] = name
    classes = sorted(found)
    drawers = sorted(found[classes[0]])
    for key in classes:
        if sorted(found[key]) != drawers:
            raise DatasetError(
                f"{path}: character {key[0]:04d} of {key[1]}: expected {len(drawers)} drawers as "
                f"the first character has, got {len(found[key])}"
            )
    images = np.empty((len(classes), len(drawers), SIDE, SIDE), np.uint8)
    for i, key in enumerate(classes):
        for j, drawer in enumerate(drawers):
            images[i, j] = _read_scan(path, file, found[key][drawer])
    source = f"Omniglot archive {path.name}"
    return CharacterImages(images, tuple(alphabet for _, alphabet in classes), source)


def _read_scan(path: Path, file: zipfile.ZipFile, name: str) -> NDArray[np.uint8]:
    """Return one image, inverted and averaged to `(28, 28)`; Pillow's box filter made the pack."""
    raw = file.read(name)
    try:
        with Image.open(io.BytesIO(raw)) as scan:
            if scan.size != (SCAN, SCAN):
                raise DatasetError(
                    f"{path}: {name}: expected {SCAN}x{SCAN} pixels, got {scan.size}"
                )
            small = scan.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: {name}: not a PNG image: {_line(error)}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{path}: {name}: damaged image: {_line(error)}") from error
    return 255 - np.asarray(small)


def _nan(values: NDArray[np.generic]) -> str:
    holds = values.dtype.kind == "f" and bool(np.isnan(values).any())
    return " holding NaN" if holds else ""


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
