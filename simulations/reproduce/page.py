"""Writes what was reproduced as one page: tables of ours, published and difference, and plots."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path

from tinyfleet.atomic import write_atomically
from tinyfleet.simulations.reproduce.cells import NOT_PUBLISHED, Cell
from tinyfleet.simulations.reproduce.plots import draw
from tinyfleet.simulations.reproduce.settings import Labels, account_of, anchor_of, label_studies
from tinyfleet.simulations.reproduce.work import Made, Work

_HEAD = """# Reproduction

Every table and figure, made again by one command, with our figures beside the published ones.
This page is written by that command; nobody edits it.

```sh
{command}
```

Published are TECS 2024 ([10.1145/3665278](https://doi.org/10.1145/3665278)), Reptile 2018
([arXiv 1803.02999](https://arxiv.org/abs/1803.02999)) and what a table names; "read off" figures
were read off a drawing. *Difference* is ours less published. Intervals are 95 %: 1.96 standard
errors of the mean over tasks, devices, speakers, rooms or seeds; each table says over what, and how
many. An interval says nothing of other seeds, or of other data, than those it is over; one over few
is too narrow: a t-interval would be 6.5 times as wide with two, 1.6 times with four, 1.3 times with
six. Settings were chosen on validation parts of the data; a test part was looked at once, unless a
table says otherwise. Seed {seed}. {quick}
"""
_QUICK = "**This is a quick run**: its studies are tiny and say only that everything can be made."


WIDE = 4
"""From so many columns on, a row of cells is written across."""

Reasons = Mapping[str, int]
"""The numbers that reasons go by."""


def write_page(
    path: Path,
    made: Mapping[str, Made],
    left_out: Mapping[str, Sequence[str]],
    *,
    command: str,
    work: Work,
) -> None:
    """Write the page to `path`, and its drawings into the folder of its name beside it.

    Args:
        path: the page.
        made: tables that have been made, by name.
        left_out: tables that were not made, by name, and what they lack.
        command: what makes the page again.
        work: the run of the reproduction.
    """
    folder = path.with_suffix("")
    parts = [
        _HEAD.format(command=command, seed=work.seed, quick=_QUICK if work.quick else "").strip()
    ]
    labels = label_studies(one.ran for one in made.values())
    parts.append("\n".join(f"- [{one.table.title}](#{name})" for name, one in made.items()))
    if left_out:
        names = ", ".join(f"`{name}`" for name in left_out)
        reasons = "\n".join(f"- {why}" for why in dict.fromkeys(chain(*left_out.values())))
        parts.append(f"**Left out** for want of data: {names}.\n\n{reasons}")
    for name, one in made.items():
        parts.append(f'<a id="{name}"></a>\n## {one.table.title}')
        parts.append(f"{one.table.source}. Again: `{one.table.command}`")
        if one.table.notes:
            parts.append(one.table.notes.strip())
        parts.append(_origin(one, labels))
        for figure in one.figures:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{figure.name}.svg", draw(figure))
            parts.append(f"![{figure.title}]({folder.name}/{figure.name}.svg)")
        parts.extend(_tables(one.cells, one.table.beside))
    parts.extend(_settings(made, labels))
    write_atomically(path, "\n\n".join(parts) + "\n")


_SETTINGS = """## Settings

Every study that a table above names, as a study file that leaves nothing to a default (`tinyfleet
simulate FILE.toml`): what it does not say is zero, none or empty, and a device goes through its
samples once, one at a time, by SGD, unless `training` says otherwise. Below is what the validation
part chose: passes over the support, and their rate, by shots. What a table computes besides is no
study: its settings are in the notes of the table and in the module that it names{alone}."""


def _settings(made: Mapping[str, Made], labels: Labels) -> Iterator[str]:
    """Yield the settings of every study, by label, after a word on what is none."""
    alone = ", ".join(f"`{name}`" for name, one in made.items() if not one.ran)
    yield _SETTINGS.format(alone=f". Made of no study: {alone}" if alone else "")
    for label, ran in sorted(labels.values(), key=lambda one: one[0]):
        yield account_of(label, ran)


def _origin(made: Made, labels: Labels) -> str:
    """Say which studies a table is made of, and where the rest of it is computed."""
    module = f"`simulations/reproduce/{made.table.name.replace('-', '_')}.py`"
    if not made.ran:
        return f"Made of no study; computed in {module}."
    names = [labels[ran.folder][0] for ran in made.ran.values()]
    studies = ", ".join(f"[{name}](#{anchor_of(name)})" for name in names)
    return f"Made of {studies}, in {module}."


def _tables(cells: Sequence[Cell], beside: str) -> Iterator[str]:
    """Yield tables of the cells, and the reasons below: wide ones of rows with like columns."""
    reasons = reasons_of(cells)
    for columns, alike in groupby(rows_of(cells), key=lambda row: tuple(map(column_of, row))):
        block = list(alike)
        if len(columns) >= WIDE:
            yield _wide(columns, block, beside, reasons)
        else:
            yield _long([cell for row in block for cell in row], beside, reasons)
    if reasons:
        yield "\n".join(f"[{number}] {why}  " for why, number in reasons.items())


def rows_of(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Yield the cells of each row, rows in the order of their first cells."""
    for row in dict.fromkeys(cell.row for cell in cells):
        yield [cell for cell in cells if cell.row == row]


def reasons_of(cells: Sequence[Cell]) -> Reasons:
    """Return the reasons that cells give, numbered from 1, but for that nothing was published."""
    said = dict.fromkeys(cell.why for cell in cells if cell.why not in ("", NOT_PUBLISHED))
    return {why: number for number, why in enumerate(said, 1)}


def _wide(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], beside: str, reasons: Reasons
) -> str:
    """Return a table with a column for each cell of a row, and three lines a row."""
    lines = [f"| | | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for row in rows:
        shown = [
            ("ours", [ours_of(cell, reasons) for cell in row]),
            (beside, [number_of(cell.published) for cell in row]),
            ("difference", [signed(cell.difference) for cell in row]),
        ]
        name = row[0].row
        for what, values in shown:
            if any(values):
                lines.append(f"| {name} | {what} | {' | '.join(values)} |")
                name = ""
    return "\n".join(lines)


def _long(cells: Sequence[Cell], beside: str, reasons: Reasons) -> str:
    """Return a table with a line for each cell."""
    heads = heads_of(cells, beside)
    lines = [f"| | | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for row, of_row in groupby(cells, key=lambda cell: cell.row):
        name = row
        for cell in of_row:
            values = values_of(cell, reasons)[: len(heads)]
            lines.append(f"| {name} | {column_of(cell)} | {' | '.join(values)} |")
            name = ""
    return "\n".join(lines)


def heads_of(cells: Sequence[Cell], beside: str) -> tuple[str, ...]:
    """Return what the columns of figures are called: ours alone where nothing stands beside it."""
    alone = all(cell.published is None for cell in cells)
    return ("ours",) if alone else ("ours", beside, "difference")


def values_of(cell: Cell, reasons: Reasons) -> tuple[str, str, str]:
    """Return ours, what stands beside it, and the difference; "" for what is not there."""
    return ours_of(cell, reasons), number_of(cell.published), signed(cell.difference)


def column_of(cell: Cell) -> str:
    """Return the heading of a cell: its column, and the unit where that does not say it."""
    said = not cell.unit or cell.column.endswith(f", {cell.unit}")
    return cell.column if said else f"{cell.column}, {cell.unit}"


def ours_of(cell: Cell, reasons: Reasons) -> str:
    """Return our figure with its interval, and the number of its reason."""
    interval = "" if cell.ci95 is None else f" ± {number_of(cell.ci95)}"
    note = f" [{reasons[cell.why]}]" if cell.why in reasons else ""
    return f"{number_of(cell.ours)}{interval}{note}"


def number_of(value: float | None) -> str:
    """Write a figure with about three digits; nothing for none.

    >>> [number_of(x) for x in (None, 0.0, 0.0123456, 3.14159, 91.44, 1234.5, 5_500_000.0)]
    ['', '0', '0.0123', '3.14', '91.4', '1,234', '5,500,000']
    """
    if value is None:
        return ""
    if value == 0:
        return "0"
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 3
    if size < 0.1:
        return f"{value:.3g}"
    return f"{value:,.{digits}f}"


def signed(value: float | None) -> str:
    """Write a difference with its sign; nothing for none."""
    text = number_of(value)
    return f"+{text}" if value is not None and value > 0 else text
