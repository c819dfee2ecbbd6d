"""Where a device's samples come from: a recorded file, a generator, or the board's own sensor.

A generator is an entry point of the group "tinyfleet.sources": a factory that takes the source's
options and the network, and returns the task of a device in a round.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyfleet.client.npz import read_arrays
from tinyfleet.errors import ConfigError, DatasetError, FleetError
from tinyfleet.network import Network
from tinyfleet.task import Task, check_finite

Floats = NDArray[np.float32]

Tasks = Callable[[int, int], Task]
"""The task of a device, by its number, in a round."""

Factory = Callable[[Mapping[str, Any], Network], Tasks]
"""What an entry point of "tinyfleet.sources" names."""

GROUP = "tinyfleet.sources"


@dataclass(frozen=True)
class Sensor:
    """The board's own sensor: it reads `samples` a round and learns each as it comes."""

    samples: int


@dataclass(frozen=True)
class Recorded:
    """A recorded stream: each round takes the next samples, and starts over at the end.

    Attributes:
        x: samples in their order, `(n, *input_shape)` float32.
        y: their targets, `(n, outputs)` float32.
        samples: how many a round takes, 1..n.
    """

    x: Floats = field(repr=False)
    y: Floats = field(repr=False)
    samples: int

    def __call__(self, device: int, round_number: int) -> Task:
        """Return the round's samples as support, without a query; all devices have the same."""
        del device
        first = (round_number - 1) * self.samples
        rows = np.arange(first, first + self.samples) % len(self.x)
        none = slice(0, 0)
        return Task(self.x[rows], self.y[rows], self.x[none], self.y[none])


def open_source(options: Mapping[str, Any], network: Network, place: str) -> Tasks | Sensor:
    """Return what the `source` table of a device describes.

    Args:
        options: the table; `kind` says what it is, the rest are its options.
        network: what learns from it.
        place: file and field, for errors.

    Raises:
        ConfigError: an unknown kind, or options that it does not take.
        DatasetError: a file that is missing, damaged or does not fit the network.
    """
    kind = options["kind"]
    own = {key: value for key, value in options.items() if key != "kind"}
    if kind == "recorded":
        return _recorded(own, network, place)
    if kind == "sensor":
        _check_keys(own, {"samples"}, place)
        return Sensor(_samples(own.get("samples", 32), 2**31 - 1, place))
    generators = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in generators:
        known = ", ".join(["recorded", "sensor", *sorted(generators)])
        raise ConfigError(f"{place}: kind: expected one of {known}, got {kind!r}")
    try:
        factory: Factory = generators[kind].load()
        return factory(own, network)
    except FleetError as error:
        raise type(error)(f"{place}: {error}") from None
    except ImportError as error:
        raise ConfigError(
            f"{place}: kind: {kind} needs a package that is not installed ({error}); "
            "pip install 'tinyfleet[simulation]'"
        ) from None


def _recorded(options: Mapping[str, Any], network: Network, place: str) -> Recorded:
    _check_keys(options, {"file", "samples"}, place)
    if not isinstance(options.get("file"), str):
        raise ConfigError(f"{place}: file: expected an .npz file, got {options.get('file')!r}")
    path = Path(options["file"])
    x, y = _arrays(path)
    for name, array, shape in (
        ("x", x, network.input_shape),
        ("y", y, (network.outputs,)),
    ):
        if array.dtype != np.float32 or array.shape[1:] != shape or not len(array):
            raise DatasetError(
                f"{path}: {name}: expected float32 of shape (n, {', '.join(map(str, shape))}) for "
                f"network {network.name}, got {array.dtype} of shape {array.shape}"
            )
        check_finite(f"{path}: {name}", array)
    if len(x) != len(y):
        raise DatasetError(f"{path}: y: expected {len(x)} rows, as many as x has, got {len(y)}")
    return Recorded(x, y, _samples(options.get("samples", len(x)), len(x), place))


def _arrays(path: Path) -> tuple[Floats, Floats]:
    found = read_arrays(path, ("x", "y"))
    for name in ("x", "y"):
        if name not in found:
            raise DatasetError(
                f"{path}: expected arrays x and y, got no {name}; "
                "write it with numpy.savez(file, x=..., y=...)"
            )
    return found["x"], found["y"]


def _check_keys(options: Mapping[str, Any], known: set[str], place: str) -> None:
    for key in options:
        if key not in known:
            raise ConfigError(
                f"{place}: expected only the keys kind, {', '.join(sorted(known))}, got {key!r}"
            )


def _samples(value: Any, most: int, place: str) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise ConfigError(
            f"{place}: samples: expected a whole number of 1 to {most}, got {value!r}"
        )
    return value
