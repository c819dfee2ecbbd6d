"""The command that runs a gateway of a Flower deployment."""

from pathlib import Path
from typing import Annotated

import typer

from tinyfleet.client.up import Node, Running
from tinyfleet.client.up import up as run

Config = Annotated[Path, typer.Option(help="The gateway's TOML file.", metavar="FILE")]
Superlink = Annotated[str, typer.Option(help="The SuperLink's address.", metavar="HOST:PORT")]
Ca = Annotated[
    Path | None,
    typer.Option(
        help="Who vouches for the SuperLink; without it the system's authorities, and no TLS to a "
        "SuperLink on this machine.",
        metavar="PATH",
    ),
]
Account = Annotated[
    Path | None,
    typer.Option(
        help="The server's broker.toml, where the broker asks for accounts.", metavar="FILE"
    ),
]
More = Annotated[
    list[str] | None,
    typer.Argument(help="Further options of flower-supernode, behind --.", metavar="-- OPTIONS"),
]


def up(
    superlink: Superlink,
    config: Config = Path("gateway.toml"),
    ca: Ca = None,
    account: Account = None,
    more: More = None,
) -> None:
    """Run the daemon and Flower's SuperNode together, until Ctrl-C or until one of them ends.

    Example: tinyfleet client up --config gateway.toml --superlink 127.0.0.1:8000
    """
    run(Node(config, superlink, ca, account, tuple(more or ())), _tell, typer.echo)
    typer.echo("stopped", err=True)


def _tell(running: Running) -> None:
    gateway = running.gateway
    typer.echo(f"gateway    {gateway.gateway} of {gateway.fleet}, {running.devices} devices")
    typer.echo(f"broker     {gateway.broker}")
    typer.echo(f"superlink  {running.superlink}")
    typer.echo(f"logs       {running.logs}")
    typer.echo("Ctrl-C stops all of it")
