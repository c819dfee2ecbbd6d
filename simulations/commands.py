"""The commands of a researcher: simulate, demo, bench."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tinyfleet.cli import INTERRUPTED
from tinyfleet.errors import StudyError
from tinyfleet.simulations import journal, run
from tinyfleet.simulations.assemble import Machine
from tinyfleet.simulations.bench import simulation
from tinyfleet.simulations.defaults import DEFAULT_STRATEGY, complete
from tinyfleet.simulations.report import result_table, write_report
from tinyfleet.simulations.study import APPS, STRATEGIES, Study, read_study_file

RUNS = Path("runs")

SIMULATE_EXAMPLE = """[bold]Examples[/bold]

tinyfleet simulate sine --devices 1000 --rounds 200

tinyfleet simulate characters --strategy tinyreptile --out runs/first

tinyfleet simulate --resume runs/first"""


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected numbers like 0,1,8, got {text!r}") from None


def simulate(
    app: Annotated[
        str | None, typer.Argument(help=f"{', '.join(APPS)}, or a TOML study file.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(STRATEGIES)}. [default: {DEFAULT_STRATEGY}]"),
    ] = None,
    devices: Annotated[int | None, typer.Option(help="Simulated devices.")] = None,
    per_round: Annotated[
        int | None, typer.Option(help="Devices asked in a round; 0 for all.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds.")] = None,
    shots: Annotated[
        str | None, typer.Option(help="Shots to report, such as 0,1,2,4,8,16.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")] = None,
    tasks: Annotated[int | None, typer.Option(help="Held-out test tasks.")] = None,
    network: Annotated[
        str | None, typer.Option(help="A network's name, or a TOML file.", metavar="FILE")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data to train on: a pack or an archive.", metavar="FILE")
    ] = None,
    test_data: Annotated[
        str | None, typer.Option(help="Data to test on; all of it unseen.", metavar="FILE")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Threads. [default: all cores]")] = None,
    chunk: Annotated[
        int | None, typer.Option(help="Devices in memory at a time. [default: 64 MiB's worth]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. [default: runs/APP-STRATEGY-...]")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder.", metavar="DIR")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, for machines.")
    ] = False,
) -> None:
    """Train a network across a simulated fleet and judge it on tasks that no device has seen."""
    machine = Machine(workers, chunk)
    given = {
        "strategy": strategy,
        "devices": devices,
        "per_round": per_round,
        "rounds": rounds,
        "shots": _numbers(shots),
        "seed": seed,
        "tasks": tasks,
        "network": network,
        "data": data,
        "test_data": test_data,
    }
    said = {key: value for key, value in given.items() if value is not None}
    if resume is not None:
        if app is not None or said or out is not None:
            raise StudyError(f"--resume {resume}: a run goes on as it began; leave the rest out")
        _show(lambda listen: run.resume(resume, machine, listen), as_json)
        return
    if app is None:
        raise StudyError(f"app: expected one of {', '.join(APPS)} or a study file, got nothing")
    study = _study(app, said)
    folder = out or _new_folder(study)
    command = shlex.join(["tinyfleet", *sys.argv[1:]])
    _show(lambda listen: run.start(study, folder, command, machine, listen), as_json)


def _study(app: str, said: dict[str, Any]) -> Study:
    if app in APPS or not (app.endswith(".toml") or Path(app).exists()):
        return complete({"app": app, **said}, "study")
    return complete({**read_study_file(Path(app)), **said}, app)


def _new_folder(study: Study) -> Path:
    """Return the first of runs/APP-STRATEGY-1, -2 and so on that is not there yet."""
    number = 1
    while (folder := RUNS / f"{study.app}-{study.strategy}-{number}").exists():
        number += 1
    return folder


def _show(do: Any, as_json: bool) -> None:
    """Run `do` under a progress bar, then show the table and the report, or JSON."""
    began = time.monotonic()
    try:
        with _progress() as listen:
            folder: Path = do(listen)
    except KeyboardInterrupt:
        typer.echo("tinyfleet: interrupted; go on with tinyfleet simulate --resume DIR", err=True)
        raise typer.Exit(INTERRUPTED) from None
    report = write_report(folder)
    result = journal.read_json(folder / journal.RESULT)
    if as_json:
        seconds = round(time.monotonic() - began, 2)
        typer.echo(json.dumps({**result, "seconds": seconds, "folder": str(folder)}))
        return
    Console().print(result_table(result, journal.read_json(folder / journal.RUN)))
    typer.echo(f"report: {report.resolve()}")


@contextmanager
def _progress() -> Iterator[run.Listener]:
    """Yield a listener that draws a bar on stderr when somebody is looking."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        bars = {
            "train": progress.add_task("training", total=None, note=""),
            "judge": progress.add_task("judging", total=None, note=""),
        }
        scores: list[float] = []

        def listen(heard: run.Progress) -> None:
            if heard.score is not None:
                scores[:] = [heard.score]
            note = f"loss {heard.loss:.3f}" if heard.stage == "train" else ""
            if scores and heard.stage == "train":
                note += f"  validation {scores[0]:.2f}"
            progress.update(bars[heard.stage], completed=heard.done, total=heard.total, note=note)

        yield listen


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. [default: runs/demo-...]")
    ] = None,
) -> None:
    """Teach a fleet to learn characters, in under two minutes, and show what came of it."""
    values = {
        "app": "characters",
        "strategy": "tinyreptile-parallel",
        "rounds": 1200,
        "tasks": 300,
        "shots": (0, 1, 2, 4, 8),
    }
    study = complete(values, "demo")
    number = 1
    while (folder := out or RUNS / f"demo-{number}").exists() and out is None:
        number += 1
    _show(lambda listen: run.start(study, folder, "tinyfleet demo", Machine(), listen), False)


bench = typer.Typer(help="Measure speed against peers, in one run.", no_args_is_help=True)


@bench.callback()
def _bench() -> None:
    """Measure speed against peers, in one run."""


bench.command("simulation")(simulation.command)
