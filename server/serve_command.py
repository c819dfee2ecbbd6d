"""The command that runs the server's machine."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from tinyfleet.errors import ConfigError
from tinyfleet.server.serve import Certificates, Running, Server
from tinyfleet.server.serve import serve as run

_PEM = "PATH"

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
    more: More = None,
) -> None:
    """Run a broker and Flower's SuperLink together, until Ctrl-C or until one of them ends.

    Example: tinyfleet serve
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
    broker = running.broker
    if broker is not None:
        typer.echo(f"broker     {broker.kind} on {broker.host}:{broker.port}")
    typer.echo(f"superlink  {running.superlink}")
    typer.echo(
        f"gateway    tinyfleet client up --config gateway.toml --superlink {running.superlink}"
    )
    typer.echo(f"run        FLWR_HOME={running.flower} flwr run . --stream")
    typer.echo("Ctrl-C stops all of it")
