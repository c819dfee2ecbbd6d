"""How a table is shown: as wide as the terminal, and as wide as it is where a file or a pipe is."""

from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

_WIDEST: Final = 100_000
_LEAST: Final = 12
"""Characters that the column which is folded keeps, if the others leave them."""


def show(table: Table) -> None:
    """Print a table whose cells are text: of what is too wide, its widest column is folded."""
    console = Console()
    if not console.is_terminal:
        Console(width=_WIDEST).print(table)
        return
    widths = [max(cell_len(str(cell)) for cell in (c.header, *c.cells)) for c in table.columns]
    widest = max(widths, default=0)
    gaps = (3 if table.box else 2) * len(widths) + 1
    fits = sum(widths) - widest + _LEAST + gaps <= console.width
    for column, width in zip(table.columns, widths, strict=True):
        column.overflow = "fold"
        column.no_wrap = fits and width < widest
    console.print(table)
