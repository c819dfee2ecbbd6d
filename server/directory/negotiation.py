"""Which of the formats on offer a client prefers (RFC 9110, section 12.5.1)."""

from collections.abc import Iterable, Sequence


def preferred(accept: Iterable[str], offered: Sequence[str]) -> str | None:
    """Return the media type of `offered` that the client likes best; None if it takes none.

    Args:
        accept: the values of its Accept headers; none at all means anything.
        offered: media types without parameters; among equals the first one wins.

    >>> preferred(["text/csv;q=0.5, application/*"], ["text/csv", "application/json"])
    'application/json'
    >>> preferred([], ["text/csv", "application/json"])
    'text/csv'
    """
    ranges = [_range(item) for value in accept for item in value.split(",") if item.strip()]
    if not ranges:
        return offered[0]
    quality = {media: _quality(media, ranges) for media in offered}
    best = max(offered, key=lambda media: quality[media])  # the first of equals
    return best if quality[best] > 0 else None


def _range(item: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in item.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = min(max(float(value), 0.0), 1.0)
            except ValueError:
                quality = 0.0
    return media, quality


def _quality(media: str, ranges: list[tuple[str, float]]) -> float:
    family = media.partition("/")[0]
    for pattern in (media, f"{family}/*", "*/*"):  # the most specific range decides
        said = [quality for accepted, quality in ranges if accepted == pattern]
        if said:
            return max(said)
    return 0.0
