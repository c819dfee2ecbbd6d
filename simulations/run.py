"""Run a study: rounds, learning curve, the one look at the test part, the files that remain."""

import hashlib
import json
import math
import platform
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tinyfleet.atomic import write_atomically
from tinyfleet.binding import variants
from tinyfleet.cost import cost
from tinyfleet.errors import StudyError, TrainingError
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
from tinyfleet.simulations.example import example_of
from tinyfleet.simulations.journal import Journal, State, read_json, read_state, write_json
from tinyfleet.simulations.judging import judge_result, main_shots
from tinyfleet.simulations.own_file import fingerprints, own_errors
from tinyfleet.simulations.selecting import Selecting, selecting
from tinyfleet.simulations.strategies import FLOWERS, strategy_name
from tinyfleet.simulations.study import Study, study_from, study_to_dict
from tinyfleet.weights import save_weights


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
    with own_errors():
        setup = assemble(study, machine)
        described = _describe(setup, command)
        journal.new_folder(folder)
        write_json(folder / journal.RUN, described)
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
    _check_same(path, described, _own(study))
    with own_errors():
        setup = assemble(study, machine)
        _check_same(path, described, _describe(setup, ""))
        fresh = State(0, setup.network.init(study.seed))
        if study.strategy in FLOWERS or not (folder / journal.CHECKPOINT).exists():
            return _go(setup, folder, fresh, listen)
        return _go(setup, folder, read_state(folder, setup.network.parameters), listen)


def _check_same(path: Path, described: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise `StudyError` unless the run that `path` describes began with what there is now."""
    for key in ("own", "tinyfleet", "numpy", "network", "fingerprints", "selection"):
        found = json.loads(journal.to_json(now.get(key)))
        if key in now and described.get(key) != found:
            raise StudyError(
                f"{path}: {key}: the run began with {described.get(key)}, got {found}; "
                "go on where it began, or start anew"
            )


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
    result = _result(setup, final, listen)
    shots = str(main_shots(setup.study))
    if _is_curve(setup) and shots != "0":
        tuning = (result["passes"][shots], result["rates"][shots])
        shown = example_of(setup.test, final.weights, int(shots), *tuning)
        write_atomically(folder / journal.EXAMPLE, shown)
    write_json(folder / journal.RESULT, result)
    return folder


def _rounds(setup: Setup, book: Journal, chosen: Selecting | None, listen: Listener) -> None:
    study, before = setup.study, book.state
    every = max(1, study.rounds // study.evaluations)
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
            before.bytes + setup.fleet.bytes,
            moments=strategy.moments if isinstance(strategy, MetaStrategy) else None,
        )
        score = None
        if end.number % every == 0 or end.number == study.rounds:
            score = setup.validation.estimate(end.weights, main_shots(study), 1).mean
        line = _line(setup, now, end, score)
        book.record({**line, **chosen.end(end)} if chosen else line, now)
        loss = tally.loss if tally else math.nan
        listen(Progress("train", end.number, study.rounds, loss, score))

    grid = FleetGrid(chosen.fleet if chosen else setup.fleet, setup.devices_per_node)
    strategy = strategy_of(setup, before.round + 1)
    if isinstance(strategy, MetaStrategy):
        strategy.moments = before.moments
        strategy.choose = chosen.choose(grid) if chosen else None
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
        application = setup.application
        by_shots = {str(main_shots(study)): score}
        line["evaluation"] = {application.score: by_shots if application.classifies else score}
    return line


def _result(setup: Setup, state: State, listen: Listener) -> dict[str, Any]:
    """Judge where a run has ended, and say what it took to get there."""
    study = setup.study

    def hear(done: int) -> None:
        listen(Progress("judge", done, len(study.shots), math.nan, None))

    return {
        "app": setup.application.name,
        "strategy": strategy_name(study.strategy),
        "rounds": state.round,
        "devices": study.devices,
        "seed": study.seed,
        "parameters": setup.network.parameters,
        "parameters_communicated": state.parameters,
        "bytes_communicated": state.bytes,
        **judge_result(setup, state.weights, hear),
        "weights_sha256": hashlib.sha256(state.weights.tobytes()).hexdigest(),
    }


def _is_curve(setup: Setup) -> bool:
    """Whether a task is one number of another, which can be drawn."""
    return not setup.application.classifies and setup.network.input_shape == (1,)


def _describe(setup: Setup, command: str) -> dict[str, Any]:
    samples = setup.fleet.tasks.batch(np.zeros(1, np.int64), 1).support_x.shape[1]
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
        **({"ways": setup.validation.rows_per_shot} if setup.application.classifies else {}),
        **_own(setup.study),
        **({"selection": asdict(setup.selection)} if setup.selection else {}),
    }


def _own(study: Study) -> dict[str, Any]:
    """Return what tells the researcher's own files from any others, when a study has some."""
    found = fingerprints(study.app, study.strategy)
    return {"own": found} if found else {}
