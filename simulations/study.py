"""A study: everything that decides what a run computes, from the command line or a TOML file."""

import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from tinyfleet.encoding import ENCODINGS, Encoding
from tinyfleet.errors import FleetError, StudyError
from tinyfleet.messages import Optimizer, Training
from tinyfleet.networks import NETWORKS, named_network

SETTINGS = ("tecs2024", "maml2017")
STARTS = ("received", "zeros", "fresh")
MOST = 2**31 - 1
"""The largest count: what the kernel's 32-bit integers hold."""

_Rule = tuple[str, str, bool]


@dataclass(frozen=True)
class Study:
    """One experiment; the same study gives the same bytes on any number of workers.

    Attributes:
        app: an application, by name or as the path of a file that ends in .py.
        strategy: how the fleet is coordinated, by name or as the path of such a file.
        devices: simulated devices.
        per_round: devices asked in a round; 0 for all.
        rounds: rounds.
        seed: seed of everything that is drawn.
        training: how devices learn.
        step: the server's first step size.
        step_end: its last; the step goes there in a straight line, or is the lowest of a period.
        period: rounds between warm restarts (TinyMetaFed); 0 for none.
        decay: what each warm restart takes off the height of the step.
        support: what a device's stream holds a round: points (sine), or samples of each class.
        query: the same, kept apart for the part of a network that all devices share (TinyMetaFed).
        min_support: fewest of `support` that a device has; 0 when all have the same.
        noise: largest standard deviation of a device's sensor noise.
        drift: whether devices see characters rotated, shifted and zoomed, or hear white noise.
        ways: classes that a device tells apart.
        speakers: people that share a device (keywords).
        across: whether a device is judged on other people than it learns from (keywords).
        light: whether devices sense light (presence).
        room: the room that is tested on (presence); "" for the same split in every run.
        setting: population of sines, "tecs2024" or "maml2017".
        server_optimizer: what the server does with the mean difference, "sgd" or "adam".
        local: layers that never leave a device (TinyMetaFed).
        local_start: where they start from.
        share: part of the shared entries that a device returns (TinyMetaFed's P).
        encoding: how updates travel, "float32", "float16" or "int8"; see `tinyfleet.Assignment`.
        encoding_down: how weights travel to devices.
        network: name of a network, or a TOML file; "" for that of an application's own file.
        data: data file to train on; None for what is found.
        test_data: data file to test on, all of it unseen; None for the test part of the data.
        shots: shots that the result is reported for.
        tasks: held-out test tasks.
        validation_tasks: tasks for settings and learning curves.
        passes: numbers of passes over the support that validation chooses from, besides one.
        rates: rates of fine-tuning that validation chooses from, besides that of the training.
        evaluations: points of the learning curve.
        select: what chooses who trains: a query of the library by name, or a .rq file; "" draws.
    """

    app: str
    strategy: str
    devices: int
    per_round: int
    rounds: int
    seed: int
    training: Training
    step: float = 1.0
    step_end: float = 1.0
    period: int = 0
    decay: float = 0.0
    support: int = 32
    query: int = 0
    min_support: int = 0
    noise: float = 0.0
    drift: bool = False
    ways: int = 5
    speakers: int = 1
    across: bool = False
    light: bool = False
    room: str = ""
    setting: str = "tecs2024"
    server_optimizer: Optimizer = "sgd"
    local: tuple[str, ...] = ()
    local_start: str = "fresh"
    share: float = 1.0
    encoding: Encoding = "float32"
    encoding_down: Encoding = "float32"
    network: str = ""
    data: str | None = None
    test_data: str | None = None
    shots: tuple[int, ...] = (0, 1, 2, 4, 8, 16)
    tasks: int = 1000
    validation_tasks: int = 128
    passes: tuple[int, ...] = (2, 4, 8)
    rates: tuple[float, ...] = ()
    evaluations: int = 40
    select: str = ""

    def __post_init__(self) -> None:
        for name, expected, good in (*self._names(), *self._counts(), *self._sizes()):
            if not good:
                raise StudyError(f"study.{name}: expected {expected}, got {getattr(self, name)!r}")

    def _names(self) -> Iterator[_Rule]:
        yield "setting", f"one of {', '.join(SETTINGS)}", self.setting in SETTINGS
        yield "local_start", f"one of {', '.join(STARTS)}", self.local_start in STARTS
        for name in ("encoding", "encoding_down"):
            yield name, f"one of {', '.join(ENCODINGS)}", getattr(self, name) in ENCODINGS
        ours = not (self.select and self.strategy.startswith("flower-"))
        yield "select", '"" with a strategy of Flower\'s, which chooses by its own', ours

    def _counts(self) -> Iterator[_Rule]:
        for name in ("devices", "rounds", "support", "speakers", "evaluations"):
            yield name, f"1 to {MOST}", 1 <= getattr(self, name) <= MOST
        for name in ("seed", "query", "period"):
            yield name, f"0 to {MOST}", 0 <= getattr(self, name) <= MOST
        for name in ("tasks", "validation_tasks", "ways"):
            yield name, f"2 to {MOST}", 2 <= getattr(self, name) <= MOST
        rounds = f"0 (all) to {self.devices}, the devices"
        yield "per_round", rounds, 0 <= self.per_round <= self.devices
        fewest = f"0 (all alike) to {self.support}, the support"
        yield "min_support", fewest, 0 <= self.min_support <= self.support
        shots = bool(self.shots) and min(self.shots) >= 0 and max(self.shots) <= MOST
        yield "shots", f"numbers of 0 to {MOST}", shots
        passes = f"numbers of 2 to {MOST}, beside one that is always tried"
        yield "passes", passes, all(2 <= p <= MOST for p in self.passes)

    def _sizes(self) -> Iterator[_Rule]:
        yield "step", "a finite number above 0", math.isfinite(self.step) and self.step > 0
        end = math.isfinite(self.step_end) and self.step_end >= 0
        yield "step_end", "a finite number of 0 or more", end
        yield "decay", "a finite number of 0 or more", math.isfinite(self.decay) and self.decay >= 0
        yield "noise", "a finite number of 0 or more", math.isfinite(self.noise) and self.noise >= 0
        yield "share", "more than 0 and at most 1", 0 < self.share <= 1
        rates = all(0 < r < math.inf for r in self.rates)
        yield "rates", "finite numbers above 0", rates


def study_from(values: Any, source: str) -> Study:
    """Build a study from plain values, as TOML or JSON holds them.

    Raises:
        StudyError: an unknown key, a missing one, or a value of the wrong type, by name.
    """
    found = dict(check_table(values, source))
    training = _fill(Training, found.pop("training", {}), f"{source}: training")
    study: Study = _fill(Study, {**found, "training": training}, source)
    return study


def check_table(values: Any, source: str) -> Mapping[str, Any]:
    """Return `values` when they are a table.

    Raises:
        StudyError: they are something else.
    """
    if not isinstance(values, Mapping):
        raise StudyError(f"{source}: expected a table, got {values!r}")
    return values


def check_keys(values: Mapping[str, Any], source: str) -> None:
    """Raise `StudyError` unless every key is one of a study's."""
    _check_known(Study, values, source)


def _check_known(kind: type[Any], values: Mapping[str, Any], source: str) -> None:
    known = [f.name for f in fields(kind)]
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, cutoff=0.7)
            if kind is Study and key in [f.name for f in fields(Training)]:
                near.append(f"{key} under [training]")
            told = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
            raise StudyError(f"{source}: unknown key {key!r}; {told}")


def _fill(kind: type[Any], values: Any, source: str) -> Any:
    """Build the dataclass `kind` from a mapping, naming whatever does not fit."""
    _check_known(kind, check_table(values, source), source)
    ready = {}
    for f in fields(kind):
        if f.name in values:
            ready[f.name] = _fit(values[f.name], f.type, f"{source}: {f.name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise StudyError(f"{source}: {f.name}: expected a value, got none")
    try:
        return kind(**ready)
    except FleetError as error:
        around, _, last = f": {source}".rpartition(": ")
        place = around if str(error).startswith(f"{last}.") else f": {source}"
        raise StudyError(f"{place}: {error}".removeprefix(": ")) from None


def _fit(value: Any, expected: Any, source: str) -> Any:
    """Return `value` as the type `expected`; integers pass for floats, lists for tuples."""
    if get_origin(expected) is tuple and isinstance(value, list | tuple):
        inner = get_args(expected)[0]
        return tuple(_fit(v, inner, f"{source}[{i}]") for i, v in enumerate(value))
    plain = type(value)
    for option in get_args(expected) or (expected,):
        if option is plain or (isinstance(option, str) and value == option):
            return value
        if option is float and plain is int and abs(value) <= MOST:
            return float(value)
        if isinstance(option, type) and option is not int and isinstance(value, option):
            return value
    if get_origin(expected) is Literal:
        name = f"one of {', '.join(map(str, get_args(expected)))}"
    else:
        name = expected.__name__ if isinstance(expected, type) else str(expected)
    shown = repr(value)
    raise StudyError(f"{source}: expected {name}, got {shown[:60]}")


def read_study_file(path: Path) -> dict[str, Any]:
    """Return the values of a TOML study file; files that it names lie relative to it.

    Raises:
        FleetError: the file is missing or no TOML, or what `locate_files` raises.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: expected a readable study file: {error}") from None
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise StudyError(f"{path}: expected TOML: {error}") from None
    return locate_files(values, path.parent)


def locate_files(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return `values` with the files that they name as absolute paths, seen from `folder`.

    Raises:
        NetworkError: a bare word stands for a network, and neither a network nor a file has it.
    """
    found = dict(values)
    for key in ("network", "data", "test_data"):
        name = found.get(key)
        if isinstance(name, str) and name and name not in NETWORKS:
            found[key] = str((folder / name).absolute())
            bare = "/" not in name and not Path(name).suffix
            if key == "network" and bare and not os.path.exists(found[key]):
                named_network(name)  # says which there are
    for key, suffix in (("app", ".py"), ("strategy", ".py"), ("select", ".rq")):
        name = found.get(key)
        if isinstance(name, str) and name.endswith(suffix):
            found[key] = str((folder / name).absolute())
    return found


def study_to_dict(study: Study) -> dict[str, Any]:
    """Return plain values from which `study_from` builds the same study."""
    return asdict(study)
