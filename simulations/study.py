"""A study: everything that decides what a run computes, from the command line or a TOML file."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin

from tinyfleet.errors import FleetError, StudyError
from tinyfleet.messages import Training

APPS = ("sine", "characters")
STRATEGIES = (
    "tinyreptile",
    "tinyreptile-parallel",
    "tinymetafed",
    "reptile",
    "fedavg",
    "fedsgd",
    "fedprox",
    "flower-fedavg",
    "flower-fedadam",
    "flower-fedmedian",
    "flower-krum",
)


@dataclass(frozen=True)
class Study:
    """One experiment; the same study gives the same bytes on any number of workers.

    Attributes:
        app: "sine" or "characters".
        strategy: how the fleet is coordinated; see `STRATEGIES`.
        devices: simulated devices.
        per_round: devices asked in a round; 0 for all.
        rounds: rounds.
        seed: seed of everything that is drawn.
        training: how devices learn.
        step: the server's first step size.
        step_end: its last; the step goes there in a straight line.
        period: rounds between warm restarts (TinyMetaFed); 0 for none.
        support: what a device's stream holds a round: points (sine), images per class (characters).
        query: the same, kept apart for the part of a network that all devices share (TinyMetaFed).
        min_support: fewest of `support` that a device has; 0 when all have the same.
        noise: largest standard deviation of a device's sensor noise.
        drift: whether devices see characters rotated, shifted and zoomed.
        ways: characters that a device tells apart.
        setting: population of sines, "tecs2024" or "maml2017".
        local: layers that never leave a device (TinyMetaFed).
        local_start: where they start from.
        share: part of the shared entries that a device returns (TinyMetaFed's P).
        network: name of a network, or a TOML file.
        data: data file to train on; None for what is found.
        test_data: data file to test on, all of it unseen; None for the test part of the data.
        shots: shots that the result is reported for.
        tasks: held-out test tasks.
        validation_tasks: tasks for settings and learning curves.
        passes: numbers of passes over the support that validation chooses from, besides one.
        rates: rates of fine-tuning that validation chooses from, besides that of the training.
        evaluations: points of the learning curve.
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
    support: int = 32
    query: int = 0
    min_support: int = 0
    noise: float = 0.0
    drift: bool = False
    ways: int = 5
    setting: str = "tecs2024"
    local: tuple[str, ...] = ()
    local_start: str = "fresh"
    share: float = 1.0
    network: str = ""
    data: str | None = None
    test_data: str | None = None
    shots: tuple[int, ...] = (0, 1, 2, 4, 8, 16)
    tasks: int = 1000
    validation_tasks: int = 128
    passes: tuple[int, ...] = (2, 4, 8)
    rates: tuple[float, ...] = ()
    evaluations: int = 40

    def __post_init__(self) -> None:
        for name, value, expected, good in (
            ("app", self.app, f"one of {', '.join(APPS)}", self.app in APPS),
            (
                "strategy",
                self.strategy,
                f"one of {', '.join(STRATEGIES)}",
                self.strategy in STRATEGIES,
            ),
            ("devices", self.devices, "1 or more", self.devices >= 1),
            (
                "per_round",
                self.per_round,
                f"0 (all) to {self.devices}, the devices",
                0 <= self.per_round <= self.devices,
            ),
            ("rounds", self.rounds, "1 or more", self.rounds >= 1),
            ("seed", self.seed, "0 or more", self.seed >= 0),
            ("shots", self.shots, "0 or more each", bool(self.shots) and min(self.shots) >= 0),
            ("passes", self.passes, "2 or more each", all(p >= 2 for p in self.passes)),
            ("rates", self.rates, "above 0 each", all(r > 0 for r in self.rates)),
            ("tasks", self.tasks, "2 or more", self.tasks >= 2),
            (
                "validation_tasks",
                self.validation_tasks,
                "2 or more",
                self.validation_tasks >= 2,
            ),
            ("setting", self.setting, "tecs2024 or maml2017", self.setting in _SETTINGS),
        ):
            if not good:
                raise StudyError(f"study.{name}: expected {expected}, got {value!r}")


_SETTINGS = ("tecs2024", "maml2017")


def study_from(values: Mapping[str, Any], source: str) -> Study:
    """Build a study from plain values, as TOML or JSON holds them.

    Raises:
        StudyError: an unknown key, a missing one, or a value of the wrong type, by name.
    """
    found = dict(values)
    training = _fill(Training, found.pop("training", {}), f"{source}: training")
    study: Study = _fill(Study, {**found, "training": training}, source)
    return study


def _fill(kind: type[Any], values: Any, source: str) -> Any:
    """Build the dataclass `kind` from a mapping, naming whatever does not fit."""
    if not isinstance(values, Mapping):
        raise StudyError(f"{source}: expected a table, got {values!r}")
    known = {f.name: f for f in fields(kind)}
    for key in values:
        if key not in known:
            raise StudyError(f"{source}: unknown key {key!r}; known are {', '.join(known)}")
    ready = {}
    for name, f in known.items():
        if name in values:
            ready[name] = _fit(values[name], f.type, f"{source}: {name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise StudyError(f"{source}: {name}: expected a value, got none")
    try:
        return kind(**ready)
    except FleetError as error:
        raise StudyError(f"{source}: {error}") from None


def _fit(value: Any, expected: Any, source: str) -> Any:
    """Return `value` as the type `expected`; integers pass for floats, lists for tuples."""
    if get_origin(expected) is tuple and isinstance(value, list | tuple):
        inner = get_args(expected)[0]
        return tuple(_fit(v, inner, f"{source}[{i}]") for i, v in enumerate(value))
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = get_args(expected) or (expected,)
    if get_origin(expected) is not tuple:
        for option in plain:
            if value == option and isinstance(option, str):
                return value
            if isinstance(option, type) and isinstance(value, option):
                if option is int and isinstance(value, bool):
                    continue
                return value
    name = getattr(expected, "__name__", str(expected))
    raise StudyError(f"{source}: expected {name}, got {value!r}")


def read_study_file(path: Path) -> dict[str, Any]:
    """Return the values of a TOML study file; keys that it leaves out take their defaults.

    Raises:
        StudyError: the file is missing or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: expected a readable study file: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path}: expected TOML: {error}") from None


def study_to_dict(study: Study) -> dict[str, Any]:
    """Return plain values from which `study_from` builds the same study."""
    return asdict(study)
