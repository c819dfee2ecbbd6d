"""Reads what a finished run left in its folder: `run.json`, `rounds.jsonl`, `result.json`.

Two more may be there: `example.npz`, one sine that was fine-tuned (see `Example`), and
`mixed.json`, how a mixed fleet went on (see `Mixed`).
"""

import json
import math
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import StudyError
from tinyfleet.simulations.choices import Choices, choices_from
from tinyfleet.simulations.evaluation import Estimate
from tinyfleet.simulations.fields import Fields

Numbers = NDArray[np.float64]

SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "mse_by_shots": "mean square error",
}
"""Where a result keeps its scores by shots, one of these, and what they are called."""


@dataclass(frozen=True)
class Result:
    """What a run is judged by.

    Attributes:
        regression: whether scores are mean square errors; else they are accuracies in percent.
        score: what the scores are called, for a person.
        scores: by shots a class, or by points of a regression, after `passes` over them.
        scores_one_pass: the same after one pass.
        passes: by shots.
        summary: further figures of the test part, by shots; empty for most applications.
    """

    app: str
    strategy: str
    rounds: int
    devices: int
    seed: int
    parameters: int
    parameters_communicated: int
    bytes_communicated: int
    regression: bool
    score: str
    scores: Mapping[int, Estimate]
    scores_one_pass: Mapping[int, Estimate]
    passes: Mapping[int, int]
    summary: Mapping[int, Fields]
    weights_sha256: str


@dataclass(frozen=True)
class Evaluation:
    """Scores on validation tasks after a round, fine-tuned with one pass.

    Attributes:
        parameters: communicated until then, both directions.
        accuracy: percent, balanced or not, by shots a class; empty for a regression.
        mse: mean square error; None for a classification.

    Scores that were not finite are NaN.
    """

    round: int
    parameters: float
    accuracy: Mapping[int, float]
    mse: float | None


@dataclass(frozen=True)
class Rounds:
    """The course of a run, one entry a round.

    Attributes:
        number: `(r,)`.
        loss: mean loss of the samples, each scored before it was learned, `(r,)`; NaN for none.
        refused: updates that were refused, in all.
        evaluations: the rounds that were evaluated, in order.
    """

    number: Numbers
    loss: Numbers
    refused: int
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True)
class Example:
    """One curve that no device has seen, before and after fine-tuning.

    Attributes:
        x: where the curve is drawn, `(m,)`, ascending; so `truth`, `before` and `after`.
        support_x: the points that were learned, `(s,)`, with `support_y`.
    """

    x: Numbers
    truth: Numbers
    before: Numbers
    after: Numbers
    support_x: Numbers
    support_y: Numbers


@dataclass(frozen=True)
class MixedDevice:
    """A device of a mixed fleet.

    Attributes:
        number: which.
        computed_by: what computed its updates.
        examples: samples that it learned from in all.
        losses: by round; mean of the samples, each scored before it was learned.
    """

    number: int
    computed_by: str
    examples: int
    losses: Mapping[int, float]

    @property
    def firmware(self) -> bool:
        """Whether a board's firmware computed them, not a process on a computer."""
        return self.computed_by.startswith("firmware ")


@dataclass(frozen=True)
class Mixed:
    """How simulated devices and boards went on together through a broker.

    Attributes:
        broker: which broker it was.
        rounds: their numbers.
        devices: ascending.
        weights_sha256: of what they learned.
        simulation_sha256: of what the same rounds in simulation learned.
        choices: who was chosen by which query; None where all took part.
    """

    broker: str
    rounds: tuple[int, ...]
    devices: tuple[MixedDevice, ...]
    weights_sha256: str
    simulation_sha256: str
    choices: Choices | None

    @property
    def verdict(self) -> str:
        """Say whether it computed what a simulation computes."""
        which = "the same" if self.weights_sha256 == self.simulation_sha256 else "other"
        return f"the same rounds in simulation end in {which} bytes"

    @property
    def boards(self) -> int:
        """How many devices firmware computed for."""
        return sum(device.firmware for device in self.devices)


@dataclass(frozen=True)
class Run:
    """A finished run: its settings as they were written, its course and its result."""

    folder: Path
    settings: Fields
    rounds: Rounds
    result: Result
    result_json: str
    example: Example | None
    mixed: Mixed | None

    @property
    def command(self) -> str:
        """What was typed to begin it, without `--out`: that folder is full now."""
        command = self.settings.text("command")
        try:
            words = shlex.split(command)
        except ValueError:  # not as we write it
            return command
        befores = ["", *words]
        kept = [
            word
            for before, word in zip(befores, words, strict=False)
            if "--out" not in (before, word) and not word.startswith("--out=")
        ]
        return command if kept == words else shlex.join(kept)


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        StudyError: a file is missing, cut short, or lacks a field.
    """
    result_json = _text(folder / "result.json")
    return Run(
        folder=folder,
        settings=_parse(folder / "run.json", _text(folder / "run.json")),
        rounds=_rounds(folder / "rounds.jsonl"),
        result=result_from(_parse(folder / "result.json", result_json)),
        result_json=result_json,
        example=_example(folder / "example.npz"),
        mixed=read_mixed(folder),
    )


def read_mixed(folder: Path) -> Mixed | None:
    """Return how a mixed fleet went on with the run in `folder`; None when none did.

    Raises:
        StudyError: its file is cut short, or lacks a field.
    """
    path = folder / "mixed.json"
    if not path.exists():
        return None
    fields = _parse(path, _text(path))
    updates: dict[int, list[Fields]] = {}
    for row in fields.rows("updates"):
        updates.setdefault(row.count("device"), []).append(row)
    if not updates:
        raise StudyError(f"{path}: updates: expected some, got none; run it again")
    return Mixed(
        broker=fields.text("broker"),
        rounds=tuple(sorted({row.count("round") for rows in updates.values() for row in rows})),
        devices=tuple(_mixed_device(number, updates[number]) for number in sorted(updates)),
        weights_sha256=fields.text("weights_sha256"),
        simulation_sha256=fields.text("simulation_sha256"),
        choices=choices_from(fields.fields("selection")) if fields.has("selection") else None,
    )


def _mixed_device(number: int, updates: Sequence[Fields]) -> MixedDevice:
    return MixedDevice(
        number,
        updates[-1].text("computed_by"),
        sum(row.count("examples") for row in updates),
        {row.count("round"): row.number("loss") for row in updates},
    )


def result_from(fields: Fields) -> Result:
    """Return what `result.json` says.

    Raises:
        StudyError: a field is missing or of another type.
    """
    name = next((name for name in SCORES if fields.has(name)), "")
    if not name:
        raise StudyError(
            f"{fields.place}: expected one of {', '.join(SCORES)}, got none; run it again"
        )
    further = fields.shots("summary") if fields.has("summary") else ()
    scores = _by_shots(fields, name)
    if not scores:
        raise StudyError(f"{fields.place}: {name}: expected some shots, got none; run it again")
    return Result(
        app=fields.text("app"),
        strategy=fields.text("strategy"),
        rounds=fields.count("rounds"),
        devices=fields.count("devices"),
        seed=fields.count("seed"),
        parameters=fields.count("parameters"),
        parameters_communicated=fields.count("parameters_communicated"),
        bytes_communicated=fields.count("bytes_communicated"),
        regression=name == "mse_by_shots",
        score=SCORES[name],
        scores=scores,
        scores_one_pass=_by_shots(fields, f"{name}_one_pass"),
        passes={shots: inner.count(key) for shots, key, inner in fields.shots("passes")},
        summary={shots: inner.fields(key) for shots, key, inner in further},
        weights_sha256=fields.text("weights_sha256"),
    )


def _by_shots(fields: Fields, name: str) -> dict[int, Estimate]:
    return {shots: _estimate(inner.fields(key)) for shots, key, inner in fields.shots(name)}


def _estimate(fields: Fields) -> Estimate:
    return Estimate(fields.number("mean"), fields.number("ci95"), fields.count("tasks"))


def _rounds(path: Path) -> Rounds:
    number, loss, evaluations, refused = [], [], [], 0
    for i, line in enumerate(_text(path).splitlines(), start=1):
        fields = _parse(path, line, i)
        number.append(fields.count("round"))
        loss.append(fields.number("loss") if fields.has("loss") else math.nan)
        refused += fields.count("refused") if fields.has("refused") else 0
        if fields.has("evaluation"):
            scores = fields.fields("evaluation")
            kinds = (name for name in ("accuracy", "balanced_accuracy") if scores.has(name))
            by_shots = (entry for name in kinds for entry in scores.shots(name))
            evaluations.append(
                Evaluation(
                    number[-1],
                    float(fields.count("parameters_communicated")),
                    {shots: inner.number(key) for shots, key, inner in by_shots},
                    scores.number("mse") if "mse" in scores.values else None,
                )
            )
    return Rounds(np.array(number, np.float64), np.array(loss), refused, tuple(evaluations))


def _example(path: Path) -> Example | None:
    if not path.exists():
        return None
    names = ("x", "truth", "before", "after", "support_x", "support_y")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = [np.asarray(arrays[name], np.float64).ravel() for name in names]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StudyError(f"{path}: expected arrays {', '.join(names)}: {error}") from None
    if len({len(a) for a in found[:4]}) > 1 or len(found[4]) != len(found[5]):
        lengths = ", ".join(f"{n} {len(a)}" for n, a in zip(names, found, strict=True))
        raise StudyError(f"{path}: expected curves of one length, got {lengths}; run it again")
    return Example(*found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError(
            f"{path}: expected the folder of a finished run, got no such file; "
            "finish the run with --resume"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: expected a readable text file: {error}") from None


def _parse(path: Path, text: str, line: int = 0) -> Fields:
    place = f"{path}: line {line}" if line else str(path)
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise StudyError(
            f"{place}: expected whole JSON, got a cut or damaged one: {error}"
        ) from None
    if not isinstance(value, dict):
        raise StudyError(f"{place}: expected a JSON object, got {text[:60]!r}; run it again")
    return Fields(place, value)
