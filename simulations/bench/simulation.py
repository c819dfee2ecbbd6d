"""`tinyfleet bench simulation`: device updates per second, beside others in the same run."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from tinyfleet.binding import variants
from tinyfleet.simulations.bench import machine
from tinyfleet.simulations.bench.bout import Settings
from tinyfleet.simulations.bench.child import PEERS
from tinyfleet.simulations.bench.contest import Standing, contest
from tinyfleet.simulations.bench.workloads import WORKLOADS
from tinyfleet.simulations.cores import cores

OURS = "tinyfleet"
PEAK = "peak"
RIVALS = ("flower_ray", "torch_loop", "torch_vmap", "numpy")
TIMED = (OURS, "tinyfleet_kernel", *RIVALS)

LEFT_OUT = (
    "flower_ray: start of Ray and of the nodes, and the first round",
    "torch_loop, torch_vmap, numpy, tinyfleet_kernel: drawing the tasks; tinyfleet draws them "
    "while the clock runs",
    "all: imports, and a first bout that warms up",
)
DATA = {
    "sine": "a sin(b x + c), 32 samples a device, each learned once",
    "characters": "random images of Omniglot's shape, 5 classes x 8 shots, each learned once",
}

Listener = Callable[[str, str, str], None]


def measure(names: tuple[str, ...], *, quick: bool, listen: Listener) -> dict[str, Any]:
    """Run the contest of each workload and return all figures, ready for JSON.

    Args:
        names: workloads.
        quick: a single short bout with few devices: figures that show no more than that all works.
        listen: hears the workload, what is being done and with whom, before every bout.
    """
    results: dict[str, dict[str, Standing]] = {}
    for name in names:
        settings = Settings(
            name,
            seconds=0.05 if quick else 1.5,
            bouts=2 if quick else 6,
            nodes=4 if quick else 100,
            workers=cores(),
            quick=quick,
        )
        results[name] = contest(tuple(PEERS), settings, partial(listen, name))
    peaks = [rate for standings in results.values() for rate in standings[PEAK].rates]
    peak = max(peaks, default=None)
    figures: dict[str, Any] = {name: _figures(name, results[name], peak) for name in names}
    figures["machine"] = {
        "cores": cores(),
        "processor": machine.processor(),
        "kernel": variants()[-1].name,
        "peak_gflops": None if peak is None else _significant(peak / 1e9),
        "versions": machine.versions(),
        "left_out": list(LEFT_OUT),
        "quick": quick,
    }
    return figures


def _figures(name: str, standings: Mapping[str, Standing], peak: float | None) -> dict[str, Any]:
    """Return what one workload shows: rates, ratios, share of the peak, memory, notes."""
    rates = {
        peer: median(standings[peer].rates) if standings[peer].rates else None for peer in TIMED
    }
    ours = rates[OURS]
    figures: dict[str, Any] = {peer: _significant(rate) for peer, rate in rates.items()}
    for rival in RIVALS:
        theirs = rates[rival]
        ratio = None if ours is None or theirs is None else ours / theirs
        figures[f"ratio_{rival}"] = _significant(ratio)
    share = None if ours is None or peak is None else ours * WORKLOADS[name]().flop / peak
    figures["share_of_peak"] = _significant(share)
    figures["peak_memory_mib"] = {
        peer: _significant(standings[peer].memory_mib or None) for peer in TIMED
    }
    figures["spread"] = {
        peer: [_significant(min(s.rates)), _significant(max(s.rates))] if s.rates else None
        for peer, s in standings.items()
        if peer in TIMED
    }
    figures["data"] = DATA[name]
    figures["how"] = {peer: standings[peer].how for peer in PEERS}
    figures["notes"] = {peer: s.reason for peer, s in standings.items() if s.reason is not None}
    return figures


def _significant(value: float | None) -> float | None:
    """Keep four digits."""
    return None if value is None else float(f"{value:.4g}")


def table(name: str, figures: Mapping[str, Any]) -> Table:
    """Return the figures of one workload as a table for people."""
    shown = Table(title=f"{name}: {figures['data']}", title_justify="left")
    shown.add_column("peer")
    for column in ("updates/s", "least to most", "tinyfleet is faster", "memory MiB"):
        shown.add_column(column, justify="right")
    shown.add_column("how")
    for peer in TIMED:
        spread, ratio = figures["spread"][peer], figures.get(f"ratio_{peer}")
        shown.add_row(
            peer,
            _text(figures[peer]),
            " to ".join(_text(end) for end in spread) if spread else "",
            f"{_text(ratio)} x" if ratio else "",
            _text(figures["peak_memory_mib"][peer]),
            figures["notes"].get(peer, figures["how"][peer]),
        )
    return shown


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@contextmanager
def _progress(names: tuple[str, ...], *, quick: bool) -> Iterator[Listener]:
    """Yield a listener that draws a bar on stderr when somebody is looking."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bouts = len(names) * len(PEERS) * (2 if quick else 6)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=bouts)

        def listen(name: str, what: str, peer: str) -> None:
            progress.update(bar, description=f"{name}: {what} {peer}", advance=1)

        yield listen


def command(
    only: Annotated[str | None, typer.Option(help=f"One workload: {', '.join(WORKLOADS)}.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few devices, one bout: see that it works.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON, for machines.")
    ] = False,
) -> None:
    """Count device updates per second, beside Flower on Ray, PyTorch and numpy in the same run.

    Takes about three minutes; leave the machine alone meanwhile.
    """
    if only is not None and only not in WORKLOADS:
        raise typer.BadParameter(f"expected one of {', '.join(WORKLOADS)}, got {only!r}")
    names = (only,) if only else tuple(WORKLOADS)
    with _progress(names, quick=quick) as listen:
        figures = measure(names, quick=quick, listen=listen)
    if as_json:
        typer.echo(json.dumps(figures))
        return
    console = Console()
    for name in names:
        console.print(table(name, figures[name]))
        share = figures[name]["share_of_peak"]
        if share is not None:
            console.print(f"{share:.1%} of the machine's measured peak\n")
    about = figures["machine"]
    console.print(
        f"{about['processor']}, {about['cores']} cores, kernel {about['kernel']}, "
        f"peak {_text(about['peak_gflops'])} GFLOP/s"
    )
    console.print("left out: " + "; ".join(about["left_out"]))
