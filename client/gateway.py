"""What a gateway is: its network, its broker, and the devices behind it, as `gateway.toml` says."""

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tinyfleet.broker import Broker
from tinyfleet.client.tables import (
    BrokerTable,
    DeviceTable,
    GatewayTable,
    StatusTable,
    key_of,
    read_table,
)
from tinyfleet.description import load_network
from tinyfleet.errors import ConfigError, NetworkError
from tinyfleet.network import Network
from tinyfleet.networks import NETWORKS, named_network

MOST_DEVICES = 10_000


@dataclass(frozen=True)
class Gateway:
    """A gateway as its file describes it, with every file found and read.

    Attributes:
        path: the file that says all this.
        fleet: name of the fleet.
        gateway: name of this gateway.
        network: what its devices train.
        folder: where the outbox lies.
        broker: how the broker is reached.
        listen: host and port of `/metrics` and `/healthz`; None for nowhere.
        devices: groups of devices alike; no number is in two of them.
    """

    path: Path
    fleet: str
    gateway: str
    network: Network
    folder: Path
    broker: Broker
    listen: tuple[str, int] | None
    devices: tuple[DeviceTable, ...]


def read_gateway(path: str | Path) -> Gateway:
    """Read a gateway's TOML file; files that it names lie relative to it.

    Raises:
        ConfigError: the file cannot be read, a key is unknown, missing or of the wrong type, two
            devices have the same number, or a file that it names is missing.
    """
    path = Path(path)
    place = str(path)
    top = read_table(GatewayTable, _toml(path), place)
    status = None if top.status is None else read_table(StatusTable, top.status, f"{place}: status")
    return Gateway(
        path=path,
        fleet=top.fleet,
        gateway=top.gateway,
        network=_network(top.network, path),
        folder=(path.parent / top.folder).resolve(),
        broker=_broker(top.broker or {}, f"{place}: broker", path.parent),
        listen=None if status is None else status.listen,
        devices=_devices(top.device, place),
    )


def read_broker(path: str | Path) -> Broker:
    """Read the `[broker]` table of a TOML file, such as `tinyfleet broker config` writes.

    Raises:
        ConfigError: as `read_gateway` does.
    """
    path = Path(path)
    values = _toml(path).get("broker")
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: broker: expected a [broker] table, got {values!r:.60}")
    return _broker(values, f"{path}: broker", path.parent)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a readable TOML file, got {error.strerror or error}"
        ) from None
    except (ValueError, RecursionError) as error:  # no UTF-8, or no TOML
        raise ConfigError(f"{path}: expected TOML in UTF-8, got {error}") from None


def _network(name: str, path: Path) -> Network:
    if name in NETWORKS:
        return named_network(name)
    if not name.endswith(".toml"):
        raise ConfigError(
            f"{path}: network: expected one of {', '.join(NETWORKS)} or a .toml file, got {name!r}"
        )
    try:
        return load_network(path.parent / name)
    except NetworkError as error:
        raise ConfigError(f"{path}: network: {error}") from None


def _broker(values: Mapping[str, Any], place: str, folder: Path) -> Broker:
    table = read_table(BrokerTable, values, place)
    found: dict[str, Path | None] = {}
    for name in ("password_file", "ca", "certificate", "key"):
        named: Path | None = getattr(table, name)
        found[name] = None if named is None else folder / named
        if named is not None and not (folder / named).is_file():
            raise ConfigError(
                f"{place}: {key_of(name)}: expected a file, got {folder / named}, which is none"
            )
    for given, needed in (
        ("password_file", "username"),
        ("certificate", "key"),
        ("key", "certificate"),
        ("certificate", "ca"),
    ):
        if getattr(table, given) is not None and getattr(table, needed) is None:
            raise ConfigError(
                f"{place}: {needed}: expected a value because {key_of(given)} has one, got none"
            )
    secret = found["password_file"]
    return Broker(
        table.host,
        table.port,
        username=table.username,
        password=None if secret is None else _password(secret, place),
        ca=found["ca"],
        certificate=found["certificate"],
        key=found["key"],
    )


def _password(path: Path, place: str) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & stat.S_IRWXO:
            raise ConfigError(
                f"{place}: password-file: expected a file that others cannot read, got mode "
                f"{mode:04o}; chmod 600 {path}"
            )
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            f"{place}: password-file: expected a file that can be read, got {path} "
            f"({error.strerror or error})"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{place}: password-file: expected a text in UTF-8, got {error}"
        ) from None
    if len(lines) != 1 or not lines[0]:
        raise ConfigError(
            f"{place}: password-file: expected the password alone on one line, got {len(lines)} "
            "lines or an empty one"
        )
    return lines[0]


def _devices(tables: list[Mapping[str, Any]], place: str) -> tuple[DeviceTable, ...]:
    groups = []
    owners: dict[int, int] = {}
    for at, values in enumerate(tables, 1):
        here = f"{place}: [[device]] {at}"
        table = read_table(DeviceTable, values, here)
        _check_device(table, values, here)
        if len(owners) + len(table.members) > MOST_DEVICES:
            raise ConfigError(f"{here}: expected at most {MOST_DEVICES} devices in all, got more")
        for number in table.members:
            if number in owners:
                raise ConfigError(
                    f"{here}: number: expected one that no other device has, got {number}, "
                    f"which [[device]] {owners[number]} has"
                )
            owners[number] = at
        path = table.source.get("file")
        if isinstance(path, str):
            file = str(Path(place).parent / path)
            table = replace(table, source=MappingProxyType({**table.source, "file": file}))
        groups.append(table)
    return tuple(groups)


def _check_device(table: DeviceTable, values: Mapping[str, Any], place: str) -> None:
    if (table.number is None) == (table.numbers is None):
        raise ConfigError(
            f"{place}: number: expected either number = 0 or numbers = [6, 15], got "
            f"{'both' if table.number is not None else 'neither'}"
        )
    owned = {"engine": "emulated", "port": "serial", "baud": "serial", "facts": "simulated"}
    for key, kind in owned.items():
        if key in values and table.kind != kind:
            raise ConfigError(
                f"{place}: {key}: expected only where kind is {kind}, got it with {table.kind}; "
                "remove it"
            )
    if table.kind == "serial":
        if table.port is None:
            raise ConfigError(f"{place}: port: expected the path of a serial port, got none")
        if table.numbers is not None:
            raise ConfigError(
                f"{place}: numbers: expected one number because a port leads to one board, got "
                f"{len(table.numbers)}"
            )
