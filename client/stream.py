"""What a device hears over time: samples with the labels that somebody gave some of them."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tinyfleet.client.npz import read_arrays
from tinyfleet.client.sound import read_sound
from tinyfleet.client.tflite import Tensor
from tinyfleet.errors import DatasetError
from tinyfleet.mfcc import CLIP, spoken
from tinyfleet.task import check_finite

Floats = NDArray[np.float32]

LABEL, DEVICE = "label", "device"
"""Columns of a recorded stream that are no numbers of a sample."""

SOUND = (".wav", ".flac")
"""Endings of files of sound."""


@dataclass(frozen=True)
class Sample:
    """One moment of a device's stream.

    Attributes:
        x: what the feature extractor takes, float32.
        label: its class, when somebody said.
    """

    x: Floats = field(repr=False)
    label: str | None = None


class Stream(Protocol):
    """Where samples come from: a recording, or what a gateway hears from its device."""

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples in the order of time."""
        ...


@dataclass(frozen=True)
class Recording:
    """A recorded stream of one device.

    Attributes:
        x: samples in the order of time, `(n, *shape)` float32, finite.
        labels: class of each sample; None where nobody said.
    """

    x: Floats = field(repr=False)
    labels: tuple[str | None, ...] = field(repr=False)

    def __iter__(self) -> Iterator[Sample]:
        return (Sample(x, label) for x, label in zip(self.x, self.labels, strict=True))

    def __len__(self) -> int:
        return len(self.x)

    def after(self, samples: int) -> "Recording":
        """Return what follows the first `samples`."""
        return Recording(self.x[samples:], self.labels[samples:])

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({label for label in self.labels if label is not None}))


@dataclass(frozen=True)
class AudioIn:
    """Sound as it is heard, a `Stream`: each second is a sample of 49 frames of 10 coefficients.

    Attributes:
        blocks: samples at 16 kHz as they come, such as `tinyfleet.client.sound.pcm_blocks`.
        step: samples from the start of one second to that of the next.
    """

    blocks: Iterable[NDArray[np.int16]] = field(repr=False)
    step: int = CLIP

    def __iter__(self) -> Iterator[Sample]:
        return (Sample(x) for x in spoken(self.blocks, self.step))


def load_recordings(
    path: str | Path, shape: tuple[int, ...], codes: Tensor | None = None
) -> dict[int, Recording]:
    """Read the recorded stream of each device from a .npz or .csv file, or one of sound.

    A .npz holds `x` `(n, ...)` of numbers, and may hold `label` `(n,)` of text or whole numbers,
    and `device` `(n,)` of whole numbers. A .csv has a header; its columns `label` and `device` are
    what they say, all others are the numbers of a sample, in order. A label that is empty or below
    0 is none. Without `device` all samples are of device 0. A .wav or .flac at 16 kHz is a stream
    of device 0 without labels: each second is a sample, as `tinyfleet.mfcc` makes it.

    Args:
        path: the file.
        shape: that samples are to have; theirs may differ where it holds as many numbers.
        codes: a model's quantised input: whole numbers of its own type in a .npz are its codes,
            and become the real values that they stand for.

    Returns:
        Recordings by number of the device, ascending.

    Raises:
        DatasetError: the file is missing, damaged, of another kind or shape, or not finite.
    """
    path = Path(path)
    columns = _columns(path)
    x = _samples(path, _real(path, columns["x"], codes), shape)
    labels = _labels(path, columns.get(LABEL), len(x))
    devices = _devices(path, columns.get(DEVICE), len(x))
    return {
        int(device): Recording(x[places], tuple(labels[i] for i in places.tolist()))
        for device in np.unique(devices)
        for places in [np.flatnonzero(devices == device)]
    }


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    if path.suffix in SOUND:
        sound = read_sound(path)
        if len(sound) < CLIP:
            raise DatasetError(
                f"{path}: expected a second of sound or more, {CLIP} samples, got {len(sound)}"
            )
        return {"x": np.stack([*spoken([sound])])}
    return _from_csv(path) if path.suffix == ".csv" else _from_npz(path)


def _from_npz(path: Path) -> dict[str, NDArray[Any]]:
    columns = read_arrays(path, ("x", LABEL, DEVICE))
    if "x" not in columns:
        raise DatasetError(f"{path}: x: expected the samples under this name, got none")
    return columns


def _from_csv(path: Path) -> dict[str, NDArray[Any]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise DatasetError(
            f"{path}: expected a stream in CSV, got {error.strerror or error}"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: expected CSV in UTF-8, got {error}") from None
    if len(rows) < 2:
        raise DatasetError(f"{path}: expected a header and a line for each sample, got none")
    header = [name.strip() for name in rows[0]]
    numbers = [i for i, name in enumerate(header) if name not in (LABEL, DEVICE)]
    x = np.empty((len(rows) - 1, len(numbers)), np.float32)
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise DatasetError(f"{path}: line {line}: expected {len(header)} cells, got {len(row)}")
        try:
            x[line - 2] = [float(row[i]) for i in numbers]
        except ValueError as error:
            raise DatasetError(f"{path}: line {line}: expected numbers, got {error}") from None
    named = {
        name: np.array([row[header.index(name)].strip() for row in rows[1:]])
        for name in (LABEL, DEVICE)
        if name in header
    }
    return {"x": x, **named}


def _real(path: Path, x: NDArray[Any], codes: Tensor | None) -> NDArray[Any]:
    """Return real values: the array's type tells whether it holds them, or a model's codes."""
    if codes is None or not codes.scale or x.dtype.kind not in "iu":
        return x
    if x.dtype != codes.dtype:
        raise DatasetError(
            f"{path}: x: expected real values as float32, or codes as {codes.dtype}, which the "
            f"model takes, got {x.dtype}"
        )
    return codes.dequantised(x)


def _samples(path: Path, x: NDArray[Any], shape: tuple[int, ...]) -> Floats:
    if x.dtype.kind not in "fiu" or not x.ndim or not len(x):
        raise DatasetError(f"{path}: x: expected samples of numbers, got {x.dtype} of {x.shape}")
    expected, got = int(np.prod(shape)), int(np.prod(x.shape[1:]))
    if expected != got:
        raise DatasetError(
            f"{path}: x: expected samples of {shape}, which is {expected} numbers, "
            f"got {x.shape[1:]}, which is {got}; record what the model takes"
        )
    with np.errstate(over="ignore"):
        samples = x.astype(np.float32).reshape(len(x), *shape)
    check_finite(f"{path}: x", samples)
    return samples


def _labels(path: Path, label: NDArray[Any] | None, count: int) -> Sequence[str | None]:
    if label is None:
        return [None] * count
    _check_column(path, LABEL, label, count, "Uiu")
    if label.dtype.kind == "U":
        return [text or None for text in map(str, label)]
    return [str(number) if number >= 0 else None for number in label.tolist()]


def _devices(path: Path, device: NDArray[Any] | None, count: int) -> NDArray[np.int64]:
    if device is None:
        return np.zeros(count, np.int64)
    _check_column(path, DEVICE, device, count, "Uiu")
    try:
        numbers = device.astype(np.int64)
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{path}: device: expected whole numbers, got {error}") from None
    if numbers.min() < 0:
        raise DatasetError(f"{path}: device: expected 0 or more, got {numbers.min()}")
    return numbers


def _check_column(path: Path, name: str, column: NDArray[Any], count: int, kinds: str) -> None:
    if column.shape != (count,) or column.dtype.kind not in kinds:
        raise DatasetError(
            f"{path}: {name}: expected one text or whole number for each of {count} samples, "
            f"got {column.dtype} of {column.shape}"
        )
