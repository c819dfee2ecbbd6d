"""An application: a family of tasks, a network, a score, and what a study of it is by default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from tinyfleet.errors import StudyError
from tinyfleet.messages import Floats
from tinyfleet.network import Network
from tinyfleet.simulations.evaluation import Metric
from tinyfleet.simulations.study import Study
from tinyfleet.simulations.tasks.family import TaskFamily

Score = Literal["accuracy", "balanced_accuracy", "mse"]
"""What a metric may be called."""

Summary = Callable[[Floats, Floats], Mapping[str, Any]]
"""Further figures of all test tasks, from outputs and targets `(tasks, q, outputs)`."""


@dataclass(frozen=True)
class Parts:
    """Three populations of devices that share nothing that could be learned by heart.

    Attributes:
        train: devices that learn together.
        validation: devices that settings and learning curves are judged on.
        test: devices that the result is judged on, once.
    """

    train: TaskFamily
    validation: TaskFamily
    test: TaskFamily


@dataclass(frozen=True)
class Application:
    """What devices learn, and how well they learn it.

    Attributes:
        name: what results and reports call it.
        network: the network unless a study names another: its name, a TOML file, or the network.
        parts: makes the populations of a study; it reads data if there are any.
        rows_per_shot: support rows that one shot stands for, such as the ways of a study.
        metric: a score for each task, from outputs and targets `(n, q, outputs)`.
        score: what the metric is called; accuracies are in percent.
        reads: keys of a study that it reads and that other applications may not.
        defaults: values of a study under any strategy.
        strategies: values under a strategy, over those; settings that were found on validation.
        strategy: the strategy of a study that names none.
        summary: further figures of the test part; None where the score says it all.

    Raises:
        StudyError: a field is not of its kind, by name.
    """

    name: str
    network: str | Network
    parts: Callable[[Study], Parts]
    rows_per_shot: Callable[[Study], int]
    metric: Metric
    score: Score
    reads: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    strategies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strategy: str = "tinyreptile"
    summary: Summary | None = None

    def __post_init__(self) -> None:
        known = {key.name for key in fields(Study)}
        for name, expected, good in (
            ("name", "a name", isinstance(self.name, str)),
            ("network", "a Network, a name or a TOML file", self.network is not None),
            ("parts", "a function of the study", callable(self.parts)),
            ("rows_per_shot", "a function of the study", callable(self.rows_per_shot)),
            ("metric", "a function of outputs and targets", callable(self.metric)),
            ("score", f"one of {', '.join(get_args(Score))}", self.score in get_args(Score)),
            ("reads", "keys of a study, in a tuple", _are_keys(self.reads, known)),
            ("defaults", "a table of a study's keys", isinstance(self.defaults, Mapping)),
            ("strategies", "tables by strategy", isinstance(self.strategies, Mapping)),
            ("summary", "a function", self.summary is None or callable(self.summary)),
        ):
            if not good:
                raise StudyError(
                    f"{name}: expected {expected}, got {getattr(self, name)!r}; mend it"
                )

    @property
    def classifies(self) -> bool:
        """Whether more of its score is better."""
        return self.score != "mse"


def _are_keys(reads: object, known: set[str]) -> bool:
    return isinstance(reads, tuple) and known.issuperset(reads)
