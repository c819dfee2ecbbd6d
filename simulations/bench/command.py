"""The command `tinyfleet bench`."""

import typer

from tinyfleet.simulations.bench import device, graph, simulation

bench = typer.Typer(help="Measure speed against peers, in one run.", no_args_is_help=True)


@bench.callback()
def _bench() -> None:
    """Measure speed against peers, in one run."""


bench.command("simulation")(simulation.command)
bench.command("device")(device.command)
bench.command("graph")(graph.command)
