"""Writes what was reproduced as one page: tables of ours, published and difference, and plots."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from tinyfleet.atomic import write_atomically
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.reproduce.cells import NOT_PUBLISHED, Cell, Figure, Table
from tinyfleet.simulations.reproduce.plots import draw
from tinyfleet.simulations.reproduce.work import Ran, Work
from tinyfleet.simulations.study import study_to_dict

_HEAD = """# Reproduction

Every table and figure, made again by one command, with our figures beside the published ones.
This page is written by that command; nobody edits it.

```sh
{command}
```

Published are TECS 2024 ([10.1145/3665278](https://doi.org/10.1145/3665278)), Reptile 2018
([arXiv 1803.02999](https://arxiv.org/abs/1803.02999)) and what a table names; "read off" figures
were read off a drawing. *Difference* is ours less published. Intervals are 95 %: 1.96 standard
errors of the mean over held-out tasks, devices or seeds, as the table says. Settings were chosen on
validation parts of the data; a test part was looked at once, unless a table says otherwise. An
interval over few is too narrow: a t-interval would be 6.5 times as wide with two, 1.6 times with
four, 1.3 times with six. Seed {seed}. {quick}
"""
_QUICK = "**This is a quick run**: its studies are tiny and say only that everything can be made."


WIDE = 4
"""From so many columns on, a row of cells is written across."""

Reasons = Mapping[str, int]


def write_page(
    path: Path,
    made: Mapping[str, tuple[Table, Sequence[Cell], Sequence[Figure]]],
    left_out: Mapping[str, Sequence[str]],
    *,
    command: str,
    work: Work,
) -> None:
    """Write the page to `path`, and its drawings into the folder of its name beside it.

    Args:
        path: the page.
        made: tables with their cells and figures, by name.
        left_out: tables that were not made, by name, and what they lack.
        command: what makes the page again.
        work: the run of the reproduction.
    """
    folder = path.with_suffix("")
    parts = [
        _HEAD.format(command=command, seed=work.seed, quick=_QUICK if work.quick else "").strip()
    ]
    parts.append("\n".join(f"- [{table.title}](#{name})" for name, (table, _, _) in made.items()))
    if left_out:
        names = ", ".join(f"`{name}`" for name in left_out)
        reasons = "\n".join(f"- {why}" for why in dict.fromkeys(chain(*left_out.values())))
        parts.append(f"**Left out** for want of data: {names}.\n\n{reasons}")
    for name, (table, cells, figures) in made.items():
        parts.append(f'<a id="{name}"></a>\n## {table.title}')
        parts.append(f"{table.source}. Again: `{table.command}`")
        if table.notes:
            parts.append(table.notes.strip())
        for figure in figures:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{figure.name}.svg", draw(figure))
            parts.append(f"![{figure.title}]({folder.name}/{figure.name}.svg)")
        parts.extend(_tables(cells))
    parts.append(_SETTINGS)
    parts.extend(_settings(name, ran) for name, ran in sorted(work.ran.items()))
    write_atomically(path, "\n\n".join(parts) + "\n")


_SETTINGS = """## Settings

Every study that the tables above are made of, as a study file (`tinyfleet simulate FILE.toml`) that
says what differs from the application's own settings; and what its validation part chose: passes
over the support, and their rate, by shots."""


def _settings(name: str, ran: Ran) -> str:
    study = ran.study
    given = {"app": study.app, "strategy": study.strategy}
    plain, told = study_to_dict(complete(given, name)), study_to_dict(study)
    differing = {key: value for key, value in told.items() if value != plain[key]}
    training = differing.pop("training", {})
    inner = ", ".join(
        f"{key} = {_toml(value)}"
        for key, value in training.items()
        if value != plain["training"][key]
    )
    lines = [f"{key} = {_toml(value)}" for key, value in (given | differing).items()]
    chosen = ", ".join(
        f"{shots}: {passes} at {ran.result['rates'][shots]:g}"
        for shots, passes in ran.result["passes"].items()
    )
    spent = f"{ran.result['parameters_communicated']:,} parameters communicated"
    return "\n".join(
        (
            f"<details><summary>{name}: {ran.result['parameters']:,} parameters, {spent}</summary>",
            "",
            "```toml",
            *lines,
            *([f"training = {{ {inner} }}"] if inner else []),
            "```",
            "",
            f"Chosen on validation, passes at a rate by shots: {chosen}.",
            "</details>",
        )
    )


def _toml(value: Any) -> str:
    """Write a plain value as TOML, whose numbers, texts and lists are JSON's."""
    return json.dumps(value)


def _tables(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield tables of the cells, and the reasons below: wide ones of rows with like columns."""
    said = dict.fromkeys(cell.why for cell in cells if cell.why not in ("", NOT_PUBLISHED))
    reasons = {why: number for number, why in enumerate(said, 1)}
    by_row: dict[str, list[Cell]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, []).append(cell)
    rows = by_row.values()
    for columns, alike in groupby(rows, key=lambda row: tuple(map(_column, row))):
        block = list(alike)
        yield _wide(columns, block, reasons) if len(columns) >= WIDE else _long(block, reasons)
    if reasons:
        yield "\n".join(f"[{number}] {why}  " for why, number in reasons.items())


def _wide(columns: Sequence[str], rows: Sequence[Sequence[Cell]], reasons: Reasons) -> str:
    """Return a table with a column for each cell of a row, and three lines a row."""
    lines = [f"| | | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for row in rows:
        shown = [
            ("ours", [_ours(cell, reasons) for cell in row]),
            ("published", [number_of(cell.published) for cell in row]),
            ("difference", [_signed(cell.difference) for cell in row]),
        ]
        name = row[0].row
        for what, values in shown:
            if any(values):
                lines.append(f"| {name} | {what} | {' | '.join(values)} |")
                name = ""
    return "\n".join(lines)


def _long(rows: Sequence[Sequence[Cell]], reasons: Reasons) -> str:
    """Return a table with a line for each cell."""
    lines = ["| | | ours | published | difference |", "|---|---|---|---|---|"]
    for row in rows:
        name = row[0].row
        for cell in row:
            told = f"{number_of(cell.published)} | {_signed(cell.difference)}"
            lines.append(f"| {name} | {_column(cell)} | {_ours(cell, reasons)} | {told} |")
            name = ""
    return "\n".join(lines)


def _column(cell: Cell) -> str:
    said = not cell.unit or cell.column.endswith(f", {cell.unit}")
    return cell.column if said else f"{cell.column}, {cell.unit}"


def _ours(cell: Cell, reasons: Reasons) -> str:
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


def _signed(value: float | None) -> str:
    text = number_of(value)
    return f"+{text}" if value is not None and value > 0 else text
