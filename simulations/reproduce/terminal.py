"""A table that was made, for the terminal."""

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from tinyfleet.simulations.reproduce.page import (
    column_of,
    heads_of,
    reasons_of,
    rows_of,
    values_of,
)
from tinyfleet.simulations.reproduce.work import Made


def terminal_table(made: Made) -> Table:
    """Return the cells, a line each, and below them why figures are missing or not comparable."""
    reasons = reasons_of(made.cells)
    told = "\n".join(f"[{number}] {why}" for why, number in reasons.items())
    table = Table(
        title=escape(made.table.title),
        caption=escape(told),
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("")
    table.add_column("")
    heads = heads_of(made.cells, made.table.beside)
    for head in heads:
        table.add_column(escape(head), justify="right", no_wrap=head != made.table.beside)
    for row in rows_of(made.cells):
        name = row[0].row
        for cell in row:
            values = values_of(cell, reasons)[: len(heads)]
            table.add_row(*map(escape, (name, column_of(cell), *values)))
            name = ""
    return table
