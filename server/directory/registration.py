"""Registration information: when a description came, changed, and ceases to hold (W3C WoT
Discovery, section 7.3.1), and how it is woven into the description that is given out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from tinyfleet.server.directory.problem import RequestError

CONTEXT = "https://www.w3.org/2022/wot/discovery"
MEMBER = "registration"

_LONGEST = 100 * 365 * 86_400.0  # seconds; a century is for ever
_OURS = "https://www.w3.org/"


@dataclass(frozen=True)
class Registration:
    """What the directory knows of a description's stay.

    Attributes:
        created: when it came.
        modified: when it was last changed.
        expires: when it is purged; None for never.
        ttl: seconds that it holds from its last change on; None where `expires` is absolute.
    """

    created: datetime
    modified: datetime
    expires: datetime | None = None
    ttl: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the standard writes it."""
        said: dict[str, Any] = {
            "created": written(self.created),
            "modified": written(self.modified),
        }
        if self.expires is not None:
            said["expires"] = written(self.expires)
        if self.ttl is not None:
            said["ttl"] = int(self.ttl) if self.ttl.is_integer() else self.ttl
        return said


def expiry(given: Any, now: datetime) -> tuple[datetime | None, float | None]:
    """Return when a description expires that comes now, and its time to live in seconds.

    Args:
        given: its own member `registration`, of which `ttl` and `expires` count; `ttl` goes first.
        now: the time, with its zone.

    Raises:
        RequestError: an `expires` or a `ttl` that is none; each is named.
    """
    if given is None:
        return None, None
    if not isinstance(given, Mapping):
        raise _invalid([(MEMBER, f"expected an object, got {given!r:.80}")])
    errors = [*_instants(given), *_seconds(given)]
    if errors:
        raise _invalid(errors)
    if (ttl := given.get("ttl")) is not None:
        return now + timedelta(seconds=ttl), float(ttl)
    expires = given.get("expires")
    return None if expires is None else read_instant(expires), None


def enriched(
    thing: Mapping[str, Any], registration: Registration, retrieved: datetime | None = None
) -> dict[str, Any]:
    """Return the description with its registration, and the context that gives it meaning.

    Args:
        thing: as it was given; its own contexts stay in force.
        registration: of it.
        retrieved: when it is given out, where that is told.
    """
    said = registration.to_json()
    if retrieved is not None:
        said["retrieved"] = written(retrieved)
    return {**thing, "@context": _with_discovery(thing.get("@context", [])), MEMBER: said}


def _with_discovery(context: Any) -> list[Any]:
    contexts = list(context) if isinstance(context, list | tuple) else [context]
    if CONTEXT in contexts:
        return contexts
    # behind the standard's contexts and before the description's own, which so keep the last word
    place = 0
    while place < len(contexts) and str(contexts[place]).startswith(_OURS):
        place += 1
    return [*contexts[:place], CONTEXT, *contexts[place:]]


def written(instant: datetime) -> str:
    """Return a time as RFC 3339 writes it.

    >>> written(datetime(2026, 3, 1, 12, 0, 0, 5000, UTC))
    '2026-03-01T12:00:00.005000Z'
    """
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_instant(text: str) -> datetime:
    """Return the time that `text` gives; without a zone it is UTC.

    Raises:
        ValueError: it is none.
    """
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def _instants(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    errors = []
    for name in ("created", "modified", "expires", "retrieved"):
        text = given.get(name)
        if text is None:
            continue
        try:
            if "T" not in text.upper():
                raise ValueError(text)
            read_instant(text)
        except (AttributeError, OverflowError, ValueError):
            errors.append(
                (f"{MEMBER}.{name}", f"expected a time such as 2026-03-01T12:00:00Z, got {text!r}")
            )
    return errors


def _seconds(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    ttl = given.get("ttl")
    number = isinstance(ttl, int | float) and not isinstance(ttl, bool)
    if ttl is None or (number and 0 < ttl <= _LONGEST):
        return []
    return [(f"{MEMBER}.ttl", f"expected seconds, above 0 and up to a century, got {ttl!r:.80}")]


def _invalid(errors: list[tuple[str, str]]) -> RequestError:
    detail = f"the description was not accepted: {errors[0][0]}: {errors[0][1]}"
    return RequestError(HTTPStatus.BAD_REQUEST, detail, errors)
