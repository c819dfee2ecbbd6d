"""The client app of a gateway: one message in, all of its devices asked, their mean out.

It speaks to the gateway's daemon over the broker, as server of this one gateway. Where that is
stands in what the SuperNode was started with:

    --node-config 'fleet="lab" gateway="gw-1" broker="127.0.0.1:1883" devices=13'

`devices` is how many to wait for; without it, one. A broker that asks for an account takes
`account="server/broker.toml"` in the place of `broker`. `tinyfleet client up` says all this.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from flwr.app import Context

from tinyfleet.address import split
from tinyfleet.broker import Broker
from tinyfleet.client.app import client_app
from tinyfleet.client.gateway import read_broker
from tinyfleet.description import network_from_toml
from tinyfleet.errors import BrokerError, ConfigError, WireError
from tinyfleet.fleet import Fleet
from tinyfleet.messages import Assignment, Update
from tinyfleet.mqtt_fleet import MqttFleet
from tinyfleet.network import Network
from tinyfleet.open_round import Reason

FIND_SECONDS = 10.0
"""How long a round waits for devices that are not there, before it asks those that are."""

_log = logging.getLogger("flwr")


@contextmanager
def open_fleet(context: Context, config: Mapping[str, Any]) -> Iterator[Fleet]:
    """Open the devices of this SuperNode's gateway.

    Args:
        context: of the run, with the SuperNode's configuration.
        config: of the message; its "network" describes what is trained.

    Raises:
        ConfigError: something is missing in either.
        NetworkError: the network cannot be read.
        BrokerError: the broker cannot be reached.
    """
    node = context.node_config
    network = network_from_toml(_text(config, "config", "network"), "config.network")
    gateway = _text(node, "node-config", "gateway")
    with MqttFleet(
        _broker(node),
        _text(node, "node-config", "fleet"),
        network,
        run=str(context.run_id),
        gateway=gateway,
    ) as fleet:
        try:
            fleet.wait_for(_devices(node), FIND_SECONDS)
        except BrokerError as error:  # the round is for those who are there
            _log.warning("%s", error)
        yield _OneRound(fleet, gateway, network)


class _OneRound:
    """The devices of a gateway for one round: when all that answer refuse, that is an error."""

    def __init__(self, fleet: MqttFleet, gateway: str, network: Network) -> None:
        self._fleet, self._gateway, self._network = fleet, gateway, network

    @property
    def devices(self) -> Sequence[int]:
        return self._fleet.devices

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        answered = 0
        for update in self._fleet.run(assignments, timeout):
            answered += 1
            yield update
        refused = self._fleet.counts.get(Reason.BY_GATEWAY, 0)
        if not refused:
            return
        told = (
            f"gateway {self._gateway}: expected {len(assignments)} devices to train network "
            f"{self._network.name}, {refused} refused; the gateway's daemon.log says why"
        )
        if not answered:
            raise WireError(told)
        _log.warning("%s", told)


app = client_app(open_fleet)


def _broker(node: Mapping[str, Any]) -> Broker:
    if "account" in node:
        return read_broker(_text(node, "node-config", "account"))
    return Broker(*split(_text(node, "node-config", "broker"), "node-config.broker"))


def _devices(node: Mapping[str, Any]) -> int:
    value = node.get("devices", 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"node-config.devices: expected a whole number above 0, got {value!r}")
    return value


def _text(values: Mapping[str, Any], place: str, name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{place}.{name}: expected a text, got {value!r}")
    return value
