"""The vector of a network as a file: float32, one dimension, NumPy's .npy format 1.0."""

import ast
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tinyfleet.atomic import write_atomically
from tinyfleet.errors import NetworkError
from tinyfleet.network import Network

Floats = NDArray[np.float32]

_MAGIC = b"\x93NUMPY\x01\x00"  # format 1.0; two bytes of header length follow, little-endian


def save_weights(path: str | Path, vector: Floats) -> None:
    """Write `vector`, `(parameters,)` float32, to `path` as .npy; the file appears whole.

    Raises:
        NetworkError: this is no vector of finite float32.
        FleetError: the file cannot be written.
    """
    if vector.dtype != np.float32 or vector.ndim != 1:
        raise NetworkError(
            f"{path}: weights: expected one float32 vector, "
            f"got {vector.dtype} of shape {vector.shape}"
        )
    if not np.isfinite(vector).all():
        raise NetworkError(f"{path}: weights: expected finite numbers, got NaN or infinity")
    file = io.BytesIO()
    npy.write_array(file, vector, version=(1, 0), allow_pickle=False)
    write_atomically(path, file.getvalue())


def load_weights(path: str | Path, network: Network) -> Floats:
    """Read the vector of `network`, `(parameters,)` float32, from the .npy file at `path`.

    Raises:
        NetworkError: the file is missing, no .npy, cut short, of another network, or not finite.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise NetworkError(
            f"{path}: expected a .npy file of weights, got {error.strerror or error}"
        ) from None
    length = len(_MAGIC) + 2 + int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + 2], "little")
    header = _header(data[len(_MAGIC) + 2 : length]) if data.startswith(_MAGIC) else None
    if header is None:
        raise NetworkError(
            f"{path}: expected a .npy file of format 1.0, got {len(data)} other bytes; "
            "write it with save_weights"
        )
    expected = {"descr": "<f4", "fortran_order": False, "shape": (network.parameters,)}
    if header != expected:
        raise NetworkError(
            f"{path}: expected {network.parameters} float32 of network {network.name}, "
            f"got {header.get('descr')!r} of shape {header.get('shape')!r}"
        )
    content = data[length:]
    if len(content) != 4 * network.parameters:
        raise NetworkError(
            f"{path}: expected {4 * network.parameters} bytes behind the header, "
            f"got {len(content)}; the file is cut short or has grown: copy it again"
        )
    return network.check_weights(np.frombuffer(content, "<f4").astype(np.float32), str(path))


def _header(text: bytes) -> dict[str, Any] | None:
    """Return the dictionary that describes an array, or None when there is none."""
    try:
        header = ast.literal_eval(text.decode("ascii").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return header if isinstance(header, dict) else None
