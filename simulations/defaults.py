"""What a study is when nothing else is said; settings were found on validation tasks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tinyfleet.errors import StudyError
from tinyfleet.networks import NETWORKS, named_network
from tinyfleet.simulations.applications import APPLICATIONS, find_application
from tinyfleet.simulations.strategies import (
    PARALLEL,
    STRATEGIES,
    keys_read,
    strategy_name,
)
from tinyfleet.simulations.study import Study, check_keys, check_table, study_from

PLAIN: Mapping[str, Any] = {"seed": 1, "rounds": 200, "devices": 1000, "per_round": 32}

_ONLINE = {"rate": 0.01}
_BATCHED = {"rate": 0.01, "batch": 8}
_TRAININGS: Mapping[str, Mapping[str, Any]] = {
    "reptile": {"rate": 0.001, "batch": 10, "optimizer": "adam"},
    "fedavg": _BATCHED,
    "fedprox": {**_BATCHED, "proximal": 0.1},
    "ditto": {**_BATCHED, "proximal": 0.1},
    "flower-fedavg": _BATCHED,
    "flower-fedadam": _BATCHED,
    "flower-fedmedian": _BATCHED,
    "flower-krum": _BATCHED,
}


def default_values(app: str, strategy: str) -> dict[str, Any]:
    """Return the values of `app` under `strategy`; either may be the path of a file.

    Raises:
        StudyError: there is no such application or strategy.
    """
    application = find_application(app)
    name = strategy_name(strategy)
    known = application.network if isinstance(application.network, str) else ""
    return {
        **PLAIN,
        "app": app,
        "strategy": strategy,
        "network": known,
        "training": _TRAININGS.get(strategy, _ONLINE),
        **application.defaults,
        **({"per_round": 0} if strategy == PARALLEL else {}),
        **application.strategies.get(name, {}),
    }


def complete(given: Mapping[str, Any], source: str) -> Study:
    """Build the study that `given` describes; whatever it leaves out takes its default.

    Raises:
        StudyError: a key that is unknown, or that this application or strategy does not read.
    """
    check_keys(given, source)
    app = str(given.get("app", ""))
    with _of(source):
        application = find_application(app)
        strategy = str(given.get("strategy", application.strategy))
        values = default_values(app, strategy)
        read = {*application.reads, *keys_read(strategy)}
    _check_read(given, read, f"{application.name} with {strategy_name(strategy)}", source)
    if "per_round" not in given and isinstance(given.get("devices"), int):
        values["per_round"] = min(values["per_round"], given["devices"])
    if given.get("network") == "":
        given = {**given, "network": values["network"]}
    own = check_table(given.get("training", {}), f"{source}: training")
    if strategy == "fedsgd" and not set(own) <= {"rate"}:
        raise StudyError(f"{source}: training: fedsgd reads the rate alone, got {', '.join(own)}")
    study = study_from({**values, **given, "training": {**values["training"], **own}}, source)
    if "ways" in given and app in APPLICATIONS:
        _check_ways(study, source)
    return study


def _check_ways(study: Study, source: str) -> None:
    """Refuse ways that a network of ours has not as many outputs for, and say which to name."""
    if study.network not in NETWORKS:
        return
    network = named_network(study.network)
    if network.outputs == study.ways:
        return
    fitting = [
        name
        for name, one in ((name, named_network(name)) for name in NETWORKS)
        if (one.input_shape, one.outputs) == (network.input_shape, study.ways)
    ]
    choices = ", ".join([*fitting, f"a network file with {study.ways} outputs"])
    raise StudyError(
        f"{source}: ways: expected {network.outputs}, the outputs of network {network.name}, got "
        f"{study.ways}; set network to one that has as many: {choices} (docs/simulate.md shows one)"
    )


def _check_read(given: Mapping[str, Any], read: set[str], what: str, source: str) -> None:
    """Refuse keys that only other strategies or applications read: here they would do nothing."""
    readers = _readers()
    for key in given:
        if key in readers and key not in read:
            do = "does" if len(readers[key]) == 1 else "do"
            raise StudyError(
                f"{source}: {key}: {what} does not read it, {', '.join(readers[key])} {do}; "
                "leave it out"
            )


def without_unread(study: Mapping[str, object]) -> Mapping[str, Any]:
    """Return the values of a study without those that only other studies read.

    What a researcher's own file reads is not looked up; all that some application or strategy
    reads is kept then.
    """
    app, strategy = study.get("app"), study.get("strategy")
    applications = [one for one in APPLICATIONS.values() if one.name == app]
    strategies = [name for name in STRATEGIES if name == strategy]
    read = {key for one in applications or APPLICATIONS.values() for key in one.reads}
    read.update(key for name in strategies or STRATEGIES for key in keys_read(name))
    unread = _readers().keys() - read
    return {key: value for key, value in study.items() if key not in unread}


def _readers() -> dict[str, list[str]]:
    """Return who reads each key that not every study reads."""
    readers: dict[str, list[str]] = {}
    for name in STRATEGIES:
        for key in keys_read(name):
            readers.setdefault(key, []).append(name)
    for name, one in APPLICATIONS.items():
        for key in one.reads:
            readers.setdefault(key, []).append(name)
    return readers


@contextmanager
def _of(source: str) -> Iterator[None]:
    """Name the study file in what is refused."""
    try:
        yield
    except StudyError as error:
        raise StudyError(f"{source}: {error}") from error
