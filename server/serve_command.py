"""The command that runs the server's machine."""

import logging
import shlex
import shutil
import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from tinyfleet.errors import ConfigError
from tinyfleet.server.serve import Certificates, Running, Server
from tinyfleet.server.serve import serve as run

_PEM = "PATH"
_NAME = "NAME-OF-THIS-MACHINE"

Folder = Annotated[
    Path, typer.Option(help="For Flower's files, the broker's, and logs.", metavar="DIR")
]
Host = Annotated[str, typer.Option(help="Address on which the SuperLink listens.")]
Port = Annotated[int, typer.Option(help="Its port; 0 for a free one.", min=0, max=65535)]
BrokerPort = Annotated[
    int, typer.Option(help="Port of the broker; 0 for a free one.", min=0, max=65535)
]
NoBroker = Annotated[
    bool, typer.Option("--no-broker", help="Run no broker here: gateways have their own.")
]
Embedded = Annotated[bool, typer.Option("--embedded", help="Run amqtt, even beside Mosquitto.")]
Certificate = Annotated[
    Path | None, typer.Option(help="The SuperLink's certificate; turns TLS on.", metavar=_PEM)
]
Key = Annotated[Path | None, typer.Option(help="The certificate's private key.", metavar=_PEM)]
Ca = Annotated[Path | None, typer.Option(help="Who vouches for the certificate.", metavar=_PEM)]
Graph = Annotated[
    Path | None,
    typer.Option(help="Keep the fleet's graph in this directory, and serve it.", metavar="DIR"),
]
GraphPort = Annotated[
    int, typer.Option(help="Port at which the graph is asked; 0 for a free one.", min=0, max=65535)
]
Fleet = Annotated[str, typer.Option(help="The fleet's name at the broker, for the graph.")]
More = Annotated[
    list[str] | None,
    typer.Argument(help="Further options of flower-superlink, behind --.", metavar="-- OPTIONS"),
]


def serve(
    folder: Folder = Path("tinyfleet-server"),
    host: Host = "127.0.0.1",
    port: Port = 8000,
    broker_port: BrokerPort = 1883,
    no_broker: NoBroker = False,
    embedded: Embedded = False,
    certificate: Certificate = None,
    key: Key = None,
    ca: Ca = None,
    graph: Graph = None,
    graph_port: GraphPort = 8090,
    fleet: Fleet = "fleet",
    more: More = None,
) -> None:
    """Run a broker and Flower's SuperLink together, until Ctrl-C or until one of them ends.

    With a graph, what devices say of themselves goes into it, and a query can choose who trains.

    Example: tinyfleet serve --graph fleet-graph --fleet lab
    """
    logging.basicConfig(level=logging.WARNING, format="tinyfleet: %(message)s")
    server = Server(
        folder,
        host,
        port,
        _certificates(certificate, key, ca),
        None if no_broker else broker_port,
        embedded or None,
        tuple(more or ()),
        graph,
        graph_port,
        fleet,
    )
    run(server, _tell)
    typer.echo("stopped", err=True)


def _certificates(
    certificate: Path | None, key: Path | None, ca: Path | None
) -> Certificates | None:
    if not (certificate or key or ca):
        return None
    return Certificates(_file("--ca", ca), _file("--certificate", certificate), _file("--key", key))


def _file(name: str, path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise ConfigError(f"{name}: expected a file, got {path or 'nothing'}")
    return path


def _tell(running: Running) -> None:
    for line in told(running):
        typer.echo(line)


def told(running: Running) -> list[str]:
    """Return what a person is told: where things listen, and what to type next."""
    broker, superlink = running.broker, running.superlink
    if running.everywhere:
        superlink = f"{_NAME}:{superlink.rpartition(':')[2]}"
    gateway = [_program("tinyfleet"), "client", "up", "--config", "gateway.toml"]
    gateway += ["--superlink", superlink]
    if running.ca is not None:
        gateway += ["--ca", str(running.ca)]
    home = shlex.quote(str(running.flower))
    run = f"FLWR_HOME={home} {shlex.quote(_program('flwr'))} run . --stream"
    if running.graph is not None:
        chosen = f'select="fair" graph="{running.graph}" per-round=10'
        run += f" --run-config {shlex.quote(chosen)}"
    return [
        *([f"broker     {broker.kind} on {broker.host}:{broker.port}"] if broker else []),
        f"superlink  {running.superlink}",
        *([f"graph      {running.graph}"] if running.graph else []),
        f"gateway    {shlex.join(gateway)}",
        f"run        {run}",
    ]


def _program(name: str) -> str:
    """Return what starts a program of this installation from a shell: its name, or its path."""
    return name if shutil.which(name) else str(Path(sysconfig.get_path("scripts")) / name)
