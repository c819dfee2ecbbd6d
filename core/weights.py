"""The vector of a network as a file: float32, one dimension, NumPy's .npy format 1.0."""

import io
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tinyfleet.atomic import write_atomically
from tinyfleet.errors import NetworkError
from tinyfleet.network import Network

Floats = NDArray[np.float32]


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
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version}")
        shape, _, dtype = npy.read_array_header_1_0(file)
    except (ValueError, SyntaxError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise NetworkError(
            f"{path}: expected a .npy file of format 1.0, got {reason}; write it with save_weights"
        ) from None
    if dtype != np.float32 or shape != (network.parameters,):
        raise NetworkError(
            f"{path}: expected {network.parameters} float32 of network {network.name}, "
            f"got {dtype} of shape {shape}"
        )
    content = data[file.tell() :]
    if len(content) != 4 * network.parameters:
        raise NetworkError(
            f"{path}: expected {4 * network.parameters} bytes behind the header, "
            f"got {len(content)}; the file is cut short or has grown: copy it again"
        )
    return network.check_weights(np.frombuffer(content, np.float32).copy(), str(path))
