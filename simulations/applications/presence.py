"""Presence: every device learns when somebody is in its room (TECS 2024, application III)."""

import os
from pathlib import Path

from tinyfleet.simulations.applications.application import Application, Parts
from tinyfleet.simulations.metrics import balanced_accuracy, presence_summary
from tinyfleet.simulations.study import Study

QUERY_ROWS = 256  # fewer leave many devices of rarely used rooms with one class
"""Rows of the week after that a held-out device is judged on, whatever their class."""


def _parts(study: Study) -> Parts:
    from tinyfleet.simulations.datasets.presence import find_presence
    from tinyfleet.simulations.tasks.presence import PresenceEpisodes, presence_family

    rows = find_presence(Path(study.data) if study.data else None, os.environ)
    unseen = find_presence(Path(study.test_data), os.environ) if study.test_data else None
    train = PresenceEpisodes(
        shots=study.support,
        query_shots=study.query,
        min_shots=study.min_support or None,
        noise=study.noise,
        light=study.light,
    )
    judged = PresenceEpisodes(shots=max(1, *study.shots), query_rows=QUERY_ROWS, light=study.light)
    whole = unseen is not None
    return Parts(
        presence_family(rows, "train", study.seed, train, room=study.room, unseen=unseen),
        presence_family(rows, "validation", study.seed, judged, room=study.room, unseen=unseen),
        presence_family(unseen or rows, "test", study.seed, judged, room=study.room, whole=whole),
    )


APPLICATION = Application(
    name="presence",
    network="presence",
    parts=_parts,
    rows_per_shot=lambda _: 2,  # a shot is a row of each class
    metric=balanced_accuracy,
    score="balanced_accuracy",
    reads=("data", "test_data", "light", "room"),
    summary=presence_summary,
    defaults={
        "devices": 10_000,
        "per_round": 8,
        "rounds": 200,
        "support": 16,
        "training": {"rate": 0.01},
        "tasks": 1000,
        "validation_tasks": 256,
        "evaluations": 20,
        "rates": (0.003,),
    },
    strategies={
        "tinyreptile": {
            "per_round": 1,
            "rounds": 1600,  # 14.4 million parameters, both ways
            "step": 0.7,
            "step_end": 0.0,
        },
        "tinyreptile-parallel": {
            "devices": 320,
            "per_round": 0,
            "step": 0.7,
            "step_end": 0.0,
        },
        "reptile": {
            "training": {"rate": 0.03, "batch": 8, "passes": 4},
            "step": 1.0,
            "step_end": 0.0,
            "rates": (0.003, 0.01),
        },
        "tinymetafed": {
            "per_round": 1,
            "rounds": 1500,
            "support": 8,
            "query": 8,
            "training": {"rate": 0.03},
            "local": ("dense-3", "dense-4"),
            "local_start": "received",
            "share": 0.75,
            "step": 0.7,
            "step_end": 0.05,
            "period": 500,
            "rates": (0.003, 0.01),
        },
        "fedavg": {"training": {"rate": 0.03}},
        "fedsgd": {"training": {"rate": 0.1}},
        "fedprox": {"training": {"rate": 0.01, "batch": 8, "passes": 4, "proximal": 0.1}},
        "fomaml": {
            "support": 8,
            "query": 8,
            "training": {"rate": 0.03},
            "step": 0.7,
            "step_end": 0.0,
        },
        "fedrep": {"training": {"rate": 0.03}, "local": ("dense-3", "dense-4")},
        "ditto": {"training": {"rate": 0.01, "batch": 8, "passes": 4, "proximal": 0.1}},
    },
)
