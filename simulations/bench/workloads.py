"""What is measured: two networks, each with the stream that a device learns in one update."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyfleet import networks
from tinyfleet.cost import cost
from tinyfleet.messages import Assignment, Floats, Training
from tinyfleet.network import Network
from tinyfleet.simulations.datasets.omniglot import SIDE, CharacterImages
from tinyfleet.simulations.tasks.characters import Characters, Episodes
from tinyfleet.simulations.tasks.family import TaskFamily
from tinyfleet.simulations.tasks.sine import tecs2024
from tinyfleet.task import TaskBatch

SEED = 1
CLASSES, DRAWERS, INK = 100, 20, 0.1


@dataclass(frozen=True)
class Workload:
    """One kind of device update.

    Attributes:
        name: "sine" or "characters".
        network: what a device trains.
        tasks: what it learns from.
        steps: one-sample steps of an update.
        rate: step size of SGD.
    """

    name: str
    network: Network
    tasks: TaskFamily = field(repr=False)
    steps: int
    rate: float

    @property
    def start(self) -> Floats:
        """The weights that every device starts from, `(parameters,)`."""
        return self.network.init(SEED)

    @property
    def flop(self) -> int:
        """Floating-point operations of an update: two for each multiply-accumulate."""
        return 2 * self.steps * cost(self.network, Training(self.rate)).macs_training

    def assignment(self, round_number: int) -> Assignment:
        """Return what a device is asked to do."""
        return Assignment(round_number, self.start, Training(self.rate))

    def batch(self, devices: int) -> TaskBatch:
        """Return the tasks of devices 0..`devices` - 1."""
        return self.tasks.batch(np.arange(devices), 1)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A `TaskFamily` of tasks drawn beforehand; device `i` has the task `i` modulo their number.

    Attributes:
        family: whose tasks.
        tasks: the tasks, drawn.
    """

    family: TaskFamily
    tasks: TaskBatch = field(repr=False)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.family.input_shape

    @property
    def outputs(self) -> int:
        """Length of one target."""
        return self.family.outputs

    @property
    def provenance(self) -> str:
        """Say whose tasks these are."""
        return f"{self.family.provenance}, drawn beforehand"

    @property
    def fingerprint(self) -> str:
        """That of the family whose tasks these are."""
        return self.family.fingerprint

    def batch(self, devices: NDArray[np.int64], round_number: int) -> TaskBatch:
        """Return the tasks of `devices`, `(n,)`, the same in every round."""
        del round_number
        at = devices % len(self.tasks)
        return TaskBatch(
            self.tasks.support_x[at],
            self.tasks.support_y[at],
            self.tasks.query_x[at],
            self.tasks.query_y[at],
            self.tasks.counts[at],
        )


def _sine() -> Workload:
    return Workload("sine", networks.sine(), tecs2024(SEED), 32, 0.01)


def _characters() -> Workload:
    episodes = Episodes(ways=5, shots=8)
    family = Characters(synthetic_characters(), "train", SEED, episodes)
    return Workload("characters", networks.characters(), family, 40, 0.01)


def synthetic_characters() -> CharacterImages:
    """Return random images with Omniglot's shape and share of ink: speed asks for no meaning."""
    generator = np.random.default_rng(SEED)
    ink = generator.random((CLASSES, DRAWERS, SIDE, SIDE)) < INK
    images = np.where(ink, 255, 0).astype(np.uint8)
    names = tuple(f"class {i}" for i in range(CLASSES))
    return CharacterImages(images, names, f"{CLASSES} random classes of Omniglot's shape")


WORKLOADS: dict[str, Callable[[], Workload]] = {"sine": _sine, "characters": _characters}
