"""Rooms: what sensors measured every five minutes, and whether somebody was there."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.client.npz import read_arrays
from tinyfleet.errors import DatasetError

PACK = "presence_fleet_5min.npz"
SENSORS = ("co2", "temperature", "humidity", "light")
_RANGES = ((0.0, 1e5), (-50.0, 100.0), (0.0, 100.0), (0.0, 2e5))
"""What air and lamps can be, by sensor: ppm, degrees Celsius, percent and lux."""
PERIOD = 5  # minutes between two rows
LONGEST = 10 * 366 * 1440  # minutes of a room: features need a grid without gaps
_ARRAYS = (*SENSORS, "room", "room_names", "minute_local", "presence")


@dataclass(frozen=True, eq=False)
class PresenceRows:
    """Rows of several rooms, room by room and ascending in time; gaps are rows that lack.

    Attributes:
        rooms: their names.
        room: the room of each row, a place in `rooms`, `(n,)`.
        minute: minutes since 1970 in local time, `(n,)`; a room's are whole periods apart.
        measured: CO2 in ppm, temperature in degrees Celsius, relative humidity in percent, light
            in lux, `(n, 4)`; light is NaN where a room has no such sensor.
        present: whether somebody was there, `(n,)`.
        source: where they are from, in plain words.

    Raises:
        DatasetError: rows that are not finite, or a room's times that do not ascend in periods
            or span more than ten years.
    """

    rooms: tuple[str, ...]
    room: NDArray[np.int64] = field(repr=False)
    minute: NDArray[np.int64] = field(repr=False)
    measured: NDArray[np.float64] = field(repr=False)
    present: NDArray[np.bool_] = field(repr=False)
    source: str

    def __post_init__(self) -> None:
        if not len(self.room):
            raise DatasetError(f"{self.source}: expected rows, got none")
        light = self.measured[:, 3]
        if not np.isfinite(self.measured[:, :3]).all() or np.isinf(light).any():
            raise DatasetError(
                f"{self.source}: expected finite co2, temperature and humidity in every row, and "
                "light that is finite or NaN; leave out the rows that lack them"
            )
        steps = np.diff(self.minute)
        same = np.diff(self.room) == 0
        if (np.diff(self.room) < 0).any() or ((steps <= 0) | (steps % PERIOD != 0))[same].any():
            raise DatasetError(
                f"{self.source}: minute_local: expected each room's times once, whole multiples of "
                f"{PERIOD} minutes apart"
            )
        starts = np.flatnonzero(np.diff(self.room, prepend=-1))
        longest = int((np.maximum.reduceat(self.minute, starts) - self.minute[starts]).max())
        if longest > LONGEST:
            raise DatasetError(
                f"{self.source}: minute_local: expected a room's rows within {LONGEST} minutes "
                f"(ten years), got {longest}; give minutes, not seconds"
            )

    @property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of rows and names, not of the source."""
        digest = hashlib.sha256(repr(self.rooms).encode())
        for array in (self.room, self.minute, self.measured, self.present):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    def of(self, room: int) -> slice:
        """Return where the rows of a room lie."""
        first, stop = np.searchsorted(self.room, [room, room + 1]).tolist()
        return slice(first, stop)


def find_presence(data: Path | None, environ: Mapping[str, str]) -> PresenceRows:
    """Return the rooms there are: those of `data`, else of the pack in `TINYFLEET_DATA`.

    There is no download: the pack joins three published data sets whose archives are of three
    kinds. `docs/presence.md` says which, and what a file holds.

    Raises:
        DatasetError: what is named is not there or damaged, or nothing is found.
    """
    if data is not None:
        return load_presence(data)
    named = environ.get("TINYFLEET_DATA")
    if named and not Path(named).is_dir():
        raise DatasetError(f"TINYFLEET_DATA: expected a folder, got {named}; correct or unset it")
    if named and (Path(named) / PACK).is_file():
        return load_presence(Path(named) / PACK)
    raise DatasetError(
        f"presence: expected {PACK} in the folder that TINYFLEET_DATA names, got none; "
        "simulate takes other files, --data FILE (docs/presence.md says what it holds)"
    )


def load_presence(path: Path) -> PresenceRows:
    """Read a pack: an .npz of `room`, `room_names`, `minute_local`, four sensors and `presence`.

    Rows may come in any order. A name without rows is no room.

    Raises:
        DatasetError: the file is missing or damaged, an array is missing, or one has other values.
    """
    found = read_arrays(path, _ARRAYS)
    for name in _ARRAYS:
        if name not in found:
            held = ", ".join(sorted(found)) or "none of its arrays"
            raise DatasetError(f"{path}: expected a pack of rooms with `{name}`, got {held}")
    names = found["room_names"].ravel()
    length = len(np.ravel(found["room"]))
    for name in (*SENSORS, "room", "minute_local", "presence"):
        if found[name].shape != (length,):
            raise DatasetError(
                f"{path}: {name}: expected shape ({length},), as many as `room` has, "
                f"got {found[name].shape}"
            )
    for name, most in (("room", len(names) - 1), ("presence", 1), ("minute_local", 2**40)):
        _check_whole(path, name, found[name], most)
    for name, (lowest, highest) in zip(SENSORS, _RANGES, strict=True):
        if found[name].dtype.kind not in "fiu":
            raise DatasetError(f"{path}: {name}: expected numbers, got {found[name].dtype}")
        known = found[name][~np.isnan(found[name])]
        if len(known) and not lowest <= known.min() <= known.max() <= highest:
            raise DatasetError(
                f"{path}: {name}: expected {lowest:g} to {highest:g}, or nan for unknown, "
                f"got {known.min():g} to {known.max():g}"
            )
    order = np.lexsort((found["minute_local"], found["room"]))
    places, room = np.unique(found["room"][order], return_inverse=True)
    measured = np.stack([found[name][order].astype(np.float64) for name in SENSORS], axis=1)
    return PresenceRows(
        tuple(str(names[place]) for place in places),
        room.astype(np.int64),
        found["minute_local"][order].astype(np.int64),
        measured,
        found["presence"][order].astype(np.bool_),
        f"presence of {len(places)} rooms, pack {path.name}",
    )


def _check_whole(path: Path, name: str, values: NDArray[Any], most: int) -> None:
    if values.dtype.kind not in "iub":
        got = f"{values.dtype}"
    elif len(values) and not 0 <= int(values.min()) <= int(values.max()) <= most:
        got = f"{values.min()} to {values.max()}"
    else:
        return
    raise DatasetError(f"{path}: {name}: expected whole numbers of 0 to {most}, got {got}")


def only(rows: PresenceRows, rooms: NDArray[np.int64], source: str) -> PresenceRows:
    """Return the rows of `rooms`, ascending places, renumbered from 0."""
    kept = np.isin(rows.room, rooms)
    return PresenceRows(
        tuple(rows.rooms[i] for i in rooms),
        np.searchsorted(rooms, rows.room[kept]),
        rows.minute[kept],
        rows.measured[kept],
        rows.present[kept],
        source,
    )


def shared_rooms(rows: PresenceRows, others: PresenceRows) -> NDArray[np.bool_]:
    """Return which rooms of `rows` have a row that `others` hold too, `(rooms,)`.

    Rows are the same when time, CO2, temperature and humidity are.
    """
    known = set(_keys(others))
    shared = np.zeros(len(rows.rooms), np.bool_)
    found = np.array([key in known for key in _keys(rows)], np.bool_)
    shared[rows.room[found]] = True
    return shared


def _keys(rows: PresenceRows) -> list[bytes]:
    told = np.column_stack([rows.minute.astype(np.float64), rows.measured[:, :3]])
    return [row.tobytes() for row in told]
