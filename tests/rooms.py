"""Small rooms for tests: three weeks of six of them, with somebody there from nine to five."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.simulations.datasets.presence import PresenceRows, load_presence

DAYS = 21


def room_arrays(rooms: int = 6, seed: int = 5) -> dict[str, NDArray[Any]]:
    """Return what a pack holds: CO2 follows the people, the rest is noise; one room has light."""
    rng = np.random.default_rng(seed)
    minute = np.tile(np.arange(0, DAYS * 1440, 5) + 27_000_000 // 1440 * 1440, rooms)
    room = np.repeat(np.arange(rooms), DAYS * 288)
    hour = minute % 1440 // 60
    present = (hour >= 9) & (hour < 17)
    n = len(room)
    light = np.where(room == 0, 100.0 * present, np.nan)
    return {
        "co2": (420 + 300 * present + rng.normal(0, 20, n)).astype(np.float32),
        "temperature": (21 + rng.normal(0, 1, n)).astype(np.float32),
        "humidity": (50 + rng.normal(0, 2, n)).astype(np.float32),
        "light": light.astype(np.float32),
        "presence": present.astype(np.uint8),
        "room": room.astype(np.uint8),
        "room_names": np.array([f"room_{i}" for i in range(rooms)]),
        "minute_local": minute.astype(np.int32),
    }


def write_rooms(path: Path, arrays: dict[str, NDArray[Any]]) -> Path:
    """Write a pack and return where it is."""
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def made_rooms(folder: Path, rooms: int = 6, seed: int = 5) -> PresenceRows:
    """Return the small rooms, read from a file."""
    return load_presence(write_rooms(folder / "rooms.npz", room_arrays(rooms, seed)))
