"""The names to choose from, for the line that says a name was wrong."""

import difflib
from collections.abc import Iterable
from typing import Final

_MOST: Final = 10
_NEAREST: Final = 3


def offered(wanted: str, known: Iterable[str]) -> str:
    """Return the known names that are nearest to `wanted`, or the first, and how many more.

    >>> offered("walc", ["walk", "run", "hum"])
    'walk and 2 more'
    >>> offered("x", ["walk", "run", "hum"])
    'hum, run, walk'
    """
    names = sorted(set(known))
    told = difflib.get_close_matches(wanted, names, n=_NEAREST) or names[:_MOST]
    more = len(names) - len(told)
    return (", ".join(told) or "none") + (f" and {more:,} more" if more else "")
