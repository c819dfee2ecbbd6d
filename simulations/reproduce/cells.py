"""What a reproduced table is made of: cells, each with ours, what was published, and a command."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinyfleet.errors import StudyError
from tinyfleet.simulations.evaluation import Estimate

if TYPE_CHECKING:
    from tinyfleet.simulations.reproduce.work import Work

NOT_PUBLISHED = "not published"
"""Why a cell of ours stands alone."""

DIVERGED = "ours is not finite: a training diverged"
"""Why there is no figure of ours where one was measured."""


@dataclass(frozen=True)
class Cell:
    """One figure of ours beside the published one.

    Attributes:
        table: name of the table, such as "table-4".
        row: what the figure is of, such as "characters, TinyReptile".
        column: which figure, such as "8 shots".
        ours: our figure; None where there is none.
        ci95: half of its 95 % interval; None where nothing is sampled.
        published: what was published; None where nothing was.
        command: what makes our figure again.
        unit: of all three.
        why: the reason where ours or the published figure is missing, or why the two are not
            comparable; "" where they are.

    Raises:
        StudyError: a figure is missing without a reason, or is no number.
    """

    table: str
    row: str
    column: str
    ours: float | None
    ci95: float | None
    published: float | None
    command: str
    unit: str = ""
    why: str = ""

    def __post_init__(self) -> None:
        where = f"{self.table}: {self.row}: {self.column}"
        if (self.ours is None or self.published is None) and not self.why:
            raise StudyError(f"{where}: expected a reason why a figure is missing, got none")
        for name in ("ours", "ci95", "published"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise StudyError(f"{where}: {name}: expected a finite number, got {value}")

    @property
    def difference(self) -> float | None:
        """Ours less the published figure; None where one of them is missing."""
        if self.ours is None or self.published is None:
            return None
        return self.ours - self.published


def cell_of(
    place: tuple[str, str, str],
    ours: Estimate | float | None,
    published: float | None = None,
    *,
    unit: str = "",
    why: str = "",
) -> Cell:
    """Return a cell of a table, made again by the command of that table.

    Args:
        place: name of the table, row and column.
        ours: our figure, with its interval where it is an estimate.
        published: what was published; None where nothing was.
        unit: of both.
        why: as in `Cell`; by default that nothing was published where nothing was. What is not
            finite is no figure: then the reason is that a training diverged.
    """
    table, row, column = place
    mean, ci95 = (ours.mean, ours.ci95) if isinstance(ours, Estimate) else (ours, None)
    if mean is not None and not math.isfinite(mean):
        mean, ci95, why = None, None, DIVERGED
    if ci95 is not None and not math.isfinite(ci95):
        ci95 = None
    why = why or ("" if published is not None else NOT_PUBLISHED)
    return Cell(table, row, column, mean, ci95, published, command_of(table), unit, why)


@dataclass(frozen=True)
class Line:
    """One line of a figure.

    Attributes:
        label: what it shows.
        x: ascending places.
        y: as many values.
        published: whether it was published, so that it is drawn as such.
        low: lower ends of intervals, as many; None for none.
        high: upper ends.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    published: bool = False
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class Figure:
    """A drawing: lines over common axes.

    Attributes:
        name: short, unique among all figures.
        title: what is shown.
        x: label of the axis across.
        y: label of the axis up.
        lines: what is drawn, ours first.
    """

    name: str
    title: str
    x: str
    y: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Table:
    """A table or figure to be made again.

    Attributes:
        name: as `--only` takes it.
        title: what it says.
        source: where it was published; "ours" where nothing was.
        cells: makes its cells.
        notes: what a reader must know: settings, what is not comparable and why.
        figures: draws it, where it is drawn.
        needs: applications whose data it cannot do without.
        beside: what stands beside ours, where it is not what a paper has published.
    """

    name: str
    title: str
    source: str
    cells: "Callable[[Work], Sequence[Cell]]"
    notes: str = ""
    figures: "Callable[[Work], Sequence[Figure]] | None" = None
    needs: tuple[str, ...] = ()
    beside: str = "published"

    @property
    def command(self) -> str:
        """What makes this table again."""
        return command_of(self.name)


def command_of(table: str) -> str:
    """Return the command that makes a table again.

    >>> command_of("table-4")
    'tinyfleet reproduce --only table-4'
    """
    return f"tinyfleet reproduce --only {table}"
