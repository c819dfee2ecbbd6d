"""The command `tinyfleet reproduce`."""

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tinyfleet.errors import StudyError
from tinyfleet.simulations import published
from tinyfleet.simulations.commands import interruptible
from tinyfleet.simulations.reproduce.tables import NAMES, tables

if TYPE_CHECKING:
    from tinyfleet.simulations.reproduce.cells import Table
    from tinyfleet.simulations.reproduce.work import Hear

FULL, QUICK = Path("runs/reproduce"), Path("runs/reproduce-quick")
PAGE = Path("docs/reproduce.md")


_ONLY = f"A table alone, or several by as many options: {', '.join(NAMES)}."
_PAGE = f"The page; {PAGE} for a whole run beside docs/, reproduce.md in the folder else."

Only = Annotated[list[str] | None, typer.Option(help=_ONLY, metavar="TABLE")]
Out = Annotated[
    Path | None, typer.Option(help=f"Folder of what is made; {FULL} or {QUICK} when not given.")
]
Page = Annotated[Path | None, typer.Option(help=_PAGE)]


def reproduce(
    only: Only = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Make every study tiny; minutes instead of hours.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.", min=0)] = 1,
    workers: Annotated[
        int | None, typer.Option(help="Threads; all cores when not given.", min=1)
    ] = None,
    out: Out = None,
    page: Page = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every cell as JSON.")] = False,
) -> None:
    """Make the tables and figures of the papers again, ours beside the published.

    What is finished is kept: the same command goes on where it was interrupted.

    Example: tinyfleet reproduce --only table-4
    """
    from tinyfleet.simulations.comparison import plural
    from tinyfleet.simulations.journal import to_json
    from tinyfleet.simulations.reproduce.page import write_page
    from tinyfleet.simulations.reproduce.work import Work

    wanted = tables(tuple(only) if only else NAMES)
    folder = out or (QUICK if quick else FULL)
    whole = PAGE.parent.is_dir() and not (quick or only or out)
    path = page or (PAGE if whole else folder / "reproduce.md")
    _ready(folder, "--out")
    _ready(path.parent, "--page")
    if path.is_dir():
        raise StudyError(f"--page {path}: expected a file, got a folder")
    began = time.monotonic()
    with interruptible("the same command goes on"):
        needed = any(published.CHARACTERS in table.needs for table in wanted.values())
        missing = Work(folder).keep_data(os.environ, download=needed)
        left_out = _left_out(wanted, missing, only)
        makeable = {name: table for name, table in wanted.items() if name not in left_out}
        made = {}
        with _progress(len(makeable)) as hear:
            work = Work(folder, quick, seed, workers, hear)
            for name, table in makeable.items():
                hear(name, 0, 0)
                cells = table.cells(work)
                made[name] = (table, cells, table.figures(work) if table.figures else ())
        command = shlex.join(["tinyfleet", *sys.argv[1:]])
        write_page(path, made, left_out, command=command, work=work)
    cells = [cell for _, found, _ in made.values() for cell in found]
    if as_json:
        told = [{**asdict(cell), "difference": cell.difference} for cell in cells]
        seconds = round(time.monotonic() - began, 1)
        what = {"cells": told, "left_out": left_out, "page": str(path), "seconds": seconds}
        typer.echo(to_json(what))
        return
    typer.echo(f"{len(cells)} cells of {plural(len(made), 'table')}: {path.resolve()}")


def _left_out(
    wanted: Mapping[str, "Table"], missing: Mapping[str, str], asked: list[str] | None
) -> dict[str, list[str]]:
    """Return what each table lacks that cannot be made, and say so.

    Raises:
        StudyError: a table that was asked for by its name cannot be made.
    """
    lacking = {
        name: [missing[app] for app in table.needs if app in missing]
        for name, table in wanted.items()
    }
    left = {name: reasons for name, reasons in lacking.items() if reasons}
    if left and asked:
        name = next(iter(left))
        raise StudyError(f"--only {name}: {'; '.join(left[name])}")
    if left:
        for why in dict.fromkeys(chain(*left.values())):
            typer.echo(f"note: {why}", err=True)
        typer.echo(f"note: left out for want of data: {', '.join(left)}", err=True)
    return left


def _ready(folder: Path, option: str) -> None:
    """Make `folder`, before anything is computed in vain.

    Raises:
        StudyError: it is none that can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = None if os.access(folder, os.W_OK) else "one that cannot"
    except OSError as error:
        found = error.strerror
    if found:
        raise StudyError(
            f"{option} {folder}: expected a folder that can be written, got {found}; name another"
        )


@contextmanager
def _progress(total: int) -> Iterator["Hear"]:
    """Yield what draws a bar of tables and one of what is being made, or writes a line a table."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        whole = progress.add_task("tables", total=total, completed=-1)
        part = progress.add_task("", total=None)
        began, number = time.monotonic(), count(1)

        def hear(what: str, done: int, of: int) -> None:
            if not of:
                progress.advance(whole)
                progress.update(whole, description=what)
                if not console.is_terminal:
                    minutes = (time.monotonic() - began) / 60
                    typer.echo(f"{minutes:.1f} min: {what}, {next(number)} of {total}", err=True)
            progress.update(part, description=what, completed=done, total=of or None)

        yield hear
