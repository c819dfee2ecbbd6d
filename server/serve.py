"""What belongs together on the server's machine: a broker and Flower's SuperLink."""

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

    Raises:
        ConfigError: other machines would reach the SuperLink without TLS.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    certificates: Certificates | None = None
    broker_port: int | None = 1883
    embedded: bool | None = None
    more: Sequence[str] = ()

    def __post_init__(self) -> None:
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
    """

    superlink: str
    everywhere: bool
    ca: Path | None
    broker: RunningBroker | None
    flower: Path


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
            tell(Running(address, server.host in WILDCARDS, ca, broker, flower))
            children.supervise()


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
