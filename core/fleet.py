"""The seam between the server and its devices, simulated or real."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from tinyfleet.messages import Assignment, Update


class Fleet(Protocol):
    """Devices that learn when asked.

    A fleet may hold a million devices, so updates come as a stream, in the order of the
    assignments, and no more of them exist at a time than the fleet's own chunk.
    """

    @property
    def devices(self) -> Sequence[int]:
        """The devices that can be asked now, ascending."""
        ...

    def run(
        self, assignments: Mapping[int, Assignment], timeout: float | None = None
    ) -> Iterator[Update]:
        """Ask each device and yield what comes back within `timeout` seconds.

        A device that stays silent is an absent update, never an exception.
        """
        ...
