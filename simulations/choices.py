"""The choices of a mixed fleet as data: who was chosen in which round, and why others were not."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyfleet.simulations.fields import Fields


@dataclass(frozen=True)
class LeftOut:
    """A device that was not in a round, and why."""

    device: int
    reason: str


@dataclass(frozen=True)
class ChosenRound:
    """Who was in a round, in the order of the query's answer, and who was not."""

    round: int
    devices: Sequence[int]
    left_out: Sequence[LeftOut]


@dataclass(frozen=True)
class Choices:
    """Who was chosen in which round.

    Attributes:
        name: of the query.
        query: its text.
        model: IRI of the model that was trained.
        rounds: in order.
    """

    name: str
    query: str
    model: str
    rounds: Sequence[ChosenRound]

    def reasons(self) -> Mapping[tuple[int, str], Sequence[int]]:
        """Return the rounds that each device was left out of, by device and reason; most first."""
        found: dict[tuple[int, str], list[int]] = {}
        for one in self.rounds:
            for left in one.left_out:
                found.setdefault((left.device, left.reason), []).append(one.round)
        return dict(sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])))

    def to_dict(self) -> Mapping[str, Any]:
        """Return plain values for a file."""
        return asdict(self)


def choices_from(fields: "Fields") -> Choices:
    """Return what `Choices.to_dict` wrote.

    Raises:
        StudyError: a field is missing or of another type.
    """
    rounds = tuple(
        ChosenRound(
            row.count("round"),
            row.counts("devices"),
            tuple(LeftOut(one.count("device"), one.text("reason")) for one in row.rows("left_out")),
        )
        for row in fields.rows("rounds")
    )
    return Choices(fields.text("name"), fields.text("query"), fields.text("model"), rounds)
