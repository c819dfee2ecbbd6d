"""A directory, served over HTTP until it is asked to stop."""

import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from tinyfleet.address import is_local, join
from tinyfleet.broker import Broker
from tinyfleet.errors import ConfigError
from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.server.births import Births
from tinyfleet.server.directory.access import Access
from tinyfleet.server.directory.app import directory_app
from tinyfleet.server.directory.directory import Directory
from tinyfleet.server.directory.threads import Threads

STOP_SECONDS = 5
"""How long requests that run may take to end when the directory is asked to stop."""


@dataclass(frozen=True)
class Served:
    """What to serve, and how.

    Attributes:
        graph: directory of the graph, or address of a SPARQL endpoint.
        host: address to listen on.
        port: its port; 0 for a free one.
        token: what whoever writes must bear; None where anyone may write.
        anyone: whether other machines may write without a token.
        writable: whether `/sparql` takes updates.
        broker: where descriptions also come from; None for nowhere.
        fleet: name of the fleet there.

    Raises:
        ConfigError: other machines could write.
    """

    graph: Path | str
    host: str = "127.0.0.1"
    port: int = 8090
    token: str | None = None
    anyone: bool = False
    writable: bool = False
    broker: Broker | None = None
    fleet: str = "fleet"

    def __post_init__(self) -> None:
        if self.token is None and not self.anyone and not is_local(self.host):
            raise ConfigError(
                f"--listen: expected --token-file with {self.host}, which other machines may "
                "reach, got none; write a token into a file, listen on 127.0.0.1, or say "
                "--anyone-may-write"
            )

    @property
    def access(self) -> Access:
        """What is let in: where we listen on this machine alone, calls by its names."""
        local = ("127.0.0.1", "::1", "localhost", self.host) if is_local(self.host) else ()
        return Access(self.token, local)


def serve(served: Served, tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        served: what, and how.
        tell: is told the address, once it is listened on.

    Raises:
        ConfigError: the address cannot be listened on.
        QueryError: the graph cannot be opened.
        BrokerError: the broker cannot be reached.
    """
    logging.basicConfig(level=logging.WARNING, format="tinyfleet: %(message)s")
    with (
        FleetGraph.open(served.graph) as graph,
        closing(Threads()) as threads,
        _listening(served.host, served.port) as listening,
    ):
        directory = Directory(graph, served.access, served.writable, threads=threads)
        app = directory_app(directory)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        with _births(served, directory), _signals():
            tell(f"http://{join(served.host, listening.getsockname()[1])}")
            uvicorn.Server(config).run([listening])


def _births(served: Served, directory: Directory) -> AbstractContextManager[object]:
    if served.broker is None:
        return nullcontext()
    return Births(
        directory.graph,
        served.broker,
        served.fleet,
        register=directory.registry.take_in,
        write=directory.threads.write_and_wait,
    )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        why = str(error.strerror).partition(" (while")[0]
        raise ConfigError(
            f"--listen: expected an address of this machine and a free port, got {host}:{port} "
            f"({why}); listen on another, or on port 0"
        ) from None
    with listening:
        yield listening


@contextmanager
def _signals() -> Iterator[None]:
    """Let the server alone end by signals: afterwards it raises them again, here for nobody."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
