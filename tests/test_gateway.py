"""A gateway's file says what is so, or is refused by file, field, expectation and what came."""

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from tinyfleet.broker import Broker
from tinyfleet.client.gateway import read_broker, read_gateway
from tinyfleet.client.tables import (
    BrokerTable,
    DeviceTable,
    GatewayTable,
    StatusTable,
    key_of,
)
from tinyfleet.description import network_to_toml
from tinyfleet.errors import ConfigError
from tinyfleet.networks import named_network

TOP = 'fleet = "lab"\ngateway = "gw-1"\nnetwork = "sine"\n'
DEVICE = '[[device]]\nnumber = 0\nkind = "simulated"\nsource = { kind = "sine" }\n'
PAGE = Path(__file__).parent.parent / "docs" / "gateway.md"
TABLES = {
    "top": GatewayTable,
    "broker": BrokerTable,
    "status": StatusTable,
    "device": DeviceTable,
}


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


def test_a_gateway_is_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("open sesame\n")
    (tmp_path / "secret").chmod(0o600)
    path = written(
        tmp_path,
        TOP
        + '[broker]\nhost = "broker.lan"\nport = 1884\n'
        + 'username = "gw-1"\npassword-file = "secret"\n'
        + '[status]\nlisten = "[::1]:9000"\n'
        + DEVICE
        + '[[device]]\nnumbers = [6, 15]\nkind = "emulated"\nengine = "qemu"\n'
        + 'source = { kind = "recorded", file = "data.npz" }\n'
        + '[[device]]\nnumber = 20\nkind = "serial"\nport = "/dev/ttyACM0"\nbaud = 9600\n'
        + 'source = { kind = "sensor" }\n',
    )

    gateway = read_gateway(path)

    assert (gateway.fleet, gateway.gateway, gateway.network.name) == ("lab", "gw-1", "sine")
    assert gateway.broker == Broker("broker.lan", 1884, username="gw-1", password="open sesame")
    assert gateway.listen == ("::1", 9000)
    assert gateway.folder == tmp_path / "state"
    assert [list(table.members) for table in gateway.devices] == [[0], [*range(6, 16)], [20]]
    assert gateway.devices[1].source["file"] == str(tmp_path / "data.npz")
    assert (gateway.devices[2].port, gateway.devices[2].baud) == ("/dev/ttyACM0", 9600)


def test_what_is_left_out_takes_its_default(tmp_path: Path) -> None:
    gateway = read_gateway(written(tmp_path, TOP + DEVICE))

    assert gateway.broker == Broker("127.0.0.1", 1883)
    assert gateway.listen is None


def test_a_network_file_lies_beside_the_gateways(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(network_to_toml(named_network("presence")))

    gateway = read_gateway(written(tmp_path, TOP.replace("sine", "mine.toml") + DEVICE))

    assert gateway.network == named_network("presence")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TOP, "device: expected a value, got none; add a [[device]] table"),
        (TOP + "device = []", "at least one [[device]] table"),
        (TOP + DEVICE + "colour = 1", "[[device]] 1: expected only the keys kind, source, number"),
        ("speed = 1\n" + TOP + DEVICE, "got 'speed'"),
        (TOP.replace("gw-1", "a/b") + DEVICE, "gateway: expected 1 to 64 of the characters"),
        (TOP.replace("gw-1", "_") + DEVICE, "gateway: expected a name other than"),
        (TOP.replace('"lab"', "7") + DEVICE, "fleet: expected a text in quotes, got 7"),
        (TOP.replace('"sine"', '"cosine"') + DEVICE, "network: expected one of characters"),
        (TOP.replace('"sine"', '"no.toml"') + DEVICE, "no.toml: expected a TOML file"),
        (TOP + '[broker]\nport = "1883"\n' + DEVICE, "broker: port: expected a whole number"),
        (TOP + "[broker]\nport = 0\n" + DEVICE, "broker: port: expected a whole number of 1 to"),
        (TOP + "[broker]\nport = true\n" + DEVICE, "port: expected a whole number"),
        (TOP + '[broker]\nca = "ca.crt"\n' + DEVICE, "broker: ca: expected a file, got"),
        (TOP + '[status]\nlisten = "nowhere"\n' + DEVICE, "listen: expected an address such as"),
        (TOP + "status = 1\n" + DEVICE, "status: expected a table"),
        (TOP + DEVICE + DEVICE, "[[device]] 2: number: expected one that no other"),
        (TOP + DEVICE.replace("= 0", "= -1"), "number: expected a whole number of 0 to"),
        (TOP + DEVICE.replace("simulated", "virtual"), "kind: expected one of emulated, serial"),
        (TOP + DEVICE.replace('{ kind = "sine" }', "7"), "source: expected a table with a kind"),
        (TOP + DEVICE + "numbers = [1, 2]", "either number = 0 or numbers = [6, 15], got both"),
        (TOP + DEVICE.replace("number = 0", ""), "got neither"),
        (TOP + DEVICE.replace("number = 0", "numbers = [3, 1]"), "first and the last number"),
        (TOP + DEVICE + 'port = "/dev/x"', "port: expected only where kind is serial"),
        (TOP + DEVICE + 'engine = "qemu"', "engine: expected only where kind is emulated"),
        (TOP + DEVICE.replace("simulated", "serial"), "port: expected the path of a serial port"),
        (TOP + DEVICE.replace("number = 0", "numbers = [0, 20000]"), "at most 10000 devices"),
        ("fleet = ", "expected TOML in UTF-8"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_field(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError) as refused:
        read_gateway(path)

    assert told in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path))
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a readable TOML file, got No such file"):
        read_gateway(tmp_path / "gateway.toml")


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666])
def test_a_password_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "secret").write_text("open sesame\n")
    (tmp_path / "secret").chmod(mode)
    path = tmp_path / "broker.toml"
    path.write_text('[broker]\nusername = "gw-1"\npassword-file = "secret"\n')

    with pytest.raises(ConfigError, match="password-file: expected a file that others cannot read"):
        read_broker(path)


@pytest.mark.parametrize("content", ["", "\n", "two\nlines\n"])
def test_a_password_file_holds_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_text(content)
    (tmp_path / "secret").chmod(0o600)
    path = tmp_path / "broker.toml"
    path.write_text('[broker]\nusername = "gw-1"\npassword-file = "secret"\n')

    with pytest.raises(ConfigError, match="expected the password alone on one line"):
        read_broker(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('password-file = "f"', "username: expected a value because password-file has one"),
        ('key = "f"\nca = "f"', "certificate: expected a value because key has one"),
        ('certificate = "f"\nkey = "f"', "ca: expected a value because certificate has one"),
    ],
)
def test_half_an_identity_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "f").write_text("x\n")
    (tmp_path / "f").chmod(0o600)
    (tmp_path / "broker.toml").write_text("[broker]\n" + text)

    with pytest.raises(ConfigError, match=told):
        read_broker(tmp_path / "broker.toml")


def told_keys(heading: str) -> dict[str, str]:
    """Return key and default of each row of the page's table under a heading."""
    section = PAGE.read_text("utf-8").partition(f"### {heading}\n")[2].partition("\n#")[0]
    table = section.strip().partition("\n\n")[0]  # the first
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {cells[0].strip("`"): cells[1].strip() for cells in rows[2:]}


@pytest.mark.parametrize(("heading", "table"), TABLES.items())
def test_the_page_lists_every_key_with_its_default(heading: str, table: type) -> None:
    told = told_keys(heading)

    assert sorted(told) == sorted(key_of(f.name) for f in fields(table))
    for f in fields(table):
        if f.default is MISSING:
            assert told[key_of(f.name)] == "required", f.name
        elif isinstance(f.default, int | str | Path):
            assert told[key_of(f.name)].strip('`"') == str(f.default), f.name
