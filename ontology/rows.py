"""The rows of a SELECT, as many and for as long as asked."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import cast

from rdflib.query import Result
from rdflib.term import Node

from tinyfleet.errors import QueryError
from tinyfleet.ontology.store import Store
from tinyfleet.ontology.tokens import tokens

Row = tuple[Node | None, ...]

MOST_LIMIT = 2**31
"""The highest LIMIT that is worth writing."""


@dataclass(frozen=True)
class Rows:
    """What a SELECT found.

    Attributes:
        variables: names without question marks.
        rows: a term or None for each variable.
        more: whether there were more than were asked for.
    """

    variables: tuple[str, ...]
    rows: tuple[Row, ...]
    more: bool = False


def select(store: Store, text: str, limit: int, timeout: float) -> Rows:
    """Return what a SELECT finds.

    Args:
        store: what is asked.
        text: the query.
        limit: rows at most.
        timeout: seconds after which no further row is read.

    Raises:
        QueryError: the query is malformed or no SELECT, or takes too long.
    """
    ends = monotonic() + timeout
    result = store.query(limited(text, limit + 1))
    if result.vars is None:
        raise QueryError("expected a SELECT, got a query of another form")
    rows: list[Row] = []
    for row in rows_of(result):
        if monotonic() > ends:
            raise QueryError(f"expected an answer within {timeout:g} s, got {len(rows)} rows")
        rows.append(row)
    names = tuple(str(name) for name in result.vars)
    return Rows(names, tuple(rows[:limit]), len(rows) > limit)


def rows_of(result: Result) -> Iterator[Row]:
    """Yield the rows of a SELECT's result as they are read.

    Raises:
        QueryError: the disk cannot be read, or another process took a file away.
    """
    try:
        for row in result:
            yield tuple(cast("Iterable[Node | None]", row))
    except (OSError, RuntimeError) as error:
        told = " ".join(str(error).split())[:300]
        raise QueryError(f"the graph's store: expected it to answer, got {told}") from None


def limited(text: str, limit: int) -> str:
    """Return a SELECT with a LIMIT, unless it has its own: the store then sorts no more than that.

    >>> limited("SELECT ?a { ?a ?b 1 }", 7)
    'SELECT ?a { ?a ?b 1 }\\nLIMIT 7'
    """
    if limit > MOST_LIMIT:
        return text
    for token in reversed(tokens(text)):
        if token.text == "}":
            return f"{text}\nLIMIT {limit}"
        if token.says("LIMIT"):
            return text
    return text
