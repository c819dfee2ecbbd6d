"""A head on disk: one .npz file without pickles, with a checksum, that appears whole.

Arrays: format (1), network (TOML), weights, count, mean, squares, classes, rate, samples, labelled,
hits, and sha256 over all others in this order. The same head makes the same bytes.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.atomic import write_atomically
from tinyfleet.client.head import Head, Scaling
from tinyfleet.client.npz import read_arrays
from tinyfleet.description import network_from_toml, network_to_toml
from tinyfleet.errors import DatasetError, FleetError

FORMAT = 1

_FIELDS = (
    *("format", "network", "weights", "count", "mean", "squares"),
    *("classes", "rate", "samples", "labelled", "hits"),
)


def save_head(path: str | Path, head: Head) -> None:
    """Write `head` to `path`: a reader finds the old file or the new one, never a part.

    Raises:
        FleetError: the file cannot be written.
    """
    values: tuple[Any, ...] = (
        *(np.int64(FORMAT), network_to_toml(head.network), head.weights),
        *(np.int64(head.scaling.count), head.scaling.mean, head.scaling.squares),
        *(np.array(head.classes, np.str_), np.float64(head.rate)),
        *(np.int64(head.samples), np.int64(head.labelled), np.int64(head.hits)),
    )
    arrays = {name: np.asarray(value) for name, value in zip(_FIELDS, values, strict=True)}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, sha256=np.array(_checksum(arrays)), **arrays)
    write_atomically(path, file.getvalue())


def load_head(path: str | Path) -> Head:
    """Read the head that `save_head` wrote to `path`.

    Raises:
        DatasetError: the file is missing, damaged, cut short, or holds no head.
    """
    path = Path(path)
    arrays = read_arrays(path, (*_FIELDS, "sha256"))
    missing = [name for name in (*_FIELDS, "sha256") if name not in arrays]
    if missing:
        raise DatasetError(
            f"{path}: expected a head as save_head wrote it, got none of {', '.join(missing)}"
        )
    if str(arrays.pop("sha256")) != _checksum(arrays):
        raise DatasetError(
            f"{path}: expected the checksum that it carries, got another; "
            "restore it, or begin anew without it"
        )
    if (found := int(arrays["format"])) != FORMAT:
        raise DatasetError(
            f"{path}: expected a head of format {FORMAT}, got {found}; "
            "install the tinyfleet that wrote it"
        )
    return _head(path, arrays)


def _head(path: Path, arrays: dict[str, NDArray[Any]]) -> Head:
    network = network_from_toml(str(arrays["network"]), str(path))
    scaling = Scaling(int(arrays["count"]), arrays["mean"], arrays["squares"])
    counts = (int(arrays["samples"]), int(arrays["labelled"]), int(arrays["hits"]))
    classes = tuple(str(name) for name in arrays["classes"])
    try:
        return Head(network, arrays["weights"], scaling, classes, float(arrays["rate"]), *counts)
    except FleetError as error:
        raise DatasetError(f"{path}: {error}") from None


def _checksum(arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in _FIELDS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
