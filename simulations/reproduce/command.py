"""The command `tinyfleet reproduce`."""

import os
import shlex
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
    from tinyfleet.simulations.reproduce.work import Hear, Made

SEED = 1
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
    seed: Annotated[
        int, typer.Option(help="Seed of everything that is drawn.", min=0, max=2_000_000_000)
    ] = SEED,
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
    from tinyfleet.simulations.journal import to_json
    from tinyfleet.simulations.reproduce.page import write_page
    from tinyfleet.simulations.reproduce.work import Work, find_data

    wanted = tables(tuple(only) if only else NAMES)
    folder = out or (QUICK if quick else FULL)
    whole = PAGE.parent.is_dir() and not (quick or only or out)
    path = page or (PAGE if whole else folder / "reproduce.md")
    _check_folder(folder, "--out")
    _check_folder(path.parent, "--page")
    if path.is_dir():
        raise StudyError(f"--page {path}: expected a file, got a folder")
    began = time.monotonic()
    with interruptible("the same command goes on"):
        needed = any(published.CHARACTERS in table.needs for table in wanted.values())
        found, missing = find_data(os.environ, download=needed)
        left_out = _left_out(wanted, missing, only)
        makeable = {name: table for name, table in wanted.items() if name not in left_out}
        for one in (folder, path.parent):
            one.mkdir(parents=True, exist_ok=True)
        made = {}
        with _progress(len(makeable)) as hear:
            work = Work(folder, quick, seed, workers, hear)
            work.keep_data(found)
            for name, table in makeable.items():
                hear(name, 0, 0)
                made[name] = work.make(table)
        write_page(path, made, left_out, command=_command(only, quick, seed), work=work)
    if as_json:
        cells = [cell for one in made.values() for cell in one.cells]
        told = [{**asdict(cell), "difference": cell.difference} for cell in cells]
        seconds = round(time.monotonic() - began, 1)
        what = {"cells": told, "left_out": left_out, "page": str(path), "seconds": seconds}
        typer.echo(to_json(what))
    else:
        _say(made, path, shown=bool(only))


def _command(only: list[str] | None, quick: bool, seed: int) -> str:
    """Return the command that makes the same page, whoever runs it and wherever."""
    words = ["tinyfleet", "reproduce"]
    words += [word for name in only or () for word in ("--only", name)]
    words += ["--quick"] if quick else []
    words += ["--seed", str(seed)] if seed != SEED else []
    return shlex.join(words)


def _say(made: Mapping[str, "Made"], path: Path, *, shown: bool) -> None:
    """Print how much was made and where it is, and the tables themselves where they are asked."""
    from tinyfleet.simulations.comparison import plural
    from tinyfleet.simulations.reproduce.terminal import terminal_table

    for one in made.values() if shown else ():
        Console().print(terminal_table(one))
    count = sum(len(one.cells) for one in made.values())
    typer.echo(f"{plural(count, 'cell')} of {plural(len(made), 'table')}: {path.resolve()}")


def _left_out(
    wanted: Mapping[str, "Table"], missing: Mapping[str, str], asked: list[str] | None
) -> dict[str, list[str]]:
    """Return what each table lacks that cannot be made, and say so.

    Raises:
        StudyError: a table that was asked for by its name cannot be made.
    """
    lacking = {
        name: list(dict.fromkeys(missing[app] for app in table.needs if app in missing))
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


def _check_folder(folder: Path, option: str) -> None:
    """Refuse what is no folder and cannot become one; nothing is made yet.

    Raises:
        StudyError: it is none that can be written.
    """
    try:
        there = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
        writable = os.access(there, os.W_OK | os.X_OK)
        found = "a file" if not there.is_dir() else None if writable else "one that cannot"
    except OSError as error:
        found = error.strerror
    if found:
        raise StudyError(
            f"{option} {folder}: expected a folder that can be written, got {found}; name another"
        )


@contextmanager
def _progress(total: int) -> Iterator["Hear"]:
    """Yield what draws a bar of tables and one of what is being made, or writes a line for each."""
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
        began, number, said = time.monotonic(), count(1), ""

        def hear(what: str, done: int, of: int) -> None:
            nonlocal said
            if not of:
                progress.advance(whole)
                progress.update(whole, description=what)
            if what != said and not console.is_terminal:
                minutes = (time.monotonic() - began) / 60
                place = "" if of else f", {next(number)} of {total}"
                typer.echo(f"{minutes:.1f} min: {what}{place}", err=True)
            said = what
            progress.update(part, description=what, completed=done, total=of or None)

        yield hear
