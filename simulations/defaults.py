"""What a study is when nothing else is said; settings were found on validation tasks."""

from collections.abc import Mapping
from typing import Any

from tinyfleet.errors import StudyError
from tinyfleet.simulations.study import (
    APPS,
    STRATEGIES,
    Study,
    check_keys,
    check_table,
    study_from,
)

DEFAULT_STRATEGIES = {"sine": "tinyreptile-parallel", "characters": "tinyreptile"}
PLAIN_ROUNDS = 200

_Values = dict[str, Any]

_APPS: dict[str, _Values] = {
    "sine": {
        "network": "sine",
        "devices": 1000,
        "support": 32,
        "tasks": 500,
        "validation_tasks": 500,
        "passes": (8, 32, 128),
    },
    "characters": {
        "network": "characters",
        "devices": 10_000,
        "support": 10,
        "tasks": 1000,
        "validation_tasks": 256,
    },
}

_ONLINE: _Values = {"rate": 0.01}
_BATCHED: _Values = {"rate": 0.01, "batch": 8}

_REPTILE: _Values = {
    "rounds": 10_000,
    "training": {"rate": 0.1, "batch": 5},
    "step": 1.0,
    "step_end": 0.0,
    "passes": (2, 8, 20),
    "rates": (0.05,),
}

# Settings of an application under a strategy, over those of the application.
_STRATEGIES: dict[tuple[str, str], _Values] = {
    ("sine", "tinyreptile"): {
        "devices": 10_000,
        "per_round": 1,
        "rounds": 2385,  # 5.5 million parameters, both ways
        "support": 256,
        "training": {"rate": 0.006},
        "step": 0.5,
        "step_end": 0.0,
        "rates": (0.003,),
    },
    ("sine", "tinyreptile-parallel"): {
        "per_round": 0,
        "training": {"rate": 0.006},
        "step": 0.5,
        "step_end": 0.1,
        "rates": (0.003,),
    },
    ("sine", "tinymetafed"): {
        "devices": 10_000,
        "per_round": 1,
        "rounds": 2385,
        "support": 128,
        "query": 128,
        "training": {"rate": 0.006},
        "local": ("dense-3",),
        "share": 0.75,
        "step": 0.5,
        "step_end": 0.05,
        "period": 800,
    },
    ("characters", "tinyreptile"): {
        "per_round": 32,
        "rounds": 20_000,
        "training": {"rate": 0.03},
        "step": 0.7,
        "step_end": 0.0,
        "rates": (0.01, 0.02),
    },
    ("characters", "tinyreptile-parallel"): {
        "devices": 320,
        "rounds": 2000,
        "training": {"rate": 0.03},
        "step": 0.7,
        "step_end": 0.0,
        "rates": (0.01, 0.02),
    },
    ("characters", "reptile"): _REPTILE,
    ("characters", "tinymetafed"): {
        "per_round": 32,
        "rounds": 4000,
        "query": 5,
        "support": 5,
        "training": {"rate": 0.03},
        "local": ("dense-1",),
        "share": 0.75,
        "step": 0.7,
        "step_end": 0.1,
        "period": 1000,
        "rates": (0.01, 0.02),
    },
}

_TRAININGS: dict[str, _Values] = {
    "reptile": {"rate": 0.001, "batch": 10, "optimizer": "adam"},
    "fedavg": _BATCHED,
    "fedprox": {**_BATCHED, "proximal": 0.1},
    "flower-fedavg": _BATCHED,
    "flower-fedadam": _BATCHED,
    "flower-fedmedian": _BATCHED,
    "flower-krum": _BATCHED,
}


# Keys that only some strategies or applications read; elsewhere they would do nothing.
_READ_BY: dict[str, tuple[str, ...]] = {
    "step": ("tinyreptile", "tinyreptile-parallel", "tinymetafed", "reptile"),
    "step_end": ("tinyreptile", "tinyreptile-parallel", "tinymetafed", "reptile"),
    "period": ("tinyreptile", "tinyreptile-parallel", "tinymetafed", "reptile"),
    "decay": ("tinyreptile", "tinyreptile-parallel", "tinymetafed", "reptile"),
    "query": ("tinymetafed",),
    "local": ("tinymetafed",),
    "local_start": ("tinymetafed",),
    "share": ("tinymetafed",),
    "ways": ("characters",),
    "drift": ("characters",),
    "data": ("characters",),
    "test_data": ("characters",),
    "setting": ("sine",),
}


def default_values(app: str, strategy: str) -> _Values:
    """Return the values of `app` under `strategy`.

    Raises:
        StudyError: there is no such application or strategy.
    """
    if app not in APPS:
        raise StudyError(f"app: expected one of {', '.join(APPS)} or a .toml file, got {app!r}")
    if strategy not in STRATEGIES:
        raise StudyError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    everyone = app == "sine" or strategy == "tinyreptile-parallel"
    plain: _Values = {
        "app": app,
        "strategy": strategy,
        "seed": 1,
        "rounds": PLAIN_ROUNDS,
        "per_round": 0 if everyone else 32,
        "training": _TRAININGS.get(strategy, _ONLINE),
    }
    return {**plain, **_APPS[app], **_STRATEGIES.get((app, strategy), {})}


def complete(given: Mapping[str, Any], source: str) -> Study:
    """Build the study that `given` describes; whatever it leaves out takes its default.

    Raises:
        StudyError: a key that is unknown, or that this application or strategy does not read.
    """
    check_keys(given, source)
    app = str(given.get("app", ""))
    strategy = str(given.get("strategy", DEFAULT_STRATEGIES.get(app, "")))
    values = default_values(app, strategy) if app in APPS else default_values(app, STRATEGIES[0])
    for key in given:
        readers = _READ_BY.get(key, (app, strategy))
        if app not in readers and strategy not in readers:
            raise StudyError(
                f"{source}: {key}: {app} with {strategy} does not read it, "
                f"{', '.join(readers)} do; leave it out"
            )
    if "per_round" not in given and isinstance(given.get("devices"), int):
        values["per_round"] = min(values["per_round"], given["devices"])
    own = check_table(given.get("training", {}), f"{source}: training")
    if strategy == "fedsgd" and not set(own) <= {"rate"}:
        raise StudyError(f"{source}: training: fedsgd reads the rate alone, got {', '.join(own)}")
    return study_from({**values, **given, "training": {**values["training"], **own}}, source)
