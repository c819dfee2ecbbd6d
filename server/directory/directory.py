"""What all routes of a directory share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.server.directory.access import Access
from tinyfleet.server.directory.events import Events, Kind
from tinyfleet.server.directory.registry import Registry
from tinyfleet.server.directory.threads import Threads


@dataclass(frozen=True)
class Limits:
    """How much one request may take.

    Attributes:
        rows: that a query may answer.
        seconds: that a search may run.
        page: descriptions on one page of the list.
        purge: seconds between looks for what has expired.
    """

    rows: int = 10_000
    seconds: float = 10.0
    page: int = 1000
    purge: float = 10.0


@dataclass(frozen=True)
class Directory:
    """A directory: its graph, and what stands around it.

    Attributes:
        graph: what it serves; nobody else writes to it.
        access: who may do what.
        writable: whether `/sparql` takes updates.
        limits: of one request.
    """

    graph: FleetGraph
    access: Access = field(default_factory=Access)
    writable: bool = False
    limits: Limits = field(default_factory=Limits)
    threads: Threads = field(default_factory=Threads)
    events: Events = field(default_factory=Events)
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "registry", Registry(self.graph, self._announce))

    def _announce(self, kind: Kind, thing: str, change: Mapping[str, Any]) -> None:
        self.threads.tell(lambda: self.events.publish(kind, thing, change))
