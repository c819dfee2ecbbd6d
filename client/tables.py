"""The tables of `gateway.toml`.

Every key is a field of a dataclass, spelled with hyphens; the reader in its type says what it
expects.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from tinyfleet.address import split
from tinyfleet.client.thing import Facts
from tinyfleet.errors import ConfigError, WireError
from tinyfleet.payloads import DeviceKind
from tinyfleet.topics import MOST_DEVICE, check_name

Engine = Literal["unicorn", "qemu"]
KINDS: tuple[DeviceKind, ...] = get_args(DeviceKind)
ENGINES: tuple[Engine, ...] = get_args(Engine)

_T = TypeVar("_T")
_Reader = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("a text in quotes")
    return value


def _name(value: Any) -> str:
    name = str(_text(value))
    try:
        check_name("name", name)
    except WireError:
        raise ValueError("1 to 64 of the characters A-Z a-z 0-9 . _ -") from None
    if name == "_":
        raise ValueError('a name other than "_", which stands for the server')
    return name


def _path(value: Any) -> Path:
    return Path(_text(value))


def _whole(low: int, high: int) -> _Reader:
    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:  # a bool is an int as well
            raise ValueError(f"a whole number of {low} to {high}")
        return value

    return read


def _choice(*choices: str) -> _Reader:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return read


def _numbers(value: Any) -> range:
    good = isinstance(value, list) and [type(number) for number in value] == [int, int]
    if not good or not 0 <= value[0] <= value[1] <= MOST_DEVICE:
        raise ValueError("the first and the last number, such as [6, 15]")
    return range(value[0], value[1] + 1)


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a table")
    return value


def _tables(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError("[[device]] tables")
    if not value:
        raise ValueError("at least one [[device]] table")
    return value


def _source(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ValueError('a table with a kind, such as { kind = "sine", seed = 1 }')
    return MappingProxyType(value)


def _facts(value: Any) -> Facts:
    expected = 'a table such as { board = "BBC micro:bit", ram = 16_384, arena = 8192 }'
    if not isinstance(value, dict) or not isinstance(value.get("board"), str):
        raise ValueError(expected)
    sizes = {name: value.get(name, 0) for name in ("ram", "flash", "arena")}
    if set(value) - {"board", *sizes} or any(type(n) is not int or n < 0 for n in sizes.values()):
        raise ValueError(expected)
    return Facts(_text(value["board"]), "", **sizes)


def _address(value: Any) -> tuple[str, int]:
    try:
        return split(_text(value), "address")
    except ConfigError:
        raise ValueError("an address such as 127.0.0.1:9464") from None


@dataclass(frozen=True)
class BrokerTable:
    """`[broker]`: where the broker is, and who the gateway is to it.

    Attributes:
        host: its name or address.
        port: its port.
        username: whom the gateway says that it is.
        password_file: file whose first line is the password; only its owner and group may read it.
        ca: certificate of who signs the broker's; when given, the link is TLS.
        certificate: the gateway's own certificate.
        key: the certificate's private key.
    """

    host: Annotated[str, _text] = "127.0.0.1"
    port: Annotated[int, _whole(1, 65535)] = 1883
    username: Annotated[str | None, _text] = None
    password_file: Annotated[Path | None, _path] = None
    ca: Annotated[Path | None, _path] = None
    certificate: Annotated[Path | None, _path] = None
    key: Annotated[Path | None, _path] = None


@dataclass(frozen=True)
class StatusTable:
    """`[status]`: where `/metrics` and `/healthz` are served.

    Attributes:
        listen: host and port; nobody is asked for a password
            there, so leave it at a local address.
    """

    listen: Annotated[tuple[str, int], _address] = ("127.0.0.1", 9464)


@dataclass(frozen=True)
class DeviceTable:
    """`[[device]]`: one device, or several alike.

    Attributes:
        number: the device's number in the fleet.
        numbers: first and last number of several devices; any kind but serial.
        kind: where it computes: "emulated", "serial", "in-process" or "simulated".
        engine: what emulates it, "unicorn" or "qemu"; emulated only.
        port: path of the serial port, or an address that pyserial opens; serial only.
        baud: bits a second of the serial port; serial only.
        source: where its samples come from; see `tinyfleet.client.sources`.
        facts: the board that it stands for, see `Facts`; simulated only, whose figures are else
            not known.
    """

    kind: Annotated[DeviceKind, _choice(*KINDS)]
    source: Annotated[Mapping[str, Any], _source]
    number: Annotated[int | None, _whole(0, MOST_DEVICE)] = None
    numbers: Annotated[range | None, _numbers] = None
    engine: Annotated[Engine, _choice(*ENGINES)] = "unicorn"
    port: Annotated[str | None, _text] = None
    baud: Annotated[int, _whole(300, 12_000_000)] = 115_200
    facts: Annotated[Facts | None, _facts] = None

    @property
    def is_board(self) -> bool:
        """Whether firmware computes, not this process."""
        return self.kind in ("emulated", "serial")

    @property
    def members(self) -> range:
        """The numbers of these devices."""
        first = self.number or 0
        return self.numbers if self.numbers is not None else range(first, first + 1)


@dataclass(frozen=True)
class GatewayTable:
    """The keys at the top of the file, and its tables.

    Attributes:
        fleet: name of the fleet.
        gateway: name of this gateway, unique in the fleet.
        network: a named network, or a TOML file that describes one.
        folder: where the outbox lies.
        broker: see `BrokerTable`.
        status: see `StatusTable`; without it nothing is served.
        device: see `DeviceTable`.
    """

    fleet: Annotated[str, _name]
    gateway: Annotated[str, _name]
    network: Annotated[str, _text]
    device: Annotated[list[Mapping[str, Any]], _tables]
    folder: Annotated[Path, _path] = Path("state")
    broker: Annotated[Mapping[str, Any] | None, _table] = None
    status: Annotated[Mapping[str, Any] | None, _table] = None


def read_table(table: type[_T], values: Mapping[str, Any], place: str) -> _T:
    """Build `table` from `values`; errors call them `place`.

    Raises:
        ConfigError: a key is unknown, missing, or its value not what its reader expects.
    """
    known = {key_of(f.name): f for f in fields(table)}  # type: ignore[arg-type]
    hints = get_type_hints(table, include_extras=True)
    ready: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(
                f"{place}: expected only the keys {', '.join(known)}, got {key!r}; "
                "remove it or mend its spelling"
            )
        try:
            ready[known[key].name] = hints[known[key].name].__metadata__[0](value)
        except ValueError as error:
            shown = repr(value)
            raise ConfigError(f"{place}: {key}: expected {error}, got {shown[:60]}") from None
    for key, wanted in known.items():
        if wanted.default is MISSING and key not in values:
            reader = hints[wanted.name].__metadata__[0]
            lacking = f"a [[{key}]] table" if reader is _tables else f"{key} = ..."
            raise ConfigError(f"{place}: {key}: expected a value, got none; add {lacking}")
    return table(**ready)


def key_of(name: str) -> str:
    """Return how the file spells the field `name`."""
    return name.replace("_", "-")
