"""The command that says which model fits which device, and why the others do not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rdflib import Graph
from rich.console import Console
from rich.progress import track

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.match_answers import as_json, as_table, unjudged
from tinyfleet.ontology.match_files import borrow, fill, known_boards, models_in, things_in
from tinyfleet.ontology.matching import Limits, facts, names, titles
from tinyfleet.ontology.matching import match as compare
from tinyfleet.ontology.offered import offered
from tinyfleet.ontology.tables import show


class Task(StrEnum):
    """What a device is to do with a model."""

    INFER = "infer"
    TRAIN = "train"


_PLACE = "DIR|FILE"
Things = Annotated[
    Path | None, typer.Option(help="Devices: .ttl, .jsonld or .json files.", metavar=_PLACE)
]
Models = Annotated[
    Path | None, typer.Option(help="Models: .tflite files, or .ttl descriptions.", metavar=_PLACE)
]
Boards = Annotated[
    bool, typer.Option("--boards", help="Compare the boards that tinyfleet knows, as devices.")
]
Model = Annotated[
    str | None, typer.Option(help="Compare this model alone: its name or IRI.", metavar="M")
]
Device = Annotated[
    str | None, typer.Option(help="Compare this device alone: its title or IRI.", metavar="D")
]
ToDo = Annotated[Task, typer.Option(help="What the device is to do with the model.")]
Latency = Annotated[
    float | None, typer.Option(help="The most seconds that an inference may take.", min=0.0)
]
Energy = Annotated[
    float | None, typer.Option(help="The most joules that an inference may take.", min=0.0)
]
Fleet = Annotated[
    str | None,
    typer.Option("--graph", help="The fleet's graph, for what no file gives.", metavar="DIR|URL"),
]
Limit = Annotated[
    int | None, typer.Option(help="The most pairs, and refusals, to tell.", min=0, metavar="N")
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, for machines.")]


def match(
    things: Things = None,
    models: Models = None,
    boards: Boards = False,
    model: Model = None,
    device: Device = None,
    task: ToDo = Task.INFER,
    max_latency: Latency = None,
    max_energy: Energy = None,
    graph: Fleet = None,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """Say which models fit which devices, and why the others do not.

    Example: tinyfleet match --boards --models models/
    """
    limits = Limits(max_latency, max_energy)
    with _gathered(_devices(things, boards=boards), models, graph) as chosen:
        found = compare(
            chosen,
            model=None if model is None else _one("--model", model, names(chosen)),
            device=None if device is None else _one("--device", device, titles(chosen)),
            task=task.value,
            limits=limits,
        )
        if json:
            for piece in as_json(found, limit):
                typer.echo(piece, nl=False)
            return
        called, why = titles(chosen, found.devices), (model or device) is not None
        table, summary = as_table(found, called, limit, why=why)
        show(table)
        typer.echo(summary)
        if limits != Limits():
            stated = facts(chosen, devices=True), facts(chosen, devices=False)
            for line in unjudged(found, *stated, limits):
                typer.echo(line)


def _devices(things: Path | None, *, boards: bool) -> Graph | None:
    """Read the devices that no fleet's graph gives; None when all come from there."""
    if things is None:
        return known_boards() if boards else None
    return things_in(things) + known_boards() if boards else things_in(things)


@contextmanager
def _gathered(
    devices: Graph | None, models: Path | None, place: str | None
) -> Iterator[FleetGraph]:
    """Open the graph to ask: the fleet's, or one in memory with all that is compared."""
    if place is None and (devices is None or models is None):
        raise DescriptionError(
            "match: expected --graph, or --models and --things or --boards, got too few of them; "
            "name the fleet's graph, or the files, or known boards, to compare"
        )
    if place is not None and devices is None and models is None:
        with FleetGraph.open(place, read_only=True) as fleet:
            yield fleet
        return
    with FleetGraph.open() as chosen:
        fill(chosen, devices, models_in(models, _watched) if models else None)
        if place is not None and (devices is None or models is None):
            with FleetGraph.open(place, read_only=True) as fleet:
                borrow(fleet, chosen, devices=devices is None)
        yield chosen


def _watched(paths: Sequence[Path]) -> Iterable[Path]:
    """Pass the files of models on under a bar: each .tflite file takes half a second."""
    console = Console(stderr=True)
    return track(paths, "models", console=console, transient=True, disable=not console.is_terminal)


def _one(option: str, wanted: str, known: Mapping[str, str]) -> str:
    """Return the IRI that is wanted, or whose name is."""
    if wanted in known:
        return wanted
    found = [iri for iri, name in known.items() if name == wanted]
    if len(found) != 1:
        got = f"{len(found)} of that name; give the IRI" if found else "no such"
        some = ", ".join(found) if found else offered(wanted, known.values())
        raise DescriptionError(f"{option} {wanted}: expected one of {some}, got {got}")
    return found[0]
