"""Keywords: every device learns to tell a few words of its speaker apart (application II)."""

import os
from dataclasses import replace
from pathlib import Path

from tinyfleet.simulations.applications.application import Application, Parts
from tinyfleet.simulations.evaluation import accuracy
from tinyfleet.simulations.study import Study

QUERY_SHOTS = 4  # what 16 shots leave of the 20 takes that a household has of a keyword
"""Takes of a keyword that a held-out device is judged on, fewer where its part has fewer."""


def _parts(study: Study) -> Parts:
    from tinyfleet.simulations.datasets.keywords import find_keywords
    from tinyfleet.simulations.tasks.keywords import KeywordEpisodes, Keywords, keywords_family
    from tinyfleet.simulations.tasks.noise import Room, WhiteNoise

    takes = find_keywords(Path(study.data) if study.data else None, os.environ, download=True)
    unseen = find_keywords(Path(study.test_data), os.environ) if study.test_data else None
    train = KeywordEpisodes(
        ways=study.ways,
        shots=study.support,
        query_shots=study.query,
        min_shots=study.min_support or None,
        speakers=study.speakers,
        across=study.across,
        room=Room(noise=study.noise),
        drift=WhiteNoise() if study.drift else None,
    )
    judged = KeywordEpisodes(
        ways=study.ways,
        shots=max(1, *study.shots),
        query_shots=1,
        speakers=study.speakers,
        across=study.across,
    )

    def with_query(held_out: Keywords) -> Keywords:
        most = held_out.most_query(QUERY_SHOTS)
        return replace(held_out, episodes=replace(judged, query_shots=most))

    tested = unseen or takes
    return Parts(
        keywords_family(takes, "train", study.seed, train, unseen=unseen),
        with_query(keywords_family(takes, "validation", study.seed, judged, unseen=unseen)),
        with_query(keywords_family(tested, "test", study.seed, judged, whole=unseen is not None)),
    )


_ONLINE = {"training": {"rate": 0.01}, "step": 1.0, "step_end": 0.0}
_BATCHES = {"rate": 0.05, "batch": 8}
_LOCAL_HEAD = {"support": 4, "query": 4, "local": ("dense-1",), "local_start": "zeros"}

# Found on validation tasks of households, with 9,600 visits to devices; TinyMetaFed's rate also on
# those of five keywords across speakers, where it matters more. A speaker says a keyword 10 times,
# so that 16 shots need a household of two; the other shots are of households as well, so that one
# row has one kind of task. Four times as many rounds of TinyReptile gained nothing: there are 18
# keywords by 18 speakers to learn from.
APPLICATION = Application(
    name="keywords",
    network="keywords-mcu",
    parts=_parts,
    rows_per_shot=lambda study: study.ways,
    metric=accuracy,
    score="accuracy",
    reads=("ways", "drift", "data", "test_data", "speakers", "across"),
    defaults={
        "devices": 10_000,
        "per_round": 16,
        "rounds": 600,
        "ways": 4,
        "speakers": 2,
        "support": 8,
        "tasks": 1000,
        "validation_tasks": 256,
        "evaluations": 150,
        "rates": (0.005, 0.02),
    },
    strategies={
        "tinyreptile": _ONLINE,
        "tinyreptile-parallel": {**_ONLINE, "devices": 160, "rounds": 60},
        "tinymetafed": {
            **_ONLINE,
            **_LOCAL_HEAD,
            "training": {"rate": 0.04},
            "rates": (0.01, 0.02),
            "share": 0.75,
            "step_end": 0.05,
            "period": 200,
        },
        "reptile": {"training": _BATCHES, "per_round": 8, "step": 1.0, "step_end": 0.0},
        "fedavg": {"training": _BATCHES},
        "fedprox": {"training": {**_BATCHES, "proximal": 0.1}},
        "ditto": {"training": {**_BATCHES, "proximal": 0.1}},
        "fedsgd": {"training": {"rate": 0.1}},
        "fomaml": {**_ONLINE, "support": 4, "query": 4},
        "fedrep": {"training": {"rate": 0.02}, "local": ("dense-1",), "local_start": "zeros"},
    },
)
