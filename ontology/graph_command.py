"""The commands that fill a fleet's graph from files, write it to one, and mend its index."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tinyfleet.ontology.graph import FleetGraph

graph = typer.Typer(help="Import, export and mend the fleet's graph.", no_args_is_help=True)

Place = Annotated[
    str,
    typer.Option("--graph", help="The fleet's graph: folder, or endpoint.", metavar="DIR|URL"),
]
Files = Annotated[
    list[Path], typer.Argument(help="Files: .ttl, .trig, .nq or .jsonld.", metavar="FILE...")
]
File = Annotated[Path, typer.Argument(help="A .ttl, .trig, .nq or .jsonld file.", metavar="FILE")]
Base = Annotated[
    str | None, typer.Option(help="What relative IRIs are relative to.", metavar="IRI")
]
Json = Annotated[bool, typer.Option("--json", help="Print the counts as JSON, for machines.")]


@graph.callback()
def _graph() -> None:
    """Import, export and mend the fleet's graph."""


@graph.command("import")
def import_(files: Files, graph: Place, base: Base = None, as_json: Json = False) -> None:
    """Take in descriptions of devices and models, each file whole or not at all.

    Example: tinyfleet graph import boards.ttl models.ttl --graph fleet
    """
    devices = models = 0
    console = Console(stderr=True)
    with FleetGraph.open(graph) as fleet, console.status("importing") as status:
        for file in files:
            status.update(f"importing {file}")
            devices, models = fleet.import_(file, base=base)
    _tell(devices, models, as_json=as_json)


@graph.command()
def export(file: File, graph: Place, as_json: Json = False) -> None:
    """Write all of the graph to a file; in Turtle the named graphs are merged.

    Example: tinyfleet graph export fleet.trig --graph fleet
    """
    with (
        FleetGraph.open(graph, read_only=True) as fleet,
        Console(stderr=True).status(f"exporting to {file}"),
    ):
        statements = fleet.export(file)
    if as_json:
        typer.echo(json.dumps({"statements": statements, "file": str(file)}))
    else:
        typer.echo(f"{statements:,} statements in {file}")


@graph.command()
def reindex(graph: Place, as_json: Json = False) -> None:
    """Make the index, the fits and the counts anew, from the descriptions.

    Example: tinyfleet graph reindex --graph fleet
    """
    with FleetGraph.open(graph) as fleet, Console(stderr=True).status("reindexing"):
        devices, models = fleet.reindex()
    _tell(devices, models, as_json=as_json)


def _tell(devices: int, models: int, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"devices": devices, "models": models}))
    else:
        typer.echo(f"the graph has {devices:,} devices and {models:,} models")
