"""The command that serves a directory."""

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from tinyfleet.broker import Broker
from tinyfleet.errors import ConfigError
from tinyfleet.server.directory.access import read_token
from tinyfleet.server.directory.serve import Served
from tinyfleet.server.directory.serve import serve as run

directory = typer.Typer(
    help="Serve the fleet's graph as a W3C WoT Thing Description Directory.", no_args_is_help=True
)

Graph = Annotated[str, typer.Option(help="The graph's directory, made if absent.", metavar="DIR")]
Listen = Annotated[
    str, typer.Option(help="Where to listen; port 0 for a free one.", metavar="HOST:PORT")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="A file with the token that whoever writes must bear.", metavar="FILE"),
]
Anyone = Annotated[
    bool, typer.Option("--anyone-may-write", help="Listen to other machines without a token.")
]
Writable = Annotated[bool, typer.Option("--writable", help="Let /sparql take updates, too.")]
BrokerUrl = Annotated[
    str | None,
    typer.Option(
        "--broker", help="Also take descriptions from a broker.", metavar="mqtt://HOST[:PORT]"
    ),
]
Fleet = Annotated[str, typer.Option(help="The fleet's name at the broker.")]
Json = Annotated[bool, typer.Option("--json", help="Say the address as JSON, for machines.")]


@directory.callback()
def _directory() -> None:
    """Serve the fleet's graph as a W3C WoT Thing Description Directory."""


@directory.command()
def serve(
    graph: Graph,
    listen: Listen = "127.0.0.1:8090",
    token_file: TokenFile = None,
    anyone_may_write: Anyone = False,
    writable: Writable = False,
    broker: BrokerUrl = None,
    fleet: Fleet = "fleet",
    as_json: Json = False,
) -> None:
    """Serve descriptions and SPARQL until Ctrl-C or SIGTERM.

    Example: tinyfleet directory serve --graph fleet-graph
    """
    host, port = _address(listen)
    served = Served(
        graph,
        host,
        port,
        None if token_file is None else read_token(token_file),
        anyone_may_write,
        writable,
        None if broker is None else _broker(broker),
        fleet,
    )
    run(served, lambda address: _tell(address, as_json=as_json))
    typer.echo("stopped", err=True)


def _tell(address: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"address": address, "sparql": f"{address}/sparql"}))
    else:
        typer.echo(f"directory  {address}\nSPARQL     {address}/sparql")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ConfigError(f"--listen: expected HOST:PORT such as 127.0.0.1:8090, got {text!r}")
    return host.strip("[]"), int(port)


def _broker(text: str) -> Broker:
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port or 1883
    except ValueError:
        host, port = None, 0
    if host is None or url.scheme != "mqtt" or url.path.strip("/"):
        raise ConfigError(f"--broker: expected mqtt://HOST:PORT, got {text!r:.100}")
    username = None if url.username is None else unquote(url.username)
    password = None if url.password is None else unquote(url.password)
    return Broker(host, port, username, password)
