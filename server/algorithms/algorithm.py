"""What an algorithm is: what devices are asked, and what the server makes of their answers."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from tinyfleet.encoding import Encoding
from tinyfleet.errors import TrainingError
from tinyfleet.messages import LocalStart, Optimizer, Training
from tinyfleet.server import meta
from tinyfleet.server.meta import MetaStep, Schedule
from tinyfleet.server.settings import Settings

if TYPE_CHECKING:
    from tinyfleet.server.strategy import MetaStrategy

STEPPING = ("step", "step_end", "period", "decay", "server_optimizer")
"""The knobs of an algorithm whose server takes a step of a size that may change."""


@dataclass(frozen=True)
class Knobs:
    """What a study, a deployment or a caller says of an algorithm; each reads what it needs.

    Attributes:
        training: how devices learn.
        per_round: nodes a round; 0 for all.
        seed: seed of the draw of nodes and of whatever devices draw.
        first_round: number of the first round, above 1 when a run goes on.
        rounds: rounds of the whole run, for steps that go somewhere.
        step: the server's first step size.
        step_end: its last, or the lowest of a period; None stays at `step`.
        period: rounds between warm restarts of the step; 0 for a straight line.
        decay: what each restart takes off the step's height.
        server_optimizer: what the server does with the mean difference: "sgd" goes along it,
            "adam" scales each entry by what it has moved before, and wants smaller steps.
        local: layers that never leave a device.
        local_start: where they start from; see `tinyfleet.Assignment`.
        share: part of the shared entries, those that moved most, that comes back.
        encoding: how updates travel; see `tinyfleet.Assignment`.
        encoding_down: how weights travel to devices.
    """

    training: Training
    per_round: int = 0
    seed: int = 0
    first_round: int = 1
    rounds: int = 1
    step: float = 1.0
    step_end: float | None = None
    period: int = 0
    decay: float = 0.0
    server_optimizer: Optimizer = "sgd"
    local: tuple[str, ...] = ()
    local_start: LocalStart = "fresh"
    share: float = 1.0
    encoding: Encoding = "float32"
    encoding_down: Encoding = "float32"

    def settings(self) -> Settings:
        """Return what every algorithm asks: learn your samples, send your weights."""
        return Settings(
            self.training,
            self.per_round,
            self.seed,
            self.first_round,
            encoding=self.encoding,
            encoding_down=self.encoding_down,
        )

    def schedule(self) -> Schedule:
        """Return the server's step size in each round: a straight line, or warm restarts."""
        end = self.step if self.step_end is None else self.step_end
        if self.period:
            return meta.warm_restart(end, self.step, self.period, self.decay)
        return meta.linear(self.step, end, self.rounds)


Personal = Literal["whole", "local", "pulled"]


@dataclass(frozen=True)
class Algorithm:
    """How a fleet learns together: data and two functions.

    Attributes:
        name: what studies call it.
        ask: from the knobs to what devices are asked; `TrainingError` where they do not fit it.
        step: from the knobs to what the server makes of the answers.
        reads: the knobs that it reads besides training, per_round, seed, first_round and rounds.
        personal: how a new device makes the result its own: it fine-tunes the "whole" network,
            its "local" layers alone, or the whole, "pulled" by `training.proximal` towards what it
            received.

    Raises:
        TrainingError: a field is not of its kind.
    """

    name: str
    ask: Callable[[Knobs], Settings]
    step: Callable[[Knobs], MetaStep]
    reads: tuple[str, ...] = ()
    personal: Personal = "whole"

    def __post_init__(self) -> None:
        for name, expected, good in (
            ("name", "a name", isinstance(self.name, str)),
            ("ask", "a function of the knobs", callable(self.ask)),
            ("step", "a function of the knobs", callable(self.step)),
            ("reads", "names of knobs, in a tuple", isinstance(self.reads, tuple)),
        ):
            if not good:
                raise TrainingError(f"{name}: expected {expected}, got {getattr(self, name)!r}")
        _check_choices(self)


def build(algorithm: Algorithm, knobs: Knobs) -> "MetaStrategy":
    """Return `algorithm` as a Flower strategy.

    Raises:
        TrainingError: a knob is out of its range, or does not fit the algorithm; or the algorithm's
            functions return something else than settings and a step.
    """
    from tinyfleet.server.strategy import MetaStrategy  # Flower takes a second to load

    asked, step = algorithm.ask(knobs), algorithm.step(knobs)
    _check_returned("ask", asked, Settings)
    _check_returned("step", step, MetaStep)
    _check_choices(asked)
    _check_choices(step)
    if not callable(step.step):
        raise TrainingError(
            f"step: MetaStep expects a function of the round, got {step.step!r}; "
            "give knobs.schedule()"
        )
    if not math.isfinite(step.step(knobs.first_round)):
        raise TrainingError("step: MetaStep expects finite steps; mend the schedule")
    return MetaStrategy(asked, step)


def _check_returned(name: str, found: object, kind: type) -> None:
    if not isinstance(found, kind):
        raise TrainingError(
            f"{name}: expected it to return {kind.__name__}, got {type(found).__name__}; "
            "an Algorithm takes its name, ask and step, in this order"
        )


def _check_choices(one: Algorithm | Settings | MetaStep) -> None:
    """Raise `TrainingError` unless fields of a few values have one of them."""
    for f in fields(one):
        options, value = get_args(f.type), getattr(one, f.name)
        if get_origin(f.type) is Literal and value not in options:
            raise TrainingError(f"{f.name}: expected one of {', '.join(options)}, got {value!r}")


def check_online(name: str, training: Training) -> None:
    """Raise `TrainingError` unless every sample is learned and forgotten."""
    if not training.online:
        raise TrainingError(
            f"training: {name} expects batch 1, sgd and no proximal pull, got {training}; "
            "or use reptile"
        )


def check_local(name: str, local: tuple[str, ...]) -> None:
    """Raise `TrainingError` unless some layers are local."""
    if not local:
        raise TrainingError(
            f"local: {name} expects the layers that stay on a device, got none; "
            "name the last layer, or use fedavg"
        )
