"""The command `tinyfleet tinyol run`: a head learns a recorded stream, one for each device."""

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tinyfleet.atomic import write_atomically
from tinyfleet.cli import INTERRUPTED
from tinyfleet.client.head import Head, fresh_head, head_network, warm_head
from tinyfleet.client.head_file import load_head
from tinyfleet.client.stream import Recording, load_recordings
from tinyfleet.client.tflite import TfliteModel, load_model
from tinyfleet.client.tinyol_run import Result, learn_recording
from tinyfleet.errors import DatasetError, StudyError

RATE = 0.05
RUN, CURVE = "run.json", "accuracy.svg"

tinyol = typer.Typer(help="Learn a head on a frozen model, sample by sample.", no_args_is_help=True)


@tinyol.callback()
def _tinyol() -> None:
    """Learn a head on a frozen model, sample by sample."""


@tinyol.command()
def run(
    model: Annotated[Path, typer.Option(help="The frozen .tflite model.")],
    stream: Annotated[Path, typer.Option(help="Recorded samples, .npz or .csv, or sound.")],
    labels: Annotated[
        str | None,
        typer.Option(help="Classes that a fresh head begins with, as a,b,c; the stream's without."),
    ] = None,
    warm: Annotated[
        Path | None, typer.Option(help="A head.npz to begin from, instead of a fresh head.")
    ] = None,
    tensor: Annotated[
        str | None,
        typer.Option(help="Tensor to read features from; what the last layer reads without."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help=f"Step size; that of --warm, or {RATE}, when not given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of a fresh head.", min=0)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for heads and scores; a run that was cut goes on in it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Score every sample of a stream, then learn it, with a head for each device.

    Example: tinyfleet tinyol run --model m.tflite --stream s.npz --out heads
    """
    if warm is not None and labels is not None:
        raise StudyError("--labels: a head from --warm has its classes already; leave one out")
    loaded = load_model(model)
    recordings = load_recordings(stream, loaded.input.shape, loaded.input)
    deployed = None if warm is None else warm_head(load_head(warm), rate=rate)
    classes = None if labels is None else tuple(name.strip() for name in labels.split(","))

    def begin(recording: Recording) -> Head:
        return deployed or _fresh(loaded, tensor, classes or recording.classes, rate, seed)

    if out is not None:
        said = {"labels": labels, "tensor": tensor, "rate": rate, "seed": seed}
        _claim(out, {"model": model, "stream": stream, "warm": warm}, said)
    extract = partial(loaded.features, tensor=tensor)
    results = []
    try:
        with _progress(sum(map(len, recordings.values()))) as listen:
            for device, stretch in recordings.items():
                folder = None if out is None else out / f"device-{device}"
                head = begin(stretch)
                results.append(learn_recording(device, stretch, extract, head, folder, listen))
                listen(-1)
    except KeyboardInterrupt:
        again = "; the same command goes on" if out is not None else ""
        typer.echo(f"tinyfleet: interrupted{again}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if out is not None and find_spec("matplotlib") is not None:
        write_atomically(out / CURVE, _curve(results))
    _show(results, out, as_json=as_json)


def _fresh(
    model: TfliteModel, tensor: str | None, classes: Sequence[str], rate: float | None, seed: int
) -> Head:
    if not classes:
        raise DatasetError(
            "stream: expected labels to learn from, got none; add them, or give --labels or --warm"
        )
    network = head_network(model.feature_count(tensor), len(classes))
    return fresh_head(network, classes, rate=RATE if rate is None else rate, seed=seed)


def _claim(out: Path, files: dict[str, Path | None], said: dict[str, Any]) -> None:
    """Write what this run is made of into its folder; refuse the folder of another run."""
    made_of = {
        **{name: None if path is None else _checksum(path) for name, path in files.items()},
        **said,
    }
    place = out / RUN
    try:
        out.mkdir(parents=True, exist_ok=True)
        before = json.loads(place.read_text("utf-8")) if place.exists() else made_of
    except OSError as error:
        raise StudyError(
            f"{out}: expected a folder that can be made and read, got {error.strerror or error}; "
            "give another --out"
        ) from None
    except ValueError as error:
        raise StudyError(f"{place}: expected a run's settings, got {error}") from None
    if not isinstance(before, dict):
        raise StudyError(f"{place}: expected a run's settings, got {str(before)[:40]!r}")
    changed = [name for name in made_of if before.get(name) != made_of[name]]
    if changed:
        raise StudyError(
            f"{out}: expected this run's folder, got one of another {', '.join(changed)}; "
            "give another --out"
        )
    write_atomically(place, json.dumps(made_of, indent=1) + "\n")


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Yield a listener for a device's samples done, -1 for the next device; it draws a bar."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        bar = progress.add_task("learning", total=total)
        before, device = 0, 0

        def listen(done: int) -> None:
            nonlocal before, device
            before, device = (before + device, 0) if done < 0 else (before, done)
            progress.update(bar, completed=before + device)

        yield listen


def _show(results: list[Result], out: Path | None, *, as_json: bool) -> None:
    said = [result.head.accuracy for result in results if result.head.labelled]
    mean = sum(said) / len(said) if said else math.nan
    if as_json:
        found = {
            "devices": [result.to_json() for result in results],
            "accuracy": mean if said else None,
            "folder": None if out is None else str(out),
        }
        typer.echo(json.dumps(found))
        return
    table = Table(title="Each sample scored before it was learned")
    for heading in ("device", "samples", "labelled", "classes", "accuracy %", "second half %"):
        table.add_column(heading, justify="right")
    for result in results:
        head = result.head
        table.add_row(
            *(str(result.device), str(head.samples), str(head.labelled), str(len(head.classes))),
            *(_percent(head.accuracy), _percent(result.second_half)),
        )
    if len(said) > 1:
        late = [result.second_half for result in results if result.head.labelled]
        table.add_section()
        table.add_row("mean", "", "", "", _percent(mean), _percent(sum(late) / len(late)))
    Console().print(table)
    if out is not None:
        typer.echo(f"heads and scores: {out.resolve()}")


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if math.isfinite(value) else "-"


def _curve(results: list[Result]) -> str:
    """Draw each device's running accuracy; return the SVG, the same for the same results."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for result in results:
        points = [(s["sample"], 100 * s["accuracy"]) for s in result.scores if s["hit"] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), linewidth=1.2, label=f"device {result.device}")
    axes.set(xlabel="samples", ylabel="prequential accuracy, %", ylim=(0, 100))
    if 1 < len(results) <= 10:
        axes.legend()
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "tinyfleet"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
