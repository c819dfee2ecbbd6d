"""Topics between gateways and server: `tinyfleet/1/<fleet>/<gateway>/<device>/<topic>`."""

import re
from dataclasses import dataclass

from tinyfleet.errors import WireError

SERVER = "_"
"""Stands where a gateway's name would, for the server itself."""

GATEWAY = "_"
"""Stands where a device's name would, for the gateway itself."""

NAMES = ("birth", "death", "state", "model", "assignment", "update", "refusal", "ack", "log")
"""What the last part of a topic may be."""

MOST_DEVICE = 2**31 - 1
"""The highest number of a device."""

_PREFIX = "tinyfleet/1/"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


@dataclass(frozen=True)
class Topic:
    """Where a message goes, or came from.

    Attributes:
        fleet: name of the fleet.
        gateway: name of the gateway, `SERVER` for the server.
        device: a device's number in decimal, `GATEWAY` for the gateway itself.
        topic: what the message is, one of `NAMES`.

    Raises:
        WireError: a name has other characters or another length, or the topic is unknown.

    >>> str(Topic("lab", "gw-1", "7", "birth"))
    'tinyfleet/1/lab/gw-1/7/birth'
    >>> Topic.parse("tinyfleet/1/lab/gw-1/7/birth").number
    7
    """

    fleet: str
    gateway: str
    device: str
    topic: str

    def __post_init__(self) -> None:
        for field, name in (
            ("fleet", self.fleet),
            ("gateway", self.gateway),
            ("device", self.device),
        ):
            check_name(f"topic.{field}", name)
        if self.topic not in NAMES:
            raise WireError(
                f"topic.topic: expected one of {', '.join(NAMES)}, got {self.topic!r:.80}"
            )

    @classmethod
    def parse(cls, text: str) -> "Topic":
        """Return the topic that `text` spells, or raise `WireError`."""
        parts = text.removeprefix(_PREFIX).split("/")
        if not text.startswith(_PREFIX) or len(parts) != 4:
            raise WireError(
                f"topic: expected {_PREFIX}<fleet>/<gateway>/<device>/<topic>, got {text!r:.120}"
            )
        return cls(*parts)

    @property
    def number(self) -> int:
        """The device's number; `WireError` where the device is no number."""
        if not _NUMBER.fullmatch(self.device) or int(self.device) > MOST_DEVICE:
            raise WireError(
                f"topic.device: expected a number from 0 to {MOST_DEVICE}, got {self.device!r:.80}"
            )
        return int(self.device)

    def __str__(self) -> str:
        return f"{_PREFIX}{self.fleet}/{self.gateway}/{self.device}/{self.topic}"


def topic_filter(fleet: str, gateway: str = "+", device: str = "+", topic: str = "+") -> str:
    """Return a filter to subscribe to; "+" stands for any name.

    >>> topic_filter("lab", "gw-1", topic="assignment")
    'tinyfleet/1/lab/gw-1/+/assignment'
    """
    return f"{_PREFIX}{fleet}/{gateway}/{device}/{topic}"


def check_name(field: str, name: str) -> str:
    """Return `name` when a topic can hold it; else raise `WireError` that starts with `field`."""
    if not _NAME.fullmatch(name):
        raise WireError(
            f"{field}: expected 1 to 64 letters, digits, dots, dashes or underscores, "
            f"got {name!r:.80}"
        )
    return name
