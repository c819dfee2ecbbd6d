"""The commands of a researcher: simulate and demo.

What trains, draws or asks a graph is imported once a command runs, so that help is quick.
"""

import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tinyfleet.cli import INTERRUPTED
from tinyfleet.errors import StudyError
from tinyfleet.server.selections import named_selections
from tinyfleet.simulations import journal
from tinyfleet.simulations.applications import APPLICATIONS, find_application
from tinyfleet.simulations.defaults import complete
from tinyfleet.simulations.strategies import STRATEGIES, strategy_name
from tinyfleet.simulations.study import Study, locate_files, read_study_file

if TYPE_CHECKING:
    from tinyfleet.simulations import mixed, run

RUNS = Path("runs")
_ALL_TRAIN = (
    "note: every device that the query finds trains in every round; --per-round N asks fewer"
)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise StudyError(f"--shots: expected numbers like 0,1,8, got {text[:60]!r}") from None


App = Annotated[
    str | None,
    typer.Argument(
        help=f"{', '.join(APPLICATIONS)}, a TOML study file, or a .py file of your own."
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(STRATEGIES)}, or a .py file of your own.", metavar="NAME|FILE"),
]
Devices = Annotated[int | None, typer.Option(help="Simulated devices.")]
PerRound = Annotated[int | None, typer.Option(help="Devices asked in a round; 0 for all.")]
Rounds = Annotated[int | None, typer.Option(help="Rounds.")]
Shots = Annotated[str | None, typer.Option(help="Shots to report, such as 0,1,2,4,8,16.")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")]
Tasks = Annotated[int | None, typer.Option(help="Held-out test tasks.")]
NetworkFile = Annotated[
    str | None, typer.Option(help="A network's name, or a TOML file.", metavar="FILE")
]
Data = Annotated[
    str | None, typer.Option(help="Data to train on: a pack or an archive.", metavar="FILE")
]
TestData = Annotated[
    str | None,
    typer.Option(help="Data to test on; what it holds is kept out of training.", metavar="FILE"),
]
Select = Annotated[
    str | None,
    typer.Option(
        help=f"Query that chooses who trains: {', '.join(named_selections())}, or a .rq file.",
        metavar="NAME|FILE",
    ),
]
Workers = Annotated[int | None, typer.Option(help="Threads; all cores when not given.")]
Chunk = Annotated[
    int | None,
    typer.Option(help="Devices whose tasks are held at a time; what fits 8 MiB when not given."),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the results; runs/APP-STRATEGY-NUMBER when not given."),
]
Resume = Annotated[
    Path | None, typer.Option(help="Go on with the run in this folder.", metavar="DIR")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for machines.")]


def simulate(
    app: App = None,
    strategy: Strategy = None,
    devices: Devices = None,
    per_round: PerRound = None,
    rounds: Rounds = None,
    shots: Shots = None,
    seed: Seed = None,
    tasks: Tasks = None,
    network: NetworkFile = None,
    data: Data = None,
    test_data: TestData = None,
    select: Select = None,
    workers: Workers = None,
    chunk: Chunk = None,
    out: Out = None,
    resume: Resume = None,
    as_json: Json = False,
) -> None:
    """Train a network across a simulated fleet and judge it on tasks that no device has seen.

    APP is the name of an application, a TOML study file, or a .py file that holds APPLICATION.

    Example: tinyfleet simulate characters --strategy tinyreptile --out runs/first
    """
    with _resumable(resume):  # what is imported here takes a second
        from tinyfleet.simulations import run
        from tinyfleet.simulations.assemble import Machine

    given = {
        "strategy": strategy,
        "devices": devices,
        "per_round": per_round,
        "rounds": rounds,
        "shots": None if shots is None else _numbers(shots),
        "seed": seed,
        "tasks": tasks,
        "network": network,
        "data": data,
        "test_data": test_data,
        "select": select,
    }
    said = {key: value for key, value in given.items() if value is not None}
    machine = Machine(workers, chunk)
    if resume is not None:
        if app is not None or said or out is not None:
            raise StudyError(f"--resume {resume}: a run goes on as it began; leave the rest out")
        _show(resume, lambda listen: run.resume(resume, machine, listen), as_json)
        return
    study = _study(app or "", said)
    names = find_application(study.app).name, strategy_name(study.strategy)
    folder = out or _new_folder("-".join(names))
    command = shlex.join(["tinyfleet", *sys.argv[1:]])
    note = _ALL_TRAIN if study.select and study.per_round in (0, study.devices) else ""
    _show(folder, lambda listen: run.start(study, folder, command, machine, listen), as_json, note)


def _study(app: str, said: dict[str, Any]) -> Study:
    if app.endswith(".toml"):
        return complete({**read_study_file(Path(app)), **locate_files(said, Path())}, app)
    return complete(locate_files({"app": app, **said}, Path()), "study")


def _new_folder(name: str) -> Path:
    """Return the first of runs/NAME-1, -2 and so on that is not there yet."""
    number = 1
    while (folder := RUNS / f"{name}-{number}").exists():
        number += 1
    return folder


def _show(
    folder: Path, do: Callable[["run.Listener"], Path], as_json: bool, note: str = ""
) -> None:
    """Run `do` and say how far it is, then show the table and the report, or JSON."""
    began = time.monotonic()
    report = _train(folder, do, note, silent=as_json)
    if as_json:
        result = journal.read_json(folder / journal.RESULT)
        seconds = round(time.monotonic() - began, 2)
        typer.echo(journal.to_json({**result, "seconds": seconds, "folder": str(folder)}))
        return
    _print_result(folder)
    typer.echo(f"report: {report.resolve()}")
    if (graph := folder / journal.GRAPH).exists():
        from tinyfleet.ontology.provenance import run_iri
        from tinyfleet.simulations.selecting import RUN

        asked = shlex.join(["--graph", str(graph), "--bind", f"run={run_iri(RUN)}"])
        typer.echo(f"ask it: tinyfleet query rounds {asked}")


def _train(
    folder: Path, do: Callable[["run.Listener"], Path], note: str = "", *, silent: bool = False
) -> Path:
    """Run `do`, say how far it is, and return its report; say `note` once it is under way."""
    stages = {"train": "training", "judge": "judging"}
    with _resumable(folder):
        from tinyfleet.simulations.report import write_report

        with _progress(stages, note, silent=silent) as listen:
            do(listen)
        return write_report(folder)


def _print_result(folder: Path) -> None:
    from tinyfleet.simulations.further import further_table
    from tinyfleet.simulations.report import result_table

    result, settings = (journal.read_json(folder / name) for name in (journal.RESULT, journal.RUN))
    Console().print(result_table(result, settings))
    if (further := further_table(result)) is not None:
        Console().print(further)


@contextmanager
def interruptible(advice: str) -> Iterator[None]:
    """Turn Ctrl-C into one line and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"tinyfleet: interrupted; {advice}", err=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _resumable(folder: Path | None) -> Iterator[None]:
    """Turn Ctrl-C into one line that says how to go on, and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        begun = folder is not None and (folder / journal.RUN).exists()
        advice = f"go on with: tinyfleet simulate --resume {folder}" if begun else "nothing is kept"
        with interruptible(advice):
            raise


@contextmanager
def _progress(
    stages: Mapping[str, str], note: str = "", *, silent: bool = False
) -> Iterator["run.Listener"]:
    """Yield a listener that draws a bar for each stage, when somebody looks at stderr.

    Into a file or a pipe it writes a line for each validation score instead, unless `silent`.
    """
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
            stage: progress.add_task(text, total=None, note="") for stage, text in stages.items()
        }
        scores: list[float] = []
        untold = [note] if note else []

        def listen(heard: "run.Progress") -> None:
            if untold:
                console.print(untold.pop(), highlight=False, soft_wrap=True)
            if heard.score is not None:
                scores[:] = [heard.score]
            told = f"loss {heard.loss:.3f}" if math.isfinite(heard.loss) else ""
            if scores and heard.stage == "train":
                told += f"  validation {scores[0]:.2f}"
            progress.update(bars[heard.stage], completed=heard.done, total=heard.total, note=told)
            if heard.score is not None and not (silent or console.is_terminal):
                line = f"round {heard.done:,} of {heard.total:,}  {told.strip()}"
                console.print(line, highlight=False, soft_wrap=True)

        yield listen


def demo(out: Out = None) -> None:
    """Teach a fleet to learn characters, in under two minutes, and show what came of it.

    Simulated devices and two emulated boards then go on together, through a broker.

    Example: tinyfleet demo
    """
    from tinyfleet.simulations import mixed

    shots = (0, 1, 2, 4, 8)
    study = complete({"app": "characters", "rounds": 1500, "tasks": 300, "shots": shots}, "demo")
    show_demo(study, out or _new_folder("demo"), mixed.DEMO)


def show_demo(study: Study, folder: Path, mix: "mixed.Mix") -> None:
    """Run `study` into `folder`, go on as a mixed fleet, and show what came of both.

    Raises:
        FleetError: what `tinyfleet.simulations.run.start` and `mixed.go_on` raise.
    """
    from tinyfleet.simulations import mixed, run
    from tinyfleet.simulations.assemble import Machine
    from tinyfleet.simulations.choosing import NAME
    from tinyfleet.simulations.report import left_out_table, mixed_table, write_report
    from tinyfleet.simulations.run_folder import read_mixed

    machine = Machine()
    report = _train(
        folder, lambda listen: run.start(study, folder, "tinyfleet demo", machine, listen)
    )
    _print_result(folder)
    if absent := mixed.absent_packages():
        typer.echo(
            f"no mixed fleet: expected {' and '.join(absent)} to emulate boards, got none; "
            "pip install 'tinyfleet[firmware]'"
        )
    else:
        with (
            interruptible(f"all but the mixed fleet is in {report.resolve()}"),
            _progress({NAME: "mixed fleet"}) as listen,
        ):
            mixed.go_on(folder, mix, machine, listen)
        write_report(folder)
        if (told := read_mixed(folder)) is not None:
            Console().print(mixed_table(told))
            if told.choices is not None:
                Console().print(left_out_table(told.choices))
    typer.echo(f"report: {report.resolve()}")
