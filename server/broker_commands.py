"""The commands around a broker: run, config."""

import json
import logging
import signal
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tinyfleet.server.broker import RunningBroker, running_broker
from tinyfleet.server.broker_config import former_place, left_over, write_secure_broker
from tinyfleet.server.mosquitto import SECURE_PORT, SecureBroker

WATCH_SECONDS = 0.2

broker = typer.Typer(
    help="Run an MQTT broker, or write the configuration of a secure one.", no_args_is_help=True
)

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.", min=0, max=65535)]
Embedded = Annotated[bool, typer.Option("--embedded", help="Run amqtt, even beside Mosquitto.")]
Folder = Annotated[Path, typer.Option(help="For its log and what Mosquitto keeps.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Say it as JSON, for machines.")]
Fleet = Annotated[str, typer.Option(help="Name of the fleet.")]
Gateways = Annotated[
    list[str], typer.Option("--gateway", help="Name of a gateway; once for each.", metavar="NAME")
]
Out = Annotated[Path, typer.Option(help="Folder for what is written.", metavar="DIR")]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        help="Name or address under which clients reach the broker; more than once for several, "
        "of which clients use the first. Without it what --force finds, or localhost.",
    ),
]
SecurePort = Annotated[
    int | None,
    typer.Option(
        "--port", help=f"Port to listen on. Without it what --force finds, or {SECURE_PORT}."
    ),
]
Certificates = Annotated[
    bool, typer.Option("--certificates", help="Clients prove themselves by certificates.")
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Write anew; authority, passwords and keys that are there stay."),
]


@broker.callback()
def _broker() -> None:
    """Run an MQTT broker, or write the configuration of a secure one."""


@broker.command()
def run(
    host: Host = "127.0.0.1",
    port: Port = 1883,
    embedded: Embedded = False,
    folder: Folder = Path("broker"),
    as_json: Json = False,
) -> None:
    """Run a broker without passwords, for one machine, until Ctrl-C.

    Mosquitto where it is installed, otherwise amqtt, which is slower and keeps nothing.

    Example: tinyfleet broker run --port 1883
    """
    logging.basicConfig(level=logging.WARNING, format="tinyfleet: %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job ignores SIGINT
        signal.signal(number, _end)
    try:
        with running_broker(folder, host=host, port=port, embedded=embedded or None) as it:
            typer.echo(_as_json(it) if as_json else _as_text(it))
            while True:
                it.check()
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        typer.echo("the broker has stopped", err=True)


def _end(number: int, frame: object) -> NoReturn:
    """End as Ctrl-C does, so that the broker is ended too."""
    del number, frame
    raise KeyboardInterrupt


def _as_json(running: RunningBroker) -> str:
    return json.dumps(
        {
            "kind": running.kind,
            "host": running.host,
            "port": running.port,
            "pid": running.pid,
            "log": str(running.log),
        }
    )


def _as_text(running: RunningBroker) -> str:
    return (
        f"{running.kind} runs on {running.host}:{running.port}; Ctrl-C stops it\n"
        f'in gateway.toml: [broker] host = "{running.host}", port = {running.port}\n'
        f"log: {running.log}"
    )


@broker.command()
def config(
    fleet: Fleet,
    gateway: Gateways,
    out: Out,
    host: Hosts = None,
    port: SecurePort = None,
    certificates: Certificates = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a secure Mosquitto configuration: TLS, an account and topics of its own per gateway.

    Passwords and keys go into files that only their owner may read.

    Example: tinyfleet broker config --fleet lab --gateway gw-1 --host broker.lan --out secure
    """
    former = former_place(out) if force else None
    hosts, number = former or (("localhost",), SECURE_PORT)
    secure = SecureBroker(
        fleet, tuple(gateway), tuple(host or hosts), number if port is None else port, certificates
    )
    path = write_secure_broker(secure, out, force=force)
    left = [str(folder) for folder in left_over(secure, path.parent)]
    clients = {account: str(path.parent / "clients" / account) for account in secure.accounts}
    if as_json:
        typer.echo(json.dumps({"config": str(path), "clients": clients, "left_over": left}))
        return
    typer.echo(f"run the broker: mosquitto -c {path}")
    typer.echo(f"it is reached as: {', '.join(secure.hosts)}, port {secure.port}")
    for account, folder in clients.items():
        typer.echo(f"take to {account}: {folder}")
    for folder in left:
        typer.echo(f"left over, its account is locked out: {folder}; remove it, or name it again")
    typer.echo(f"keep offline, it can make more accounts: {path.parent / 'ca' / 'ca.key'}")
