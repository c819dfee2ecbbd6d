"""Whether a gateway's configuration works: the broker answers, and every device says hello."""

import time
from dataclasses import dataclass

from tinyfleet.client.attach import attach
from tinyfleet.client.gateway import Gateway
from tinyfleet.client.presence import room
from tinyfleet.client.sources import Sensor, Tasks, open_source
from tinyfleet.client.tables import DeviceTable
from tinyfleet.errors import BrokerError, FleetError
from tinyfleet.session import Session

BROKER_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: what it is.
        well: whether it is as it should be.
        text: what was found, one line.
    """

    what: str
    well: bool
    text: str


def check_gateway(gateway: Gateway) -> list[Finding]:
    """Look at network, broker, sources and devices, and change nothing.

    A broker is asked under a name of its own, so that a running daemon keeps its connection.
    """
    network = gateway.network
    text = f"{network.name}, {network.parameters} parameters"
    findings = [Finding("network", True, text), _check_broker(gateway), *_check_account(gateway)]
    for at, table in enumerate(gateway.devices, 1):
        findings += _check_devices(gateway, table, f"[[device]] {at}")
    return findings


def _check_broker(gateway: Gateway) -> Finding:
    name = f"tinyfleet-{gateway.fleet}-{gateway.gateway}-check"
    session = Session(gateway.broker, name, clean=True)
    try:
        began = time.monotonic()
        session.start(BROKER_SECONDS)
        took = time.monotonic() - began
    except BrokerError as error:
        return Finding("broker", False, str(error))
    session.close()
    return Finding("broker", True, f"{gateway.broker} answers within {1000 * took:.0f} ms")


def _check_account(gateway: Gateway) -> list[Finding]:
    """A broker with access rules answers whoever has an account, and drops what is not theirs."""
    account = gateway.broker.username
    if account is None:
        return []
    if account == gateway.gateway:
        return [Finding("account", True, f"{account}, as the gateway")]
    text = (
        f"broker.username: expected {gateway.gateway}, as the gateway, got {account}; a broker of "
        "`tinyfleet broker config` drops what an account says for another gateway: give both one "
        "name"
    )
    return [Finding("account", False, text)]


def _check_devices(gateway: Gateway, table: DeviceTable, place: str) -> list[Finding]:
    try:
        source = open_source(table.source, gateway.network, f"{place}: source")
        if not isinstance(source, Sensor):
            source(table.members[0], 1)
    except FleetError as error:
        return [Finding(place, False, str(error))]
    members = table.members if table.is_board else table.members[:1]
    return [_check_device(gateway, table, number, source) for number in members]


def _check_device(
    gateway: Gateway, table: DeviceTable, number: int, source: Tasks | Sensor
) -> Finding:
    what = f"device {number}"
    if not table.is_board and len(table.members) > 1:
        what = f"devices {table.members[0]}..{table.members[-1]}"
    try:
        attached = attach(table, number, gateway.network, source)()
    except FleetError as error:
        return Finding(what, False, str(error))
    attached.close()
    facts = attached.facts
    text = f"{table.kind}, {facts.board}, {facts.software}"
    if not facts.arena:
        return Finding(what, True, text)
    fits, told = room(facts, gateway.network)
    return Finding(what, fits, f"{text}, {facts.ram} bytes RAM; {told}")
