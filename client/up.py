"""What belongs together on a gateway: the daemon, and Flower's SuperNode."""

import json
import math
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyfleet.address import answers, is_local, join, listening_port, split
from tinyfleet.children import Children
from tinyfleet.client.gateway import Gateway, read_gateway
from tinyfleet.client.reach import broker_fault, daemon_answers, superlink_fault
from tinyfleet.errors import ConfigError

_HERE = "127.0.0.1"
_LOOK_SECONDS = 2.0  # between two looks whether something is reached


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


def up(node: Node, tell: Callable[[Running], None], say: Callable[[str], None]) -> None:
    """Run daemon and SuperNode until we are asked to stop; then stop them in order.

    Args:
        node: what to run.
        tell: called once both run. They may still be looking for broker and SuperLink.
        say: called with a line for each of these two that is not reached at first, and for each
            once it is.

    Raises:
        ConfigError: the gateway's file, an address or the `ca` cannot be used, or another command
            uses the gateway's folder.
        FleetError: one of them has ended.
    """
    gateway = read_gateway(node.config)
    config, supernode = _node_config(node, gateway), _supernode(node)
    superlink = (*split(node.superlink, "--superlink"), _trust(node, supernode))
    folder = gateway.folder.resolve()
    with Children(folder, "tinyfleet client up") as children:
        children.start(
            "daemon", ["tinyfleet", "client", "run", "--config", str(node.config.resolve())]
        )
        if not children.wait_until("daemon", lambda: daemon_answers(gateway)):
            return
        port = listening_port(_HERE)
        children.start(
            "supernode",
            [*supernode, "--host", _HERE, "--port", str(port), "--node-config", config],
            {"FLWR_HOME": str(folder / "flower")},
        )
        health = f"http://{join(_HERE, port)}/health"
        if not children.wait_until("supernode", lambda: answers(health)):
            return
        tell(Running(gateway, _count(gateway), node.superlink, folder))
        all_reached = _looks(
            {
                f"broker {gateway.broker}": lambda: broker_fault(gateway),
                f"superlink {node.superlink}": lambda: superlink_fault(*superlink),
            },
            say,
        )
        if children.wait_until("gateway", all_reached, seconds=math.inf, every=_LOOK_SECONDS):
            children.supervise()


def _looks(
    faults: Mapping[str, Callable[[], str | None]], say: Callable[[str], None]
) -> Callable[[], bool]:
    """Return what looks whether everything is reached, and says it of each when that changes.

    Args:
        faults: what tells why something is not reached, None when it is, by what it is called.
        say: called with a line.
    """
    missing, told = dict(faults), set[str]()

    def look() -> bool:
        for name, fault in [*missing.items()]:
            why = fault()
            if why is None:
                del missing[name]
                say(f"{name}: reached")
            elif name not in told:
                told.add(name)
                say(f"{name}: not reached ({why}); keeps trying")
        return not missing

    return look


def _supernode(node: Node) -> list[str]:
    host, _ = split(node.superlink, "--superlink")
    proof = []
    if node.ca is not None:
        proof = ["--root-certificates", str(node.ca)]
    elif is_local(host):
        proof = ["--insecure"]
    return ["flower-supernode", "--superlink", node.superlink, *proof, *node.more]


def _trust(node: Node, supernode: Sequence[str]) -> ssl.SSLContext | None:
    """Return who may vouch for the SuperLink; None when `supernode` is started without TLS."""
    if node.ca is not None and not node.ca.is_file():
        raise ConfigError(f"--ca: expected a file, got {node.ca}")
    if "--insecure" in supernode:
        return None
    try:
        return ssl.create_default_context(cafile=node.ca)
    except OSError as error:
        raise ConfigError(
            f"--ca: expected certificates in PEM, got {node.ca} ({error.strerror or error})"
        ) from None


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
