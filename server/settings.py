"""What a strategy asks for in every round, and of whom; nothing here knows Flower."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinyfleet.encoding import Encoding
from tinyfleet.errors import TrainingError
from tinyfleet.messages import Answer, Assignment, Floats, LocalStart, SharedFrom, Training


@dataclass(frozen=True)
class Settings:
    """What a strategy asks for in every round.

    Attributes:
        training: how devices learn.
        per_round: nodes asked in a round, drawn without replacement; 0 and None ask all.
        seed: seed of that draw, together with the round, and of whatever devices draw.
        first_round: number of the first round; a run that goes on counts on from where it stopped,
            while Flower counts each start from 1.
        frozen: layers that keep the received weights.
        local: layers that never leave the device.
        local_start: where local layers start from; see `Assignment`.
        shared_from: what the other layers learn from where some are local; see `Assignment`.
        answer: what comes back; see `Assignment`.
        share: part of the returnable entries that comes back.
        encoding: how updates travel; see `Assignment`.
        encoding_down: how weights travel to devices.
    """

    training: Training
    per_round: int | None = None
    seed: int = 0
    first_round: int = 1
    frozen: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    local_start: LocalStart = "fresh"
    shared_from: SharedFrom = "query"
    answer: Answer = "weights"
    share: float = 1.0
    encoding: Encoding = "float32"
    encoding_down: Encoding = "float32"

    def __post_init__(self) -> None:
        if self.per_round is not None and self.per_round < 0:
            raise TrainingError(f"per_round: expected 1 or more, 0 for all, got {self.per_round}")
        if self.first_round < 1:
            raise TrainingError(f"first_round: expected at least 1, got {self.first_round}")
        if self.seed < 0:
            raise TrainingError(f"seed: expected 0 or more, got {self.seed}")

    def assignment(self, round_number: int, weights: Floats) -> Assignment:
        """Return what every chosen device is asked in round `round_number`."""
        return Assignment(
            round=round_number,
            weights=weights,
            training=self.training,
            frozen=self.frozen,
            local=self.local,
            local_start=self.local_start,
            shared_from=self.shared_from,
            answer=self.answer,
            share=self.share,
            seed=self.seed,
            encoding=self.encoding,
            encoding_down=self.encoding_down,
        )


def choose(nodes: Iterable[int], settings: Settings, round_number: int) -> Sequence[int]:
    """Return the nodes that round `round_number` asks, ascending.

    They are drawn without replacement from the nodes in ascending order, with a generator
    seeded by `settings.seed` and the round, so they do not depend on what came before.

    Raises:
        TrainingError: there are no nodes, or fewer than a round asks.
    """
    ordered = ascending(nodes)
    wanted = settings.per_round or len(ordered)
    if wanted > len(ordered) or not ordered:
        raise TrainingError(
            f"per_round: round {round_number} asks {max(1, wanted)} nodes, got {len(ordered)}; "
            "connect more or ask fewer"
        )
    if wanted == len(ordered):
        return ordered
    generator = np.random.default_rng([settings.seed, round_number])
    places = generator.choice(len(ordered), wanted, replace=False, shuffle=False)
    return [ordered[i] for i in sorted(places.tolist())]


def ascending(nodes: Iterable[int]) -> Sequence[int]:
    """Return the nodes in ascending order; a range, which may be long, is never spelled out."""
    return nodes if isinstance(nodes, range) else sorted(nodes)
