"""What coarser numbers and fewer entries cost in accuracy and save in bytes, measured."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from tinyfleet.encoding import Encoding
from tinyfleet.errors import TrainingError
from tinyfleet.messages import Floats, Training
from tinyfleet.server.algorithms import ALGORITHMS, Knobs
from tinyfleet.simulations import published
from tinyfleet.simulations.assemble import Machine, Setup, assemble
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.evaluation import estimate
from tinyfleet.simulations.reproduce.cells import Cell, Table, cell_of
from tinyfleet.simulations.reproduce.work import Work
from tinyfleet.simulations.study import Study, study_to_dict
from tinyfleet.simulations.trial import Trial, train

NAME, SHOTS = "encodings", 8
NOTES = """
TinyMetaFed under its study's settings but for how updates travel (and half the rate on sines, where
nothing is local), trained from several seeds; the interval is over the seeds, four on sines and two
on characters; each is judged by 300 test devices after eight shots and 32 passes, on characters 4,
at the training's rate or half of it, whichever 100 validation devices like better. Sines train for
1,000 rounds at a rate of 0.003, characters for 250 rounds of 16 devices, and the step restarts
twice. Bytes are those of all messages, both ways, with headers, scales and places. Up: how updates
travel; down: how weights travel. *Less plain* is less float32 both ways of all entries, paired by
seed. *Feedback*: a device keeps what its message left out and adds it to its next, measured where
it can matter, in a fleet of 20 devices; *gain of feedback* is paired by seed, above 0 where the
error is smaller with it. Coarse numbers cost little or nothing that so few seeds show. P = 10 costs
sines some error, which feedback takes back in so small a fleet, and characters nothing: there int8
up, float16 down and P = 10 takes 28 % of the bytes. Feedback is not in the product: it wants a
vector of memory a device, and devices that come back often.
"""


@dataclass(frozen=True)
class Way:
    """How updates and weights travel.

    Attributes:
        up: encoding of updates.
        down: encoding of weights.
        share: P, the part of the returnable entries that comes back.
        feedback: whether devices keep what was left out.
    """

    up: Encoding
    down: Encoding
    share: float = 1.0
    feedback: bool = False

    def __str__(self) -> str:
        feedback = ", feedback" if self.feedback else ""
        return f"{self.up} up, {self.down} down, P = {round(100 * self.share)}{feedback}"


@dataclass(frozen=True)
class Fleet:
    """Where ways are compared.

    Attributes:
        name: what rows call it.
        app: application.
        values: of the study, over its defaults.
        rounds: rounds in full; a quick run takes few.
        seeds: trainings in full.
        passes: over the support, when a task is fine-tuned.
        ways: what is compared.
    """

    name: str
    app: str
    values: dict[str, Any]
    rounds: int
    seeds: int
    passes: int
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Size:
    """How much is computed: rounds of a training, and tasks that judge it."""

    rounds: int
    tasks: int = 300
    validation_tasks: int = 100


PLAIN = Way("float32", "float32")
_NUMBERS = (
    PLAIN,
    Way("float16", "float32"),
    Way("float16", "float16"),
    Way("int8", "float32"),
    Way("int8", "float16"),
    Way("int8", "int8"),
)
_SHARES = tuple(replace(way, share=p) for way in (PLAIN, _NUMBERS[4]) for p in (0.5, 0.25, 0.1))
_FEEDBACK = tuple(
    replace(way, share=p, feedback=feedback)
    for way, p in ((_NUMBERS[4], 1.0), (_NUMBERS[4], 0.1), (PLAIN, 0.1))
    for feedback in (False, True)
)
# Half the rate of the study: at its own some seeds diverge, whatever travels.
_STEADY: dict[str, Any] = {"training": {"rate": 0.003}}
_CHARACTERS = (PLAIN, *_NUMBERS[4:], _SHARES[2], _SHARES[5])

FLEETS = (
    Fleet("sine", "sine", _STEADY, 1000, 4, 32, (*_NUMBERS, *_SHARES)),
    Fleet("sine, 20 devices", "sine", {**_STEADY, "devices": 20}, 1000, 4, 32, _FEEDBACK),
    Fleet("characters", "characters", {"per_round": 16}, 250, 2, 4, _CHARACTERS),
)


def cells(work: Work) -> Sequence[Cell]:
    """Return score and bytes of every way in every fleet."""
    return [cell for fleet in FLEETS for cell in _cells(work, fleet)]


def _cells(work: Work, fleet: Fleet) -> Iterator[Cell]:
    seeds = range(work.seed, work.seed + work.pick(fleet.seeds, 2))
    size = Size(work.pick(fleet.rounds, 10), work.pick(300, 16), work.pick(100, 16))
    column, unit = ("mean square error", "") if fleet.app == "sine" else ("accuracy", "%")
    made: dict[Way, list[float]] = {}
    for way in fleet.ways[: work.pick(None, 2)]:
        study = study_to_dict(study_of(fleet, way, size, work.seed))
        inputs = {"study": study, "way": str(way), "passes": fleet.passes, "seeds": list(seeds)}
        measured = partial(measure, fleet, way, size, seeds)
        found = work.once(f"{NAME}-{fleet.app}", inputs, measured)
        row, failed = f"{fleet.name}: {way}", found["failed"]
        why = f"{failed} of {len(seeds)} trainings diverged" if failed else ""
        score = estimate(np.array(found["scores"])) if len(found["scores"]) > 1 else None
        yield cell_of((NAME, row, column), score, unit=unit, why=why)
        yield cell_of((NAME, row, "million bytes"), found["bytes"] / 1e6, unit="MB")
        if not failed:
            made[way] = found["scores"]
    first, points = fleet.ways[0], "points" if unit else ""
    for way in made:
        if first in made and way != first:
            more = estimate(np.array(made[way]) - np.array(made[first]))
            place = NAME, f"{fleet.name}: {way}", f"{column}, less plain"
            yield cell_of(place, more, unit=points)
        plain = replace(way, feedback=False)
        if way.feedback and plain in made:
            gain = estimate(np.array(made[plain]) - np.array(made[way]))
            row = f"{fleet.name}: {plain}, gain of feedback"
            yield cell_of((NAME, row, column), gain, unit=unit)


def measure(fleet: Fleet, way: Way, size: Size, seeds: Sequence[int]) -> dict[str, Any]:
    """Train from each seed; return the scores of the test part, and the bytes of a training."""
    scores, sent, failed = [], 0, 0
    for seed in seeds:
        setup, trial = trial_of(fleet, way, size, seed)
        try:
            trained = train(trial)
        except TrainingError:
            failed += 1
            continue
        sent = trained.bytes
        scores.append(_judged(setup, trained.weights, fleet.passes))
    failed += sum(not math.isfinite(score) for score in scores)
    scores = [score for score in scores if math.isfinite(score)]
    return {"scores": scores, "bytes": sent, "failed": failed}


def _judged(setup: Setup, weights: Floats, passes: int) -> float:
    """Return the score of the test part, at the rate that validation tasks like best."""
    sign = 1.0 if setup.application.classifies else -1.0
    training = setup.study.training
    rates = [replace(training, rate=training.rate / part) for part in (1, 2)]

    def on_validation(how: Training) -> float:
        judge = replace(setup.validation, training=how)
        score = sign * judge.estimate(weights, SHOTS, passes).mean
        return score if math.isfinite(score) else -math.inf

    chosen = max(rates, key=on_validation)
    return replace(setup.test, training=chosen).estimate(weights, SHOTS, passes).mean


def study_of(fleet: Fleet, way: Way, size: Size, seed: int) -> Study:
    """Return the study of a fleet whose updates travel so."""
    values: dict[str, Any] = {
        **fleet.values,
        "app": fleet.app,
        "strategy": "tinymetafed",
        "seed": seed,
        "rounds": size.rounds,
        "period": max(1, size.rounds // 3),
        "share": way.share,
        "encoding": way.up,
        "encoding_down": way.down,
        "tasks": size.tasks,
        "validation_tasks": size.validation_tasks,
        "shots": [SHOTS],
    }
    return complete(values, NAME)


def trial_of(fleet: Fleet, way: Way, size: Size, seed: int) -> tuple[Setup, Trial]:
    """Return the parts of the study and what is trained in it."""
    study = study_of(fleet, way, size, seed)
    setup = assemble(study, Machine(workers=1))
    said = {
        knob.name: getattr(study, knob.name) for knob in fields(Knobs) if hasattr(study, knob.name)
    }
    algorithm, knobs = ALGORITHMS[study.strategy], Knobs(**said)
    trial = Trial(setup.network, setup.fleet.tasks, study.devices, algorithm, knobs, way.feedback)
    return setup, trial


TABLE = Table(
    NAME,
    "How updates travel: numbers, shares, and what is left behind",
    "ours",
    cells,
    NOTES,
    needs=(published.CHARACTERS,),
)
