"""What a study is when nothing else is said; settings were found on validation tasks."""

from collections.abc import Mapping
from typing import Any

from tinyfleet.errors import StudyError
from tinyfleet.simulations.study import APPS, STRATEGIES, Study, study_from

DEFAULT_STRATEGY = "tinyreptile-parallel"
PLAIN_ROUNDS = 200

_Values = dict[str, Any]

_APPS: dict[str, _Values] = {
    "sine": {
        "network": "sine",
        "devices": 1000,
        "rates": (),
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

_ONLINE = {"rate": 0.01}
_BATCHED = {"rate": 0.01, "batch": 8, "passes": 1}

_STRATEGIES: dict[tuple[str, str], _Values] = {
    ("sine", "tinyreptile"): {
        "devices": 10_000,
        "per_round": 1,
        "rounds": 2385,  # 5.5 million parameters, both ways
        "training": {"rate": 0.006},
        "support": 256,
        "step": 0.5,
        "step_end": 0.0,
        "rates": (0.003,),
    },
    ("characters", "tinyreptile"): {
        "per_round": 32,
        "rounds": 20_000,
        "training": {"rate": 0.03},
        "step": 0.7,
        "step_end": 0.0,
        "rates": (0.01, 0.02, 0.05),
    },
}


def default_values(app: str, strategy: str) -> _Values:
    """Return the values of `app` under `strategy`.

    Raises:
        StudyError: there is no such application or strategy.
    """
    if app not in APPS:
        raise StudyError(f"app: expected one of {', '.join(APPS)} or a study file, got {app!r}")
    if strategy not in STRATEGIES:
        raise StudyError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    plain: _Values = {
        "app": app,
        "strategy": strategy,
        "seed": 1,
        "rounds": PLAIN_ROUNDS,
        "per_round": 0 if app == "sine" else 32,
        "training": _ONLINE,
    }
    return {**plain, **_APPS[app], **_STRATEGIES.get((app, strategy), {})}


def complete(given: Mapping[str, Any], source: str) -> Study:
    """Build the study that `given` describes; whatever it leaves out takes its default."""
    app = given.get("app", "")
    strategy = given.get("strategy", DEFAULT_STRATEGY)
    values = default_values(app, strategy)
    training = {**values["training"], **given.get("training", {})}
    return study_from({**values, **given, "training": training}, source)
