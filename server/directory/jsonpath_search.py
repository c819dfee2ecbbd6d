"""Search by JSONPath (RFC 9535), in a process of its own, which ends when its time is over.

An expression may hold regular expressions and nested descents, that no thread can be stopped from
following; so a process does. It reads one JSON object {"query", "things", "rows"} from its standard
input and writes what it found to its standard output, as JSON, or why it refused.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tinyfleet.errors import QueryError

LONGEST = 2000
"""Characters of an expression."""

MOST_BYTES = 64 << 20
"""Bytes of an answer."""

_MEMORY = 2 << 30
_REFUSED = 3  # the exit status that says: the output is why


def search(query: str, things: Sequence[Mapping[str, Any]], rows: int, seconds: float) -> bytes:
    """Return what an expression finds in the list of descriptions: a JSON array.

    Raises:
        QueryError: it is malformed, takes too long, or finds too much.

    >>> search("$[?@.title=='lamp'].id", [{"id": "urn:1", "title": "lamp"}], 10, 5.0)
    b'["urn:1"]'
    """
    if len(query) > LONGEST:
        raise QueryError(f"query: expected at most {LONGEST:,} characters, got {len(query):,}")
    asked = json.dumps({"query": query, "things": things, "rows": rows})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "tinyfleet.server.directory.jsonpath_search"],
            input=asked.encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise QueryError(f"query: expected an answer within {seconds:g} s, got none") from None
    if done.returncode == _REFUSED:
        raise QueryError(f"query: {done.stdout.decode()}")
    if done.returncode:
        raise QueryError("query: expected an answer, got none: it takes too much memory")
    return done.stdout


def _found(query: str, things: Any, rows: int) -> str:
    from jsonpath import JSONPathEnvironment, JSONPathError

    told: list[str] = []
    size = 0
    try:
        for match in JSONPathEnvironment(strict=True).compile(query).finditer(things):
            told.append(json.dumps(match.obj, ensure_ascii=False))
            size += len(told[-1].encode())
            if len(told) > rows or size > MOST_BYTES:
                raise QueryError(
                    f"expected at most {rows:,} results and {MOST_BYTES:,} B, got more"
                )
    except (JSONPathError, RecursionError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise QueryError(f"expected JSONPath (RFC 9535), got {said}") from None
    return f"[{','.join(told)}]"


def _serve() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    asked = json.loads(sys.stdin.buffer.read())
    try:
        answer, status = _found(asked["query"], asked["things"], asked["rows"]), 0
    except QueryError as refusal:
        answer, status = str(refusal), _REFUSED
    sys.stdout.buffer.write(answer.encode())
    return status


if __name__ == "__main__":
    sys.exit(_serve())
