"""Reads what a finished run left in its folder: `run.json`, `rounds.jsonl`, `result.json`.

Two more may be there: `example.npz`, one sine that was fine-tuned (see `Example`), and
`mixed.json`, how a mixed fleet went on (see `Mixed`).
"""

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyfleet.errors import StudyError
from tinyfleet.simulations.choices import Choices, choices_from
from tinyfleet.simulations.evaluation import Estimate

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Fields:
    """One JSON object and where it stands, so that whatever does not fit can be named.

    Every method raises `StudyError` when the field is missing or of another type.
    """

    place: str
    values: Mapping[str, object]

    def _refuse(self, name: str, expected: str) -> StudyError:
        got = json.dumps(self.values[name])[:60] if name in self.values else "nothing"
        return StudyError(f"{self.place}: {name}: expected {expected}, got {got}; run it again")

    def has(self, name: str) -> bool:
        """Say whether the field is there and not null."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """Return a string."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self._refuse(name, "a text")
        return value

    def number(self, name: str) -> float:
        """Return a number; NaN for null, which stands for whatever was not finite."""
        value = self.values.get(name, "")
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refuse(name, "a number or null")
        return float(value) if math.isfinite(value) else math.nan

    def count(self, name: str) -> int:
        """Return a whole number, 0 or more."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._refuse(name, "a whole number, 0 or more")
        return value

    def counts(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers, 0 or more."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(type(n) is int and n >= 0 for n in value):
            raise self._refuse(name, "a list of whole numbers")
        return tuple(value)

    def fields(self, name: str) -> "Fields":
        """Return an object."""
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self._refuse(name, "an object")
        return Fields(f"{self.place}: {name}", value)

    def rows(self, name: str) -> Iterator["Fields"]:
        """Yield the objects of a list."""
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise self._refuse(name, "a list of objects")
        for number, row in enumerate(value, start=1):
            yield Fields(f"{self.place}: {name} {number}", row)

    def shots(self, name: str) -> Iterator[tuple[int, str, "Fields"]]:
        """Yield the keys of an object that are numbers of shots: as number, as key, the object."""
        inner = self.fields(name)
        for key in inner.values:
            if not key.isdecimal():
                raise StudyError(f"{inner.place}: expected shots as keys, got {key[:60]!r}")
        for key in sorted(inner.values, key=int):
            yield int(key), key, inner


@dataclass(frozen=True)
class Result:
    """What a run is judged by.

    Attributes:
        regression: whether scores are mean square errors; else they are accuracies in percent.
        scores: by shots a class, or by points of a regression, after `passes` over them.
        scores_one_pass: the same after one pass.
        passes: by shots.
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
    scores: Mapping[int, Estimate]
    scores_one_pass: Mapping[int, Estimate]
    passes: Mapping[int, int]
    weights_sha256: str


@dataclass(frozen=True)
class Evaluation:
    """Scores on validation tasks after a round, fine-tuned with one pass.

    Attributes:
        parameters: communicated until then, both directions.
        accuracy: percent by shots a class; empty for a regression.
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
    regression = not fields.has("accuracy")
    if regression and not fields.has("mse_by_shots"):
        raise StudyError(
            f"{fields.place}: expected `accuracy` or `mse_by_shots`, got neither; run it again"
        )
    name = "mse_by_shots" if regression else "accuracy"
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
        regression=regression,
        scores=scores,
        scores_one_pass=_by_shots(fields, f"{name}_one_pass"),
        passes={shots: inner.count(key) for shots, key, inner in fields.shots("passes")},
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
            by_shots = scores.shots("accuracy") if scores.has("accuracy") else ()
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
