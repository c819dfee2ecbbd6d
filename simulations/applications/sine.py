"""Sine: every device learns a curve of its own from a few points (TECS 2024, section 5)."""

from collections.abc import Callable
from dataclasses import replace

from tinyfleet.errors import StudyError
from tinyfleet.simulations.applications.application import Application, Parts
from tinyfleet.simulations.evaluation import mean_squared_error
from tinyfleet.simulations.study import Study
from tinyfleet.simulations.tasks.sine import Sine, maml2017, tecs2024

QUERY_POINTS = 100
"""Points of a held-out sine, evenly spaced."""

_SETTINGS: dict[str, Callable[..., Sine]] = {"tecs2024": tecs2024, "maml2017": maml2017}


def _parts(study: Study) -> Parts:
    for name in ("data", "test_data"):
        if getattr(study, name) is not None:
            raise StudyError(f"study.{name}: sines are made, not read; leave it out")
    make = _SETTINGS[study.setting]
    train = replace(
        make(study.seed, "train", support=study.support, query=study.query),
        query_at="random",
        min_support=study.min_support or None,
        noise=study.noise,
    )
    held_out = max(1, *study.shots)
    return Parts(
        train,
        make(study.seed, "validation", support=held_out, query=QUERY_POINTS),
        make(study.seed, "test", support=held_out, query=QUERY_POINTS),
    )


_SERIAL = {"devices": 10_000, "per_round": 1}
_TOGETHER = {"devices": 10_000, "per_round": 8, "rounds": 500, "support": 64}

APPLICATION = Application(
    name="sine",
    network="sine",
    parts=_parts,
    rows_per_shot=lambda _: 1,
    metric=mean_squared_error,
    score="mse",
    reads=("setting",),
    strategy="tinyreptile-parallel",
    defaults={
        "devices": 1000,
        "per_round": 0,
        "support": 32,
        "tasks": 500,
        "validation_tasks": 500,
        "passes": (8, 32, 128),
    },
    strategies={
        "tinyreptile": {
            "devices": 10_000,
            "per_round": 1,
            "rounds": 2385,  # 5.5 million parameters, both ways
            "support": 256,
            "training": {"rate": 0.006},
            "step": 0.5,
            "step_end": 0.0,
            "rates": (0.003,),
        },
        "tinyreptile-parallel": {
            "training": {"rate": 0.006},
            "step": 0.5,
            "step_end": 0.1,
            "rates": (0.003,),
        },
        # A local layer of its own, the first or the last, started from zeros, fresh or as received,
        # kept the loss above 4 on validation curves: nothing is local.
        "tinymetafed": {
            **_SERIAL,
            "rounds": 2720,  # 5.5 million parameters, both ways
            "support": 512,
            "training": {"rate": 0.006},
            "share": 0.75,
            "step": 0.5,
            "step_end": 0.0,
            "period": 907,
            "rates": (0.003,),
        },
        "reptile": {
            **_SERIAL,
            "rounds": 2385,
            "support": 256,
            "training": {"rate": 0.02, "batch": 8},
            "step": 0.5,
            "step_end": 0.0,
            "rates": (0.003, 0.006),
        },
        "fomaml": {
            **_SERIAL,
            "per_round": 8,
            "support": 8,
            "query": 64,
            "training": {"rate": 0.006},
            "step": 1.0,
            "step_end": 0.0,
            "rounds": 2000,
            "rates": (0.003,),
        },
        "fedavg": {**_TOGETHER, "training": {"rate": 0.02, "batch": 8}},
        "fedprox": {**_TOGETHER, "training": {"rate": 0.02, "batch": 8, "proximal": 0.1}},
        "ditto": {**_TOGETHER, "training": {"rate": 0.02, "batch": 8, "proximal": 0.1}},
        "fedsgd": {
            **_SERIAL,
            "rounds": 2385,
            "support": 256,
            "training": {"rate": 0.02},
            "rates": (0.003, 0.006),
        },
        "fedrep": {
            **_TOGETHER,
            "training": {"rate": 0.006},
            "local": ("dense-3",),
            "local_start": "zeros",
            "rates": (0.003, 0.02),
        },
    },
)
