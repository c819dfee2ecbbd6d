"""The command that describes a model."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tinyfleet.atomic import write_atomically
from tinyfleet.errors import DescriptionError
from tinyfleet.networks import NETWORKS
from tinyfleet.ontology.describe import describe as describe_model
from tinyfleet.ontology.meta import Meta, read_meta
from tinyfleet.ontology.model import ModelDescription, ModelLayer, Port, clean
from tinyfleet.ontology.model_rdf import turtle
from tinyfleet.ontology.shapes import check

File = Annotated[
    str,
    typer.Argument(
        help=f"A .tflite file, a network's .toml file, or a named network: {', '.join(NETWORKS)}.",
        metavar="FILE",
    ),
]
MetaFile = Annotated[
    Path | None,
    typer.Option("--meta", help="What the file cannot say, as TOML.", metavar="FILE"),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Write the description as Turtle, to a .ttl file.", metavar="FILE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON alone.")]


def describe(file: File, meta: MetaFile = None, out: Out = None, json_: Json = False) -> None:
    """Say what a model is and what it needs: shapes, operators, MACs, flash, memory, training.

    Example: tinyfleet describe person.tflite --meta person.toml --out person.ttl
    """
    if out and out.suffix != ".ttl":
        raise DescriptionError(
            f"--out {out}: expected a name that ends in .ttl, as Turtle is written, "
            f"got {out.suffix or 'no ending'}; --json prints JSON"
        )
    known = read_meta(meta) if meta else Meta()
    model = describe_model(file)
    if out:
        graph = model.to_graph(known)
        check(graph)
        write_atomically(out, turtle(graph))
        typer.echo(f"wrote {out}", err=True)
    if json_:
        typer.echo(json.dumps(model.to_json(known), indent=2))
    else:
        _show(model, known)


def _show(model: ModelDescription, meta: Meta) -> None:
    console = Console()
    console.print(Text(clean(meta.name or model.name), style="bold"), highlight=False)
    if meta.description or model.note:
        console.print(Text(clean(meta.description or model.note)))
    console.print(_facts(model, meta))
    console.print(_ports(model))
    console.print(_layers(model.layers))


def _facts(model: ModelDescription, meta: Meta) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    rows = {
        "id": str(model.iri(meta)),
        "runtime": meta.runtime or model.runtime,
        "flash": f"{model.flash_bytes:,} B",
        "arena": _arena(model),
        "MACs": _macs(model),
        "parameters": f"{model.parameters:,}",
    }
    if meta.ram is not None:
        rows["RAM measured"] = f"{meta.ram:,} B by {meta.ram_tool}"
    if model.custom_operators:
        rows["custom"] = ", ".join(model.custom_operators)
    if patches := model.patches:
        grid = f"{patches.grid[0]} x {patches.grid[1]}"
        rows["patches"] = (
            f"first {patches.layers} layers in {grid}: {patches.ram_bytes:,} B of activations "
            f"instead of {patches.whole_ram_bytes:,}, {patches.extra_macs:+,} MACs"
        )
    if training := model.training:
        rows["training RAM"] = (
            f"{training.whole:,} B whole, {training.partial:,} later half, {training.head:,} head"
        )
    for name, value in rows.items():
        table.add_row(name, Text(clean(value)))
    return table


def _arena(model: ModelDescription) -> str:
    arena = model.arena
    by = f"planned: {arena.reason}" if arena.planned else f"{arena.tool} {arena.version}"
    return f"{arena.total:,} B = {arena.head:,} head + {arena.tail:,} tail ({by})"


def _macs(model: ModelDescription) -> str:
    all_of_them = f" ({model.macs_all:,} with all operators)"
    return f"{model.macs:,}" + (all_of_them if model.macs_all != model.macs else "")


def _ports(model: ModelDescription) -> Table:
    table = Table("", "name", "shape", "type", "scale", "zero", header_style="dim", box=None)
    for kind, ports in (("in", model.inputs), ("out", model.outputs)):
        for port in ports:
            table.add_row(kind, *map(Text, _port(port)))
    return table


def _port(port: Port) -> tuple[str, ...]:
    scale = f"{port.scale[0]:g}" if port.scale else ""
    zero = f"{port.zero_point[0]}" if port.zero_point else ""
    more = " .." if len(port.scale) > 1 else ""
    return clean(port.name), _shape(port.signature or port.shape), port.dtype, scale + more, zero


def _layers(layers: tuple[ModelLayer, ...]) -> Table:
    table = Table(header_style="dim", box=None)
    table.add_column("", justify="right")
    for name in ("operator", "activation", "in", "out", "type"):
        table.add_column(name, no_wrap=True)
    table.add_column("MACs", justify="right")
    for number, layer in enumerate(layers, 1):
        table.add_row(
            str(number),
            Text(clean(layer.operator)),
            layer.activation.lower(),
            _shape(layer.shape_in),
            _shape(layer.shape_out),
            layer.dtype,
            f"{layer.macs:,}" if layer.macs else "",
        )
    return table


def _shape(sizes: tuple[int, ...]) -> str:
    return "x".join("?" if size < 0 else str(size) for size in sizes) or "-"
