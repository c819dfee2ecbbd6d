"""Characters: every device learns to tell a few characters apart (TECS 2024, application I)."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinyfleet.simulations.applications.application import Application, Parts
from tinyfleet.simulations.evaluation import accuracy
from tinyfleet.simulations.study import Study

if TYPE_CHECKING:
    from tinyfleet.simulations.datasets.omniglot import CharacterImages


def _parts(study: Study) -> Parts:
    from tinyfleet.simulations.datasets.characters import find_characters
    from tinyfleet.simulations.tasks.characters import Episodes, characters_family
    from tinyfleet.simulations.tasks.drift import Drift

    images = find_characters(Path(study.data) if study.data else None, os.environ, download=True)
    held_out = max(1, *study.shots)
    drift = Drift() if study.drift else None
    train = Episodes(
        study.ways, study.support, study.query, study.min_support or None, study.noise, drift
    )
    unseen = find_characters(Path(study.test_data), os.environ) if study.test_data else None
    other = unseen or images
    judged = Episodes(study.ways, held_out, _query_shots(images, held_out))
    tested = replace(judged, query_shots=_query_shots(other, held_out))
    return Parts(
        characters_family(images, "train", study.seed, train, unseen=unseen),
        characters_family(images, "validation", study.seed, judged, unseen=unseen),
        characters_family(other, "test", study.seed, tested, whole=unseen is not None),
    )


def _query_shots(images: "CharacterImages", shots: int) -> int:
    """Return how many images of a class are left to judge by, at most 5; 1 when there are none."""
    return max(1, min(5, images.drawers - shots))


_SHORT = {"per_round": 16, "rounds": 600}
_BATCHED = {"rate": 0.05, "batch": 5}

APPLICATION = Application(
    name="characters",
    network="characters",
    parts=_parts,
    rows_per_shot=lambda study: study.ways,
    metric=accuracy,
    score="accuracy",
    reads=("ways", "drift", "data", "test_data"),
    defaults={
        "devices": 10_000,
        "support": 10,
        "tasks": 1000,
        "validation_tasks": 256,
    },
    strategies={
        "tinyreptile": {
            "per_round": 24,
            "rounds": 10_000,
            "training": {"rate": 0.03},
            "step": 0.7,
            "step_end": 0.0,
            "rates": (0.01, 0.02),
        },
        "tinyreptile-parallel": {
            "devices": 320,
            "rounds": 2000,
            "training": {"rate": 0.03},
            "step": 0.7,
            "step_end": 0.0,
            "rates": (0.01, 0.02),
        },
        "reptile": {
            "rounds": 10_000,
            "training": {"rate": 0.1, "batch": 5},
            "step": 1.0,
            "step_end": 0.0,
            "passes": (2, 8, 20),
            "rates": (0.05,),
        },
        "tinymetafed": {
            "network": "characters-wide",
            "per_round": 16,
            "rounds": 1000,
            "support": 5,
            "query": 5,
            "training": {"rate": 0.04},
            "local": ("dense-1",),
            "local_start": "zeros",
            "share": 0.75,
            "step": 0.9,
            "step_end": 0.0,
            "period": 250,
            "decay": 0.1,
            "rates": (0.01, 0.02),
        },
        "fomaml": {
            **_SHORT,
            "network": "characters-wide",
            "query": 5,
            "support": 5,
            "training": {"rate": 0.03},
            "step": 15.0,
            "step_end": 0.0,
            "rates": (0.01,),
        },
        "fedavg": {**_SHORT, "training": _BATCHED, "rates": (0.02,)},
        "fedprox": {**_SHORT, "training": {**_BATCHED, "proximal": 0.01}, "rates": (0.02,)},
        "ditto": {**_SHORT, "training": {**_BATCHED, "proximal": 0.01}, "rates": (0.02,)},
        "fedsgd": {**_SHORT, "training": {"rate": 0.1}, "rates": (0.01, 0.03)},
        "fedrep": {
            **_SHORT,
            "network": "characters-wide",
            "training": {"rate": 0.04},
            "local": ("dense-1",),
            "local_start": "zeros",
            "rates": (0.01, 0.02),
        },
    },
)
