"""`tinyfleet bench graph`: what a large fleet's graph takes to ask, beside rdflib's own engine."""

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from statistics import median
from typing import Annotated, Any

import pyoxigraph as ox
import typer
from rdflib import Dataset, URIRef
from rdflib.query import Result
from rich.console import Console
from rich.table import Table

from tinyfleet.errors import QueryError
from tinyfleet.ontology.evaluate import Answer, Question
from tinyfleet.ontology.graph import FleetGraph, Rows, Status
from tinyfleet.ontology.matching import match
from tinyfleet.ontology.queries import named_queries
from tinyfleet.ontology.vocabulary import PREFIXES
from tinyfleet.simulations.bench import graph_fleet

KEYS = ("register", "select", "models_for_device", "overview", "match_all", "load")
REPEATS = 7
ONLINE = 0.7  # share of the devices
PARTICIPANTS = 100
FEW, FEW_MODELS = 100, 10
"""Devices and models for rdflib: with the same code its engine takes too long for many."""

CAP = 180.0
"""Seconds after which rdflib is stopped; what it has not answered is null."""

Listener = Callable[[str, str], None]


class Plain:
    """rdflib's memory and its own engine, under the same code."""

    def __init__(self) -> None:
        self.dataset = Dataset()

    def query(self, text: str) -> Result:
        """Return what a query finds."""
        return self.dataset.query(text, initNs=dict(PREFIXES))

    def update(self, text: str) -> None:
        """Do an update."""
        self.dataset.update(text, initNs=dict(PREFIXES))

    def extend(self, quads: str) -> None:
        """Add N-Quads."""
        self.dataset.parse(data=quads, format="nquads")

    def answer(self, question: Question) -> Answer:
        """Refuse: nothing is asked here that others wrote."""
        raise QueryError(f"expected a query of our own, got {question.query:.80}")

    def quads(self) -> Iterable[ox.Quad]:
        """Refuse: nothing is exported here."""
        raise QueryError("expected no export, got one")

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def figures(graph: FleetGraph, devices: int, models: int) -> Iterator[tuple[str, float]]:
    """Fill a graph and ask it; yield each figure, in seconds, as soon as it is known."""
    began = time.perf_counter()
    for kind in range(min(graph_fleet.KINDS, devices)):
        for _ in graph.register_kind(
            graph_fleet.kind(kind), graph_fleet.placeholders(kind, devices)
        ):
            pass
    for number in range(models):
        graph.add_model(graph_fleet.model(number))
    yield "load", time.perf_counter() - began
    yield "status", _timed_once(lambda: _tell(graph, devices))
    extra = iter(range(devices, devices + 2 * REPEATS))
    yield "register", _timed(lambda: graph.register(_thing(next(extra))), REPEATS)
    model = str(next(iter(graph_fleet.model(models // 10).subjects())))
    yield (
        "select",
        _timed(
            lambda: _ask(graph, "select-least-recent", "model", URIRef(model), PARTICIPANTS),
            REPEATS,
        ),
    )
    one = URIRef(graph_fleet.device(devices // 2))
    yield (
        "models_for_device",
        _timed(lambda: _ask(graph, "models-for-device", "device", one), REPEATS),
    )
    yield "overview", _timed(lambda: graph.select(named_queries()["overview"].text), REPEATS)
    yield "match_all", _timed(lambda: sum(1 for _ in match(graph).pairs), 5)


def _tell(graph: FleetGraph, devices: int) -> None:
    draw, now = Random(0), datetime.now(UTC)  # noqa: S311
    for first in range(0, devices, 1000):
        graph.set_status(
            Status(graph_fleet.device(number), draw.random() < ONLINE, now)
            for number in range(first, min(first + 1000, devices))
        )


def _thing(number: int) -> dict[str, Any]:
    text = json.dumps(graph_fleet.kind(number % graph_fleet.KINDS))
    text = text.replace("{{NUMBER}}", str(number)).replace("{{GATEWAY}}", "gw0")
    thing: dict[str, Any] = json.loads(text)
    return thing


def _ask(graph: FleetGraph, name: str, variable: str, term: URIRef, limit: int = 1000) -> Rows:
    return graph.select(named_queries()[name].text, {variable: term}, limit=limit)


def _timed_once(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def _timed(do: Callable[[], object], repeats: int) -> float:
    return median(_timed_once(do) for _ in range(repeats))


def measure(devices: int, models: int, listen: Listener) -> dict[str, Any]:
    """Measure Oxigraph on a disk, then rdflib with few devices; return all, ready for JSON."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, FleetGraph.open(Path(folder)) as graph:
        ours: dict[str, Any] = {"devices": devices, "models": models, "place": "disk"}
        for name, seconds in figures(graph, devices, models):
            ours[name] = seconds
            listen("oxigraph", f"{name} {seconds:.3f} s")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        found["oxigraph"] = {**ours, "disk_bytes": size}
    few, few_models = min(devices, FEW), min(models, FEW_MODELS)
    theirs = _capped(few, few_models, listen)
    found["rdflib"] = {
        "devices": few,
        "models": few_models,
        "place": "memory",
        **{key: theirs.get(key) for key in (*KEYS, "status")},
    }
    missing = [key for key in KEYS if key not in theirs]
    if missing:
        found["rdflib"]["reason"] = f"{', '.join(missing)}: not answered within {CAP:g} s in all"
    found["versions"] = {name: version(name) for name in ("pyoxigraph", "oxrdflib", "rdflib")}
    found["left_out"] = [
        "load is registering devices and models; telling who is online is status",
        f"rdflib has {few} devices and {few_models} models where oxigraph has {devices} and "
        f"{models}: the same code takes it too long",
    ]
    return found


def _capped(devices: int, models: int, listen: Listener) -> dict[str, float]:
    """Run rdflib in a process that is ended after `CAP` seconds; return what it answered."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_plain, args=(there, devices, models), daemon=True)
    process.start()
    there.close()
    found: dict[str, float] = {}
    ends = time.monotonic() + CAP
    with suppress(EOFError):
        while here.poll(max(ends - time.monotonic(), 0.0)):
            name, seconds = here.recv()
            found[name] = seconds
            listen("rdflib", f"{name} {seconds:.3f} s")
    process.kill()
    process.join()
    return found


def _plain(pipe: Connection, devices: int, models: int) -> None:
    for figure in figures(FleetGraph(Plain()), devices, models):
        pipe.send(figure)


Devices = Annotated[int, typer.Option(help="Devices in the graph.", min=1, max=10_000_000)]
Models = Annotated[int, typer.Option(help="Models in the graph.", min=1, max=10_000)]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, for machines.")]


def command(devices: Devices = 100_000, models: Models = 100, as_json: Json = False) -> None:
    """Measure the graph of a large fleet: Oxigraph on disk, beside rdflib's own engine.

    Figures are seconds, medians where a question is asked several times.

    Example: tinyfleet bench graph --devices 10000
    """
    console = Console(stderr=True)
    with console.status("loading") as status:
        found = measure(devices, models, lambda who, what: status.update(f"{who}: {what}"))
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table(
        "seconds", f"oxigraph, {devices:,} devices", f"rdflib, {found['rdflib']['devices']:,}"
    )
    for key in KEYS:
        told = (found[store][key] for store in ("oxigraph", "rdflib"))
        table.add_row(key, *("-" if one is None else f"{one:.4f}" for one in told))
    Console().print(table)
    for line in (*found["left_out"], found["rdflib"].get("reason")):
        if line:
            typer.echo(line)
