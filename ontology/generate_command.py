"""The command that writes a project for a model and a device that fit."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tinyfleet.ontology.generate import Project, check_place
from tinyfleet.ontology.generate import generate as write
from tinyfleet.ontology.pairing import Asked, Found, find_pair

Model = Annotated[
    str,
    typer.Option(help="A .tflite file, a network's .toml file, a named network.", metavar="M"),
]
Device = Annotated[
    str, typer.Option(help="A device's title or id; or its file, or a known board.", metavar="D")
]
Out = Annotated[Path, typer.Option(help="The folder to write.", metavar="DIR")]
Things = Annotated[
    Path | None, typer.Option(help="Devices: .ttl, .jsonld or .json files.", metavar="DIR|FILE")
]
Models = Annotated[Path | None, typer.Option(help="Models that M is one of.", metavar="DIR|FILE")]
Fleet = Annotated[
    str | None, typer.Option("--graph", help="The fleet's graph that D is in.", metavar="DIR|URL")
]
Weights = Annotated[
    Path | None, typer.Option(help="A network's weights; fresh ones without.", metavar="FILE")
]
Labels = Annotated[str | None, typer.Option(help="Names of the classes, as a,b,c.", metavar="L")]
Kind = Annotated[
    str | None,
    typer.Option(help="arduino, platformio or python; what the device takes without."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Write though they do not fit, and over files there.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, for machines.")]


def generate(
    model: Model,
    device: Device,
    out: Out,
    things: Things = None,
    models: Models = None,
    graph: Fleet = None,
    weights: Weights = None,
    labels: Labels = None,
    kind: Kind = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a project that runs a model on a device: a sketch, or a Python program.

    Example: tinyfleet generate --model presence --device "Raspberry Pi 4" --out presence-pi
    """
    check_place(out.absolute(), force=force)
    classes = None if labels is None else tuple(name.strip() for name in labels.split(","))
    asked = Asked(model, device, models, things, graph, weights, classes, kind)
    found = find_pair(asked, force=force)
    project = write(found.pairing, found.kind, out, force=force)
    if as_json:
        typer.echo(json.dumps(_told(found, project)))
    else:
        _show(found, project)


def _told(found: Found, project: Project) -> dict[str, Any]:
    pairing = found.pairing
    return {
        "folder": str(project.folder),
        "kind": project.kind,
        "device": pairing.device.id,
        "model": pairing.model.description["id"],
        "fits": not pairing.forced,
        "reason": pairing.forced or None,
        "learning": pairing.learning,
        "latency": pairing.latency,
        "energy": pairing.energy,
        "inputs": [asdict(channel) for channel in pairing.inputs.channels],
        "readings": pairing.inputs.window,
        "labels": list(pairing.model.labels),
        "lines_to_write": project.yours,
        "files": list(project.files),
    }


def _show(found: Found, project: Project) -> None:
    pairing, inputs = found.pairing, found.pairing.inputs
    learns = {"whole": "all layers", "head": "the last layer alone", None: "nothing"}
    names = ", ".join(channel.name for channel in inputs.channels[:8])
    more = f" and {len(inputs.channels) - 8} more" if len(inputs.channels) > 8 else ""
    goes_in = f"{names}{more}, {_many(inputs.window, 'reading')}" if names else "nothing described"
    console = Console(soft_wrap=True)
    for what, told in (
        ("project", f"{project.folder} ({project.kind}, {len(project.files)} files)"),
        ("fits", "yes" if not pairing.forced else f"no: {pairing.forced}"),
        ("goes in", goes_in),
        ("learns", learns[pairing.learning]),
        ("yours to write", _many(project.yours, "marked line") if project.yours else "nothing"),
        ("next", f"{project.folder}/README.md"),
    ):
        console.print(Text.assemble((f"{what:<15}", "bold"), told))


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
