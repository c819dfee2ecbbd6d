"""Judges what a run learned: validation chooses the fine-tuning, the test part is seen once."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tinyfleet.messages import Floats
from tinyfleet.simulations.assemble import Setup
from tinyfleet.simulations.evaluation import Estimate, Judge, estimate
from tinyfleet.simulations.study import Study

MAIN_SHOTS = 8
"""Shots that the learning curve follows, where they are reported."""


@dataclass(frozen=True)
class Tuning:
    """How a device fine-tunes the result: passes over its support, at a rate."""

    passes: int
    rate: float


@dataclass(frozen=True)
class Judged:
    """What the test part says of one number of shots: its score, and further figures if any."""

    score: Estimate
    summary: Mapping[str, Any] | None


def main_shots(study: Study) -> int:
    """Return the shots that the learning curve and the headline follow."""
    return MAIN_SHOTS if MAIN_SHOTS in study.shots else max(study.shots)


def judge_result(setup: Setup, weights: Floats, hear: Callable[[int], None]) -> dict[str, Any]:
    """Return scores by shots, after one pass and after as many as validation likes best.

    Args:
        setup: the study whose tasks judge.
        weights: what it has learned, `(parameters,)`.
        hear: told how many of the study's shots are done.
    """
    shots = setup.study.shots
    one, several = {}, {}
    chosen: dict[str, dict[str, Tuning]] = {"one_pass": {}, "several": {}}
    for i, count in enumerate(shots):
        hear(i)
        key = str(count)
        single, best = _best_tunings(setup, weights, count)
        chosen["one_pass"][key], chosen["several"][key] = single, best
        one[key] = _judged(setup, weights, count, single)
        several[key] = one[key] if best == single else _judged(setup, weights, count, best)
    hear(len(shots))
    return {
        **_scores(setup, one, several),
        "passes": {k: t.passes for k, t in chosen["several"].items()},
        "rates": {k: t.rate for k, t in chosen["several"].items()},
        "rates_one_pass": {k: t.rate for k, t in chosen["one_pass"].items()},
    }


def _best_tunings(setup: Setup, weights: Floats, shots: int) -> tuple[Tuning, Tuning]:
    """Return what validation tasks like best: of one pass, and of any number of passes."""
    study = setup.study
    plain = Tuning(1, study.training.rate)
    if shots == 0:
        return plain, plain
    sign = 1.0 if setup.application.classifies else -1.0
    scores: dict[Tuning, float] = {}
    for rate in dict.fromkeys((study.training.rate, *study.rates)):
        for passes in (1, *study.passes):
            tuning = Tuning(passes, rate)
            judge = _tuned(setup.validation, tuning)
            score = sign * judge.estimate(weights, shots, passes).mean
            scores[tuning] = score if math.isfinite(score) else -math.inf
    single = max((t for t in scores if t.passes == 1), key=lambda t: scores[t])
    return single, max(scores, key=lambda t: scores[t])


def _judged(setup: Setup, weights: Floats, shots: int, tuning: Tuning) -> Judged:
    outputs, targets = _tuned(setup.test, tuning).outputs(weights, shots, tuning.passes)
    summary = setup.application.summary
    return Judged(
        estimate(setup.application.metric(outputs, targets)),
        summary(outputs, targets) if summary else None,
    )


def _tuned(judge: Judge, tuning: Tuning) -> Judge:
    return replace(judge, training=replace(judge.training, rate=tuning.rate))


def _scores(
    setup: Setup, one: Mapping[str, Judged], several: Mapping[str, Judged]
) -> dict[str, Any]:
    one_pass = {k: asdict(v.score) for k, v in one.items()}
    best = {k: asdict(v.score) for k, v in several.items()}
    summaries = {k: dict(v.summary) for k, v in several.items() if v.summary is not None}
    further = {"summary": summaries} if summaries else {}
    if setup.application.classifies:
        name = setup.application.score
        return {name: best, f"{name}_one_pass": one_pass, **further}
    main = str(main_shots(setup.study))
    scores: dict[str, Any] = {"mse": best[main], "mse_one_pass": one_pass[main]}
    if "0" in one:
        scores["mse_before"] = one_pass["0"]
    return {**scores, "mse_by_shots": best, "mse_by_shots_one_pass": one_pass, **further}
