"""Drift of images: a device's camera is turned, moved and zoomed, the same for all it sees."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError
from tinyfleet.task import Floats

DRAWS = 4  # numbers that place one camera: angle, two shifts, zoom


@dataclass(frozen=True)
class Drift:
    """How far cameras may be off; the defaults are the drift of TECS 2024, application I.

    Attributes:
        rotation: largest angle either way, in degrees.
        shift: largest move along each axis either way, as a share of the side.
        zoom: largest change of size either way, as a share; below 1.

    Raises:
        DatasetError: a bound is negative or not finite, or zoom is 1 or more.
    """

    rotation: float = 10.0
    shift: float = 0.1
    zoom: float = 0.1

    def __post_init__(self) -> None:
        for name, value, most in (
            ("rotation", self.rotation, math.inf),
            ("shift", self.shift, math.inf),
            ("zoom", self.zoom, 1.0),
        ):
            if not (math.isfinite(value) and 0.0 <= value < most):
                raise DatasetError(
                    f"drift.{name}: expected at least 0 and below {most}, got {value}"
                )


def drifted(images: Floats, drift: Drift, u: NDArray[np.float64]) -> Floats:
    """Return each device's images as its camera sees them, interpolated bilinearly; outside is 0.

    Args:
        images: `(n, m, side, side)`, m images of each of n devices.
        drift: bounds of the cameras' errors, each drawn uniformly between minus and plus.
        u: numbers in [0, 1) that place the cameras, `(n, 4)`.
    """
    n, m, side, _ = images.shape
    places, weights = _neighbours(side, drift, u)
    seen = np.zeros((n, m, side * side), np.float32)
    for i, flat in enumerate(images.reshape(n, m, side * side)):
        for place, weight in zip(places[i], weights[i], strict=True):
            seen[i] += flat[:, place] * weight
    return seen.reshape(images.shape)


def _neighbours(
    side: int, drift: Drift, u: NDArray[np.float64]
) -> tuple[NDArray[np.int64], Floats]:
    """Return the 4 source pixels of each seen pixel and their weights, both `(n, 4, side**2)`."""
    error = 2.0 * u - 1.0
    angle = np.deg2rad(drift.rotation) * error[:, :1]
    move_x, move_y = (drift.shift * side * error[:, i : i + 1] for i in (1, 2))
    scale = 1.0 + drift.zoom * error[:, 3:]
    middle = (side - 1) / 2
    y, x = (axis.ravel() - middle for axis in np.mgrid[:side, :side])
    x, y = (x - move_x) / scale, (y - move_y) / scale  # (n, side**2)
    source_x = np.cos(angle) * x + np.sin(angle) * y + middle
    source_y = np.cos(angle) * y - np.sin(angle) * x + middle
    left, top = np.floor(source_x), np.floor(source_y)
    right_share, low_share = source_x - left, source_y - top
    places, weights = [], []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = top + down, left + right
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        share = np.where(down, low_share, 1 - low_share) * np.where(
            right, right_share, 1 - right_share
        )
        places.append(np.where(inside, row * side + column, 0))
        weights.append(np.where(inside, share, 0.0))
    return (
        np.stack(places, axis=1).astype(np.int64),
        np.stack(weights, axis=1).astype(np.float32),
    )
