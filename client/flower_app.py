"""The client app of a gateway: one message in, all of its devices asked, their mean out.

It speaks to the gateway's daemon over the broker, as server of this one gateway. Where that is
stands in what the SuperNode was started with:

    --node-config 'fleet="lab" gateway="gw-1" broker="127.0.0.1:1883" devices=13'

`devices` is how many to wait for; without it, one. A broker that asks for an account takes
`account="server/broker.toml"` in the place of `broker`. `tinyfleet client up` says all this.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flwr.app import Context

from tinyfleet.address import split
from tinyfleet.broker import Broker
from tinyfleet.client.app import client_app
from tinyfleet.client.gateway import read_broker
from tinyfleet.description import network_from_toml
from tinyfleet.errors import BrokerError, ConfigError
from tinyfleet.fleet import Fleet
from tinyfleet.mqtt_fleet import MqttFleet

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
    with MqttFleet(
        _broker(node),
        _text(node, "node-config", "fleet"),
        network,
        run=str(context.run_id),
        gateway=_text(node, "node-config", "gateway"),
    ) as fleet:
        try:
            fleet.wait_for(_devices(node), FIND_SECONDS)
        except BrokerError as error:  # the round is for those who are there
            _log.warning("%s", error)
        yield fleet


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
