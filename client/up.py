"""What belongs together on a gateway: the daemon, and Flower's SuperNode."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyfleet.address import answers, is_local, join, listening_port, split
from tinyfleet.children import Children
from tinyfleet.client.gateway import Gateway, read_gateway
from tinyfleet.errors import ConfigError

_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Node:
    """What to run.

    Attributes:
        config: the gateway's TOML file.
        superlink: address of the SuperLink, `host:port`.
        ca: file of the certificates that may vouch for the SuperLink; without it those of the
            system, and for a SuperLink on this machine no TLS.
        account: TOML file whose `[broker]` table is the server's account, with which the app
            speaks; None where the broker asks nobody who they are.
        more: further options of `flower-supernode`.
    """

    config: Path
    superlink: str
    ca: Path | None = None
    account: Path | None = None
    more: Sequence[str] = ()


@dataclass(frozen=True)
class Running:
    """What runs.

    Attributes:
        gateway: the gateway as its file describes it.
        devices: how many devices it has.
        superlink: the address at which the SuperNode looks for the SuperLink.
        logs: where daemon and SuperNode say what they do.
    """

    gateway: Gateway
    devices: int
    superlink: str
    logs: Path


def up(node: Node, tell: Callable[[Running], None]) -> None:
    """Run daemon and SuperNode until we are asked to stop; then stop them in order.

    Args:
        node: what to run.
        tell: called once both run. The SuperNode may still be looking for its SuperLink.

    Raises:
        ConfigError: the gateway's file or an address cannot be used.
        FleetError: one of them has ended.
    """
    gateway = read_gateway(node.config)
    config, supernode = _node_config(node, gateway), _supernode(node)
    folder = gateway.folder.resolve()
    with Children(folder) as children:
        children.start(
            "daemon", ["tinyfleet", "client", "run", "--config", str(node.config.resolve())]
        )
        if not children.wait_until("daemon", _healthy(gateway)):
            return
        port = listening_port(_HERE)
        children.start(
            "supernode",
            [*supernode, "--host", _HERE, "--port", str(port), "--node-config", config],
            {"FLWR_HOME": str(folder / "flower")},
        )
        health = f"http://{join(_HERE, port)}/health"
        if children.wait_until("supernode", lambda: answers(health)):
            tell(Running(gateway, _count(gateway), node.superlink, folder))
            children.supervise()


def _healthy(gateway: Gateway) -> Callable[[], bool]:
    """Return what asks the daemon how it is, where its file says how to ask."""
    if gateway.listen is None or gateway.listen[1] == 0:
        return lambda: True
    url = f"http://{join(*gateway.listen)}/healthz"
    return lambda: answers(url)


def _supernode(node: Node) -> list[str]:
    host, _ = split(node.superlink, "--superlink")
    proof = []
    if node.ca is not None:
        proof = ["--root-certificates", str(node.ca)]
    elif is_local(host):
        proof = ["--insecure"]
    return ["flower-supernode", "--superlink", node.superlink, *proof, *node.more]


def _node_config(node: Node, gateway: Gateway) -> str:
    """Return what `tinyfleet.client.flower_app` reads, as `flower-supernode` takes it."""
    broker = gateway.broker
    values: dict[str, str | int] = {
        "fleet": gateway.fleet,
        "gateway": gateway.gateway,
        "devices": _count(gateway),
    }
    if node.account is not None:
        values["account"] = str(node.account.resolve())
    elif broker.username or broker.ca:
        raise ConfigError(
            f"--account: expected the server's account, for {gateway.path} has one of the "
            'gateway, got none; give the broker.toml of "server"'
        )
    else:
        values["broker"] = join(broker.host, broker.port)
    for name, value in values.items():
        if isinstance(value, str) and json.dumps(value, ensure_ascii=False) != f'"{value}"':
            raise ConfigError(f"{name}: expected a text without quotes, got {value!r}")
    return " ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in values.items())


def _count(gateway: Gateway) -> int:
    return sum(len(table.members) for table in gateway.devices)
