"""Run a study: rounds, learning curve, the one look at the test part, the files that remain."""

import hashlib
import json
import math
import platform
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tinyfleet.atomic import write_atomically
from tinyfleet.binding import variants
from tinyfleet.cost import cost
from tinyfleet.errors import StudyError, TrainingError
from tinyfleet.messages import Floats
from tinyfleet.server import app
from tinyfleet.server.grid import FleetGrid
from tinyfleet.server.strategy import MetaStrategy
from tinyfleet.simulations import journal
from tinyfleet.simulations.assemble import (
    Machine,
    Setup,
    assemble,
    strategy_of,
    train_config,
)
from tinyfleet.simulations.evaluation import Estimate, Judge
from tinyfleet.simulations.example import example_of
from tinyfleet.simulations.journal import Journal, State, read_json, read_state, write_json
from tinyfleet.simulations.selecting import Selecting, selecting
from tinyfleet.simulations.study import Study, study_from, study_to_dict
from tinyfleet.weights import save_weights

MAIN_SHOTS = 8
"""Shots that the learning curve follows, where they are reported."""


@dataclass(frozen=True)
class Progress:
    """What a listener hears after each round, and while the result is being judged."""

    stage: str
    done: int
    total: int
    loss: float
    score: float | None


Listener = Callable[[Progress], None]


def start(study: Study, folder: Path, command: str, machine: Machine, listen: Listener) -> Path:
    """Run `study` from its beginning into `folder`, which must be new or empty; return `folder`.

    Raises:
        StudyError: the folder holds something already, or cannot be written.
        FleetError: the parts of the study do not fit together; nothing is written then.
    """
    setup = assemble(study, machine)
    journal.new_folder(folder)
    write_json(folder / journal.RUN, _describe(setup, command))
    return _go(setup, folder, State(0, setup.network.init(study.seed)), listen)


def resume(folder: Path, machine: Machine, listen: Listener) -> Path:
    """Go on with the run in `folder` where its last checkpoint stands; return `folder`.

    A strategy of Flower's own may keep a state that no checkpoint holds, so it starts anew, and
    ends in the same bytes all the same.

    Raises:
        StudyError: there is no run, or data, network or versions are not those it began with.
    """
    path = folder / journal.RUN
    described = read_json(path)
    study = study_from(described.get("study"), f"{path}: study")
    setup = assemble(study, machine)
    now = _describe(setup, "")
    for key in ("tinyfleet", "numpy", "network", "fingerprints", "selection"):
        if described.get(key) != json.loads(journal.to_json(now.get(key))):
            raise StudyError(
                f"{path}: {key}: the run began with {described.get(key)}, got {now.get(key)}; "
                "go on where it began, or start anew"
            )
    fresh = State(0, setup.network.init(study.seed))
    if study.strategy.startswith("flower-") or not (folder / journal.CHECKPOINT).exists():
        return _go(setup, folder, fresh, listen)
    return _go(setup, folder, read_state(folder, setup.network.parameters), listen)


def _go(setup: Setup, folder: Path, state: State, listen: Listener) -> Path:
    with Journal(folder, state) as book:
        if state.round < setup.study.rounds:
            with selecting(setup, folder, state) as chosen:
                _rounds(setup, book, chosen, listen)
        final = book.state
        if (final.weights == setup.network.init(setup.study.seed)).all():
            raise TrainingError(
                f"training: {final.round} rounds brought no sound update that moved the weights; "
                "take a smaller rate"
            )
    save_weights(folder / journal.WEIGHTS, final.weights)
    result = _judge(setup, final, listen)
    shots = str(_main_shots(setup.study))
    if setup.study.app == "sine" and shots != "0":
        tuning = (result["passes"][shots], result["rates"][shots])
        shown = example_of(setup.test, final.weights, int(shots), *tuning)
        write_atomically(folder / journal.EXAMPLE, shown)
    write_json(folder / journal.RESULT, result)
    return folder


def _rounds(setup: Setup, book: Journal, chosen: Selecting | None, listen: Listener) -> None:
    study, before = setup.study, book.state
    every = max(1, study.rounds // study.evaluations)
    sparse = study.strategy == "tinymetafed" and study.share < 1.0
    asked = study.per_round or study.devices
    random.seed(study.seed)  # Flower's own strategies choose nodes with the global generator

    def hear(end: app.Round) -> None:
        if end.number <= book.state.round:
            return  # Flower also reports where a run starts
        tally = end.tally
        whole = asked * setup.network.parameters
        down, up = (tally.received, tally.sent) if tally else (whole, whole)
        now = State(
            end.number,
            end.weights,
            book.state.parameters + down + up,
            book.state.bytes + 4 * down + (8 if sparse else 4) * up,
        )
        score = None
        if end.number % every == 0 or end.number == study.rounds:
            score = setup.validation.estimate(end.weights, _main_shots(study), 1).mean
        line = _line(setup, now, end, score)
        book.record({**line, **chosen.end(end)} if chosen else line, now)
        loss = tally.loss if tally else math.nan
        listen(Progress("train", end.number, study.rounds, loss, score))

    grid = FleetGrid(chosen.fleet if chosen else setup.fleet, setup.devices_per_node)
    strategy = strategy_of(setup, before.round + 1)
    if chosen and isinstance(strategy, MetaStrategy):
        strategy.choose = chosen.choose(grid)
    app.run(
        grid,
        strategy,
        before.weights,
        study.rounds - before.round,
        train_config=train_config(setup),
        evaluate=hear,
    )


def _line(setup: Setup, now: State, end: app.Round, score: float | None) -> dict[str, Any]:
    study, tally = setup.study, end.tally
    line: dict[str, Any] = {
        "round": end.number,
        "devices": tally.devices if tally else study.per_round or study.devices,
        "refused": tally.refused if tally else 0,
        "examples": tally.examples if tally else None,
        "loss": tally.loss if tally and math.isfinite(tally.loss) else None,
        "parameters_communicated": now.parameters,
        "bytes_communicated": now.bytes,
    }
    if score is not None:
        what = (
            {"accuracy": {str(_main_shots(study)): score}} if _classifies(study) else {"mse": score}
        )
        line["evaluation"] = what
    return line


def _main_shots(study: Study) -> int:
    """Return the shots that the learning curve and the headline follow."""
    return MAIN_SHOTS if MAIN_SHOTS in study.shots else max(study.shots)


def _classifies(study: Study) -> bool:
    return study.app != "sine"


def _describe(setup: Setup, command: str) -> dict[str, Any]:
    samples = setup.study.support * (setup.study.ways if _classifies(setup.study) else 1)
    return {
        "tinyfleet": version("tinyfleet"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "flwr": version("flwr"),
        "kernel_variant": variants()[-1].name,
        "platform": platform.platform(),
        "command": command,
        "study": study_to_dict(setup.study),
        "network": {
            "name": setup.network.name,
            "checksum": setup.network.checksum,
            **asdict(cost(setup.network, setup.study.training, samples=samples)),
        },
        "data": dict(setup.provenance),
        "fingerprints": dict(setup.fingerprints),
        **({"selection": asdict(setup.selection)} if setup.selection else {}),
    }


@dataclass(frozen=True)
class Tuning:
    """How a device fine-tunes the result: passes over its support, at a rate."""

    passes: int
    rate: float


def _judge(setup: Setup, state: State, listen: Listener) -> dict[str, Any]:
    """Choose how to fine-tune on validation tasks, then look at the test part, once."""
    study, weights = setup.study, state.weights
    one, several = {}, {}
    chosen: dict[str, dict[str, Tuning]] = {"one_pass": {}, "several": {}}
    for i, shots in enumerate(study.shots):
        listen(Progress("judge", i, len(study.shots), math.nan, None))
        key = str(shots)
        single, best = _best_tunings(setup, weights, shots)
        chosen["one_pass"][key], chosen["several"][key] = single, best
        one[key] = _estimate(setup.test, weights, shots, single)
        several[key] = one[key] if best == single else _estimate(setup.test, weights, shots, best)
    listen(Progress("judge", len(study.shots), len(study.shots), math.nan, None))
    return {
        "app": study.app,
        "strategy": study.strategy,
        "rounds": state.round,
        "devices": study.devices,
        "seed": study.seed,
        "parameters": setup.network.parameters,
        "parameters_communicated": state.parameters,
        "bytes_communicated": state.bytes,
        **_report_scores(study, one, several),
        "passes": {k: t.passes for k, t in chosen["several"].items()},
        "rates": {k: t.rate for k, t in chosen["several"].items()},
        "rates_one_pass": {k: t.rate for k, t in chosen["one_pass"].items()},
        "weights_sha256": hashlib.sha256(weights.tobytes()).hexdigest(),
    }


def _estimate(judge: Judge, weights: Floats, shots: int, tuning: Tuning) -> Estimate:
    training = replace(judge.training, rate=tuning.rate)
    return replace(judge, training=training).estimate(weights, shots, tuning.passes)


def _best_tunings(setup: Setup, weights: Floats, shots: int) -> tuple[Tuning, Tuning]:
    """Return what validation tasks like best: of one pass, and of any number of passes."""
    study = setup.study
    plain = Tuning(1, study.training.rate)
    if shots == 0:
        return plain, plain
    sign = 1.0 if _classifies(study) else -1.0
    scores: dict[Tuning, float] = {}
    for rate in dict.fromkeys((study.training.rate, *study.rates)):
        for passes in (1, *study.passes):
            tuning = Tuning(passes, rate)
            score = sign * _estimate(setup.validation, weights, shots, tuning).mean
            scores[tuning] = score if math.isfinite(score) else -math.inf
    single = max((t for t in scores if t.passes == 1), key=lambda t: scores[t])
    return single, max(scores, key=lambda t: scores[t])


def _report_scores(
    study: Study, one: dict[str, Estimate], several: dict[str, Estimate]
) -> dict[str, Any]:
    one_pass = {k: asdict(v) for k, v in one.items()}
    best = {k: asdict(v) for k, v in several.items()}
    if _classifies(study):
        return {"accuracy": best, "accuracy_one_pass": one_pass}
    main = str(_main_shots(study))
    scores: dict[str, Any] = {"mse": best[main], "mse_one_pass": one_pass[main]}
    if "0" in one:
        scores["mse_before"] = one_pass["0"]
    return {**scores, "mse_by_shots": best, "mse_by_shots_one_pass": one_pass}
