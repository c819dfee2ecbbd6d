"""Read .npz archives that somebody else may have damaged: arrays alone, never pickles."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import DatasetError

_DAMAGE = (
    *(ValueError, KeyError, EOFError, OSError, TypeError, MemoryError, struct.error),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, SyntaxError),
)


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Return those arrays of the .npz file at `path` that have one of `names`.

    Raises:
        DatasetError: the file is missing, no archive, damaged, or has pickled objects there.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path}: expected a readable .npz archive: {error.strerror or error}"
        ) from None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in names if name in archive}
    except _DAMAGE:
        raise DatasetError(
            f"{path}: expected a .npz archive of plain arrays (pickled objects are never read), "
            f"got {len(content)} bytes that are damaged or something else; write it again"
        ) from None
