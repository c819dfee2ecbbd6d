"""The commands that fill a fleet's graph from files, write it to one, and mend its index."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.ontology.transfer import read

graph = typer.Typer(help="Import, export and mend the fleet's graph.", no_args_is_help=True)

Place = Annotated[
    str,
    typer.Option("--graph", help="The fleet's graph: folder, or endpoint.", metavar="DIR|URL"),
]
Files = Annotated[
    list[Path], typer.Argument(help="Files: .ttl, .trig, .nq, .jsonld or .json.", metavar="FILE...")
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
    """Take in descriptions of devices and models: all files, or none where one is refused.

    Example: tinyfleet graph import boards.ttl models.ttl --graph fleet
    """
    with Console(stderr=True).status("importing") as status:
        taken = read(files, base, lambda file: status.update(f"reading {file}"))
        status.update("importing")
        with FleetGraph.open(graph) as fleet:
            devices, models = fleet.take_in(taken)
            matched = _matched(fleet)
    if taken.loose:
        typer.echo(
            f"{_counted(taken.loose, 'statement')} of no device and no model: "
            "kept in the default graph, which matching does not read",
            err=True,
        )
    _tell(devices, models, matched, as_json=as_json)


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
        typer.echo(f"{_counted(statements, 'statement')} in {file}")


@graph.command()
def reindex(graph: Place, as_json: Json = False) -> None:
    """Make the index, the fits and the counts anew, from the descriptions.

    Example: tinyfleet graph reindex --graph fleet
    """
    FleetGraph.open(graph, read_only=True).close()  # refuses what is absent, instead of making it
    with FleetGraph.open(graph) as fleet, Console(stderr=True).status("reindexing"):
        devices, models = fleet.reindex()
        matched = _matched(fleet)
    _tell(devices, models, matched, as_json=as_json)


def _matched(fleet: FleetGraph) -> int:
    """Return how many devices have a profile, and so are matched."""
    text = "SELECT (COUNT(?d) AS ?n) { GRAPH <urn:tinyfleet:graph:index> { ?d tf:profile ?p } }"
    return int(str(fleet.select(text).rows[0][0]))


def _tell(devices: int, models: int, matched: int, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"devices": devices, "models": models}))
        return
    others = f" ({devices - matched:,} without a microcontroller)" if devices > matched else ""
    typer.echo(
        f"the graph has {_counted(devices, 'device')}{others} and {_counted(models, 'model')}"
    )


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
