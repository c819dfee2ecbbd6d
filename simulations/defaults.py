"""What a study is when nothing else is said; settings were found on validation tasks."""

from collections.abc import Mapping
from typing import Any

from tinyfleet.errors import StudyError
from tinyfleet.simulations.applications import APPLICATIONS, Application, find_application
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
    application = find_application(app)
    strategy = str(given.get("strategy", application.strategy))
    values = default_values(app, strategy)
    _check_read(given, application, strategy, source)
    if "per_round" not in given and isinstance(given.get("devices"), int):
        values["per_round"] = min(values["per_round"], given["devices"])
    if given.get("network") == "":
        given = {**given, "network": values["network"]}
    own = check_table(given.get("training", {}), f"{source}: training")
    if strategy == "fedsgd" and not set(own) <= {"rate"}:
        raise StudyError(f"{source}: training: fedsgd reads the rate alone, got {', '.join(own)}")
    return study_from({**values, **given, "training": {**values["training"], **own}}, source)


def _check_read(
    given: Mapping[str, Any], application: Application, strategy: str, source: str
) -> None:
    """Refuse keys that only other strategies or applications read: here they would do nothing."""
    read = {*application.reads, *keys_read(strategy)}
    readers: dict[str, list[str]] = {}
    for name in STRATEGIES:
        for key in keys_read(name):
            readers.setdefault(key, []).append(name)
    for name, one in APPLICATIONS.items():
        for key in one.reads:
            readers.setdefault(key, []).append(name)
    for key in given:
        if key in readers and key not in read:
            raise StudyError(
                f"{source}: {key}: {application.name} with {strategy_name(strategy)} does not read "
                f"it, {', '.join(readers[key])} do; leave it out"
            )
