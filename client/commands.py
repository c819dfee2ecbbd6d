"""The commands of an operator at a gateway: run, check, status."""

import json
import logging
import signal
import urllib.error
import urllib.request
from dataclasses import asdict
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from tinyfleet.address import join
from tinyfleet.client.check import check_gateway
from tinyfleet.client.daemon import Daemon
from tinyfleet.client.gateway import Gateway, read_gateway
from tinyfleet.client.up_command import up
from tinyfleet.errors import BrokerError, ConfigError

client = typer.Typer(
    help="Stand between a broker and the devices of one gateway.", no_args_is_help=True
)

Config = Annotated[Path, typer.Option("--config", help="The gateway's TOML file.", metavar="FILE")]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, for machines.")]
Level = Annotated[
    str, typer.Option("--log-level", help="The least that is logged: debug, info, warning, error.")
]

CONFIG = Path("gateway.toml")
STATUS_SECONDS = 5.0
_WORDS = {
    "asked": "orders being followed",
    "unacknowledged": "answers not acknowledged yet",
    "tinyfleet_orders_total": "orders taken",
    "tinyfleet_updates_total": "updates made",
    "tinyfleet_refusals_total": "orders refused",
    "tinyfleet_acknowledged_total": "answers acknowledged",
    "tinyfleet_malformed_total": "messages that meant nothing",
    "tinyfleet_resent_total": "answers sent again",
    "tinyfleet_disconnections_total": "times without the broker",
    "tinyfleet_bytes_received_total": "received",
    "tinyfleet_bytes_sent_total": "sent",
    "tinyfleet_link_retries_total": "requests repeated to boards",
    "tinyfleet_link_dropped_total": "damaged frames from boards",
    "tinyfleet_outbox_bytes": "waiting on disk",
    "process_resident_memory_bytes": "memory",
}
_TOLD = ("tinyfleet_asked", "tinyfleet_unacknowledged", "tinyfleet_connected")  # by /healthz, too


@client.callback()
def _client() -> None:
    """Stand between a broker and the devices of one gateway."""


client.command()(up)


@client.command()
def run(config: Config = CONFIG, log_level: Level = "info") -> None:
    """Attach the devices and serve the broker until SIGTERM or Ctrl-C.

    Example: tinyfleet client run --config gateway.toml
    """
    level = logging.getLevelNamesMapping().get(log_level.upper())
    if level is None:
        raise ConfigError(f"--log-level: expected debug, info, warning or error, got {log_level!r}")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    daemon = Daemon(read_gateway(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    daemon.run()


@client.command()
def check(config: Config = CONFIG, as_json: Json = False) -> None:
    """Read the configuration, reach the broker, and say hello to every device.

    Ends with exit code 0 only when all of it went well.

    Stop the daemon first: a serial port has one user.

    Example: tinyfleet client check --config gateway.toml
    """
    gateway = read_gateway(config)
    findings = check_gateway(gateway)
    well = all(finding.well for finding in findings)
    if as_json:
        typer.echo(json.dumps({"well": well, "findings": [asdict(f) for f in findings]}))
    else:
        table = Table("what", "well", "finding")
        for finding in findings:
            told = "yes" if finding.well else "no"
            table.add_row(Text(finding.what), told, Text(finding.text))  # [[device]] is no markup
        Console().print(table)
    if not well:
        raise typer.Exit(1)


@client.command()
def status(config: Config = CONFIG, as_json: Json = False) -> None:
    """Ask a running daemon how it is.

    Ends with exit code 0 only when the daemon is well.

    Example: tinyfleet client status --config gateway.toml
    """
    gateway = read_gateway(config)
    health = json.loads(_get(gateway, "/healthz"))
    figures = _figures(_get(gateway, "/metrics"))
    if as_json:
        typer.echo(json.dumps({"health": health, "metrics": figures}))
    else:
        table = Table("what", "now")
        for name, value in health.items():
            text = ", ".join(f"{n} {s}" for s, n in value.items()) if name == "devices" else value
            table.add_row(_WORDS.get(name, name), str(text))
        for name, number in figures.items():
            if name in _TOLD:
                continue
            table.add_row(*_in_words(name, int(number)))
        Console().print(table)
    if health["status"] != "ok":
        raise typer.Exit(1)


def _get(gateway: Gateway, path: str) -> str:
    if gateway.listen is None:
        raise ConfigError(
            f"{gateway.path}: status: expected a [status] table, got none; without it a daemon "
            "serves no status"
        )
    place = f"http://{join(*gateway.listen)}{path}"
    try:
        with urllib.request.urlopen(place, timeout=STATUS_SECONDS) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:  # what is not well answers 503 with the same text
        return error.read().decode()
    except (OSError, ValueError, HTTPException) as error:
        raise BrokerError(
            f"{place}: expected a running daemon, got {error}; start it with: tinyfleet client run "
            f"--config {gateway.path}"
        ) from None


def _in_words(name: str, number: int) -> tuple[str, str]:
    """Return a sample's name, with the value of its label, and its number as a person reads it."""
    metric, _, label = name.partition("{")
    words = _WORDS.get(metric, metric)
    if label:
        words += ", " + label.split('"')[1]
    return words, decimal(number) if "_bytes" in metric else f"{number:,}"


def _figures(text: str) -> dict[str, float]:
    """Return the samples of a page of metrics that a person at a gateway wants."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        own = name.startswith(("tinyfleet_", "process_resident_memory"))
        if own and not name.startswith("tinyfleet_devices"):
            found[name] = float(value)
    return found
