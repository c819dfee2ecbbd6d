"""What a daemon counts, as of one moment: for its status page, and for tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figures:
    """Counts since the start, unless it says "now".

    Attributes:
        fleet: name of the fleet.
        gateway: name of the gateway.
        session: the text that tells this start of the daemon from others.
        connected: whether the broker has the gateway, now.
        at: when this was written, seconds of the monotonic clock.
        devices: devices by state, now.
        orders: orders that were taken.
        updates: updates that devices made.
        refusals: orders that were refused, by cause.
        acknowledged: answers that the server acknowledged, by status.
        malformed: messages that meant nothing.
        resent: answers that were published again.
        asked: orders being followed, now.
        unacknowledged: answers that nobody has acknowledged, now.
        outbox_bytes: bytes of both, now.
        disconnections: times that the broker was lost or did not take the gateway.
        bytes_received: payload bytes that came.
        bytes_sent: payload bytes that were published.
        link_retries: requests that were repeated to boards.
        link_dropped: malformed frames that came from boards.
    """

    fleet: str
    gateway: str
    session: str
    connected: bool = False
    at: float = 0.0
    devices: Mapping[str, int] = field(default_factory=dict)
    orders: int = 0
    updates: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    acknowledged: Mapping[str, int] = field(default_factory=dict)
    malformed: int = 0
    resent: int = 0
    asked: int = 0
    unacknowledged: int = 0
    outbox_bytes: int = 0
    disconnections: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    link_retries: int = 0
    link_dropped: int = 0
