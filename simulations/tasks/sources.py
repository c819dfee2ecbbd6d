"""Families of tasks as sources of a gateway's devices, by entry points of "tinyfleet.sources".

A device of a gateway gets exactly the tasks that the device of its number gets in a simulation.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyfleet.errors import ConfigError, DatasetError
from tinyfleet.network import Network
from tinyfleet.simulations.datasets.characters import find_characters
from tinyfleet.simulations.datasets.keywords import find_keywords
from tinyfleet.simulations.tasks.characters import Episodes, characters_family
from tinyfleet.simulations.tasks.drift import Drift
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.simulations.tasks.keywords import KeywordEpisodes, keywords_family
from tinyfleet.simulations.tasks.noise import Room, WhiteNoise
from tinyfleet.simulations.tasks.sine import maml2017, tecs2024
from tinyfleet.task import Task

Tasks = Callable[[int, int], Task]


def sine(options: Mapping[str, Any], network: Network) -> Tasks:
    """Return training tasks of sine curves.

    Options: `seed`, `setting` ("tecs2024" or "maml2017"), `support`, `query`, `min_support`,
    `noise`; they mean what they mean in a study.

    Raises:
        ConfigError: an option that is unknown or of the wrong type.
        DatasetError: one that is out of its range, or tasks that do not fit the network.
    """
    read = _Options(options)
    make = {"tecs2024": tecs2024, "maml2017": maml2017}[
        read.choice("setting", "tecs2024", "maml2017")
    ]
    family = make(read.whole("seed", 1), support=read.whole("support", 32))
    family = replace(
        family,
        query=read.whole("query", 0),
        query_at="random",
        min_support=read.whole("min_support", 0) or None,
        noise=read.number("noise", 0.0),
    )
    read.finish()
    return _tasks_of(family, network)


def characters(options: Mapping[str, Any], network: Network) -> Tasks:
    """Return training tasks of telling characters apart.

    Options: `seed`, `ways`, `support` and `query` (images of a class), `min_support`, `noise`,
    `drift`, `file` (a pack or an archive; without one what is found, but nothing is downloaded);
    they mean what they mean in a study.

    Raises:
        ConfigError: an option that is unknown or of the wrong type.
        DatasetError: one that is out of its range, data that are missing or damaged, or tasks that
            do not fit the network.
    """
    read = _Options(options)
    file = read.text("file", "")
    episodes = Episodes(
        ways=read.whole("ways", 5),
        shots=read.whole("support", 10),
        query_shots=read.whole("query", 0),
        min_shots=read.whole("min_support", 0) or None,
        noise=read.number("noise", 0.0),
        drift=Drift() if read.truth("drift", False) else None,
    )
    seed = read.whole("seed", 1)
    read.finish()
    images = find_characters(Path(file) if file else None, os.environ)
    return _tasks_of(characters_family(images, "train", seed, episodes), network)


def keywords(options: Mapping[str, Any], network: Network) -> Tasks:
    """Return training tasks of telling spoken words apart.

    Options: `seed`, `ways`, `support` and `query` (takes of a keyword), `min_support`, `speakers`,
    `noise`, `drift`, `file` (a pack or an archive; without one what is found, but nothing is
    downloaded); they mean what they mean in a study.

    Raises:
        ConfigError: an option that is unknown or of the wrong type.
        DatasetError: one that is out of its range, data that are missing or damaged, or tasks that
            do not fit the network.
    """
    read = _Options(options)
    file = read.text("file", "")
    episodes = KeywordEpisodes(
        ways=read.whole("ways", 4),
        shots=read.whole("support", 5),
        query_shots=read.whole("query", 0),
        min_shots=read.whole("min_support", 0) or None,
        speakers=read.whole("speakers", 1),
        room=Room(noise=read.number("noise", 0.0)),
        drift=WhiteNoise() if read.truth("drift", False) else None,
    )
    seed = read.whole("seed", 1)
    read.finish()
    takes = find_keywords(Path(file) if file else None, os.environ)
    return _tasks_of(keywords_family(takes, "train", seed, episodes), network)


def _tasks_of(family: TaskFamily, network: Network) -> Tasks:
    if (network.input_shape, network.outputs) != (family.input_shape, family.outputs):
        raise DatasetError(
            f"expected samples of {network.input_shape} and {network.outputs} outputs for network "
            f"{network.name}, got {family.input_shape} and {family.outputs}"
        )

    def task(device: int, round_number: int) -> Task:
        return family.batch(np.array([device], np.int64), round_number).task(0)

    return task


class _Options:
    """Options being read, each once; what is left at the end is unknown."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._given = options
        self._known: list[str] = []

    def whole(self, name: str, default: int) -> int:
        value = self._value(name, default)
        if type(value) is not int:  # a bool is an int as well
            raise ConfigError(f"{name}: expected a whole number, got {value!r}")
        return value

    def number(self, name: str, default: float) -> float:
        value = self._value(name, default)
        if type(value) not in (int, float):
            raise ConfigError(f"{name}: expected a number, got {value!r}")
        return float(value)

    def text(self, name: str, default: str) -> str:
        value = self._value(name, default)
        if not isinstance(value, str):
            raise ConfigError(f"{name}: expected a text in quotes, got {value!r}")
        return value

    def truth(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise ConfigError(f"{name}: expected true or false, got {value!r}")
        return value

    def choice(self, name: str, *choices: str) -> str:
        value = self._value(name, choices[0])
        if value not in choices:
            raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
        return str(value)

    def finish(self) -> None:
        """Raise `ConfigError` when an option was given that nobody has read."""
        for name in self._given:
            if name not in self._known:
                raise ConfigError(
                    f"expected only the keys kind, {', '.join(self._known)}, got {name!r}"
                )

    def _value(self, name: str, default: Any) -> Any:
        self._known.append(name)
        return self._given.get(name, default)
