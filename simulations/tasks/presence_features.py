"""Eight numbers from which a device tells whether somebody is in its room, all from its own past.

A device needs a ring of the last 24 hours; nothing is looked up, fitted or sent. The scales are
round constants, the same on every device, that bring each number to about one.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tinyfleet.simulations.datasets.presence import PERIOD, PresenceRows
from tinyfleet.task import Floats

FEATURES = (
    "CO2 above its lowest of 24 h, log",
    "CO2 change in 15 min",
    "CO2 change in 60 min",
    "temperature about its mean of 24 h",
    "humidity change in 60 min",
    "sine of the hour",
    "cosine of the hour",
    "weekend",
)
LIGHT = "light, log"
"""What takes the place of the humidity's change where a study asks for light."""

SENSED = 5
"""The first features come from sensors, the others from a clock."""

MOST = 4.0
"""The features of sensors stay within plus or minus this."""

DAY = 24 * 60 // PERIOD  # rows of 24 hours
_HOUR, _QUARTER = 60 // PERIOD, 15 // PERIOD
_LEAST = DAY // 2  # rows of the last 24 hours that must be there
_MONDAY = 3  # 1970 began on a Thursday


def features(rows: PresenceRows, *, light: bool = False) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the features of each row, `(n, 8)`, and whether they are known, `(n,)`.

    They are known where the rows 15 and 60 minutes earlier and half of the last 24 hours are there,
    so never in a room's first 12 hours or right after a gap; unknown ones are 0. A light that is
    NaN counts as dark.
    """
    x = np.zeros((len(rows.room), len(FEATURES)))
    known = np.zeros(len(rows.room), np.bool_)
    for room in range(len(rows.rooms)):
        place = rows.of(room)
        x[place, :SENSED], known[place] = _sensed(rows.minute[place], rows.measured[place], light)
    angle = 2.0 * np.pi * (rows.minute % 1440) / 1440.0
    x[:, 5], x[:, 6] = np.sin(angle), np.cos(angle)
    x[:, 7] = (rows.minute // 1440 + _MONDAY) % 7 >= 5
    x[~known] = 0.0
    return x.astype(np.float32), known


def _sensed(
    minute: NDArray[np.int64], measured: NDArray[np.float64], light: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return one room's features of sensors, `(n, 5)`, and whether they are known, `(n,)`."""
    if not len(minute):
        return np.empty((0, SENSED)), np.empty(0, np.bool_)
    place = (minute - minute[0]) // PERIOD + DAY  # on a grid without gaps, after an empty day
    grid = np.full((int(place[-1]) + 1, 4), np.nan)
    grid[place] = measured
    co2, temperature, humidity, lux = grid.T
    there = np.isfinite(co2)
    since = slice(1, None)  # windows that end at grid rows DAY, DAY + 1, ...
    counts = _sum(there.astype(np.float64))[since]
    windows = sliding_window_view(np.where(there, co2, np.inf), DAY)[since]
    lowest = windows.min(axis=1)[place - DAY]
    warm = np.where(there, temperature, 0.0)
    share = np.maximum(counts, 1.0)
    mean = (_sum(warm)[since] / share)[place - DAY]
    square = (_sum(warm * warm)[since] / share)[place - DAY]
    spread = np.sqrt(np.maximum(square - mean * mean, 0.0))
    bright = np.log1p(np.maximum(np.nan_to_num(lux[place]), 0.0))
    found = np.column_stack(
        [
            (np.log1p(co2[place] - lowest) - 3.5) / 1.5,
            (co2[place] - co2[place - _QUARTER]) / 30.0,
            (co2[place] - co2[place - _HOUR]) / 80.0,
            (temperature[place] - mean) / np.maximum(spread, 0.1),
            bright / 3.0 - 1.0 if light else (humidity[place] - humidity[place - _HOUR]) / 2.0,
        ]
    )
    known = there[place - _QUARTER] & there[place - _HOUR] & (counts[place - DAY] >= _LEAST)
    return np.clip(np.nan_to_num(found), -MOST, MOST), known


def _sum(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of `DAY` values in a row, ending at rows DAY - 1, DAY, ..."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[DAY:] - total[:-DAY], np.float64)
