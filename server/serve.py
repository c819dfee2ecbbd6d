"""What belongs together on the server's machine: a broker, Flower's SuperLink, the graph."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tinyfleet.address import answers, is_local, join, listening_port
from tinyfleet.atomic import write_atomically
from tinyfleet.children import Child, Children
from tinyfleet.errors import ConfigError
from tinyfleet.server.broker import RunningBroker, running_broker

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104
"""Hosts that stand for all addresses of this machine."""


@dataclass(frozen=True)
class Certificates:
    """Files in PEM with which the SuperLink proves who it is.

    Attributes:
        ca: who vouches for it.
        certificate: its own. It must hold for 127.0.0.1 as well, where the apps reach it.
        key: the certificate's private key.
    """

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Server:
    """What to run.

    Attributes:
        folder: for Flower's files, the broker's, and logs.
        host: address on which the SuperLink listens.
        port: its port; 0 for a free one.
        certificates: turn TLS on.
        broker_port: port of a broker for this machine; 0 for a free one, None for no broker.
        embedded: whether the broker is the embedded one; None takes the better one that is there.
        more: further options of `flower-superlink`.
        graph: directory of the fleet's graph, which takes in what devices say of themselves at the
            broker; None for no graph.
        graph_port: port of 127.0.0.1 at which the graph is asked; 0 for a free one.
        fleet: name of the fleet at the broker.

    Raises:
        ConfigError: other machines would reach the SuperLink without TLS, or there is a graph and
            no broker.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    certificates: Certificates | None = None
    broker_port: int | None = 1883
    embedded: bool | None = None
    more: Sequence[str] = ()
    graph: Path | None = None
    graph_port: int = 8090
    fleet: str = "fleet"

    def __post_init__(self) -> None:
        if self.graph is not None and self.broker_port is None:
            raise ConfigError(
                "--graph: expected a broker, where devices say what they are, got --no-broker; "
                "run tinyfleet directory serve --broker beside a broker elsewhere"
            )
        if self.certificates is None and not is_local(self.host):
            raise ConfigError(
                f"--host: expected --certificate, --key and --ca with {self.host}, which other "
                "machines may reach, got none; make them, or listen on 127.0.0.1"
            )


@dataclass(frozen=True)
class Running:
    """What runs.

    Attributes:
        superlink: the SuperLink's address, `host:port`, on this machine.
        everywhere: whether other machines reach it by whatever names this one has.
        ca: file of the certificates that vouch for it; None without TLS.
        broker: the broker, if there is one.
        flower: the FLWR_HOME with which `flwr run` finds the SuperLink.
        graph: address of the fleet's graph, if there is one.
    """

    superlink: str
    everywhere: bool
    ca: Path | None
    broker: RunningBroker | None
    flower: Path
    graph: str | None = None


def serve(server: Server, tell: Callable[[Running], None]) -> None:
    """Run broker and SuperLink until we are asked to stop; then stop them in order.

    Args:
        server: what to run.
        tell: called once both take connections.

    Raises:
        ConfigError: another command uses the folder, or the address cannot be listened on.
        BrokerError: the broker cannot be started.
        FleetError: one of them has ended.
    """
    folder = server.folder.absolute()
    flower = folder / "flower"
    with Children(folder, "tinyfleet serve") as children, _broker(server, children) as broker:
        port = listening_port(server.host, server.port)
        address, ca = join(server.host, port), None
        if server.certificates is not None:
            ca = server.certificates.ca.absolute()
        flower.mkdir(parents=True, exist_ok=True)
        write_atomically(flower / "config.toml", _connection(address, ca))
        children.start("superlink", _superlink(server, port), {"FLWR_HOME": str(flower)})
        url = f"{'https' if ca else 'http'}://{address}/health"
        if children.wait_until("superlink", lambda: answers(url, ca)):
            graph = _graph(server, children, broker)
            tell(Running(address, server.host in WILDCARDS, ca, broker, flower, graph))
            children.supervise()


def _graph(server: Server, children: Children, broker: RunningBroker | None) -> str | None:
    """Serve the graph, and return its address; None where there is none."""
    if server.graph is None or broker is None:
        return None
    address = join("127.0.0.1", listening_port("127.0.0.1", server.graph_port))
    heard = f"mqtt://{join(broker.host, broker.port)}"
    command = ["tinyfleet", "directory", "serve", "--graph", str(server.graph.absolute())]
    command += ["--listen", address, "--writable", "--broker", heard, "--fleet", server.fleet]
    children.start("directory", command)
    children.wait_until("directory", lambda: answers(f"http://{address}/.well-known/wot"))
    return f"http://{address}/sparql"


@contextmanager
def _broker(server: Server, children: Children) -> Iterator[RunningBroker | None]:
    if server.broker_port is None:
        yield None
        return
    folder, port = server.folder.absolute() / "broker", server.broker_port or None
    with running_broker(folder, port=port, embedded=server.embedded) as broker:
        children.watch(Child("broker", broker.process, broker.log))
        yield broker


def _superlink(server: Server, port: int) -> list[str]:
    own = server.certificates
    proof = ["--insecure"]
    if own is not None:
        proof = [
            "--ssl-ca-certfile",
            str(own.ca),
            "--ssl-certfile",
            str(own.certificate),
            "--ssl-keyfile",
            str(own.key),
        ]
    return [
        "flower-superlink",
        *("--host", server.host, "--port", str(port)),
        # The app's code is this installation's, so there is nothing to fetch for a run.
        "--disable-runtime-dependency-installation",
        *proof,
        *server.more,
    ]


def _connection(address: str, ca: Path | None) -> str:
    """Return the file in which `flwr run` looks up its SuperLink."""
    proof = f"root-certificates = {json.dumps(str(ca))}" if ca else "insecure = true"
    return (
        '[superlink]\ndefault = "tinyfleet"\n\n[superlink.tinyfleet]\n'
        f"address = {json.dumps(address)}\n{proof}\n"
    )
