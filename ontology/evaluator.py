"""The process in which queries of others are evaluated, one after another, and that may be ended.

Nothing inside Oxigraph ends a query, so `tinyfleet.ontology.evaluate` starts this file as a program
of its own. It imports nothing of tinyfleet, to start in a few hundredths of a second. Orders come
as lines of JSON on stdin: a snapshot to open, or a query. An answer is a line of JSON on stdout,
then as many bytes as it says.
"""

import json
import resource
import sys
from collections.abc import Mapping
from io import BytesIO
from itertools import islice
from typing import Any

import pyoxigraph as ox

MEMORY: int = 4 * 2**30
"""Bytes of address space that the process may take."""

MOST_BYTES: int = 64 * 2**20
"""Bytes of an answer at most."""

Snapshot = ox.Store


class TooLargeError(Exception):
    """An answer has more rows than asked for, or more bytes than allowed."""


class Lines(BytesIO):
    """Takes lines until there are more than `most`, then refuses to go on."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most, self._lines = most, 0

    def write(self, data: Any) -> int:
        """Take some bytes.

        Raises:
            TooLargeError: there are more lines than are asked for; those are kept.
        """
        taken = super().write(data)
        self._lines += bytes(data).count(b"\n")
        if self._lines > self._most or self.tell() > MOST_BYTES:
            raise TooLargeError
        return taken


def open_snapshot(order: Mapping[str, Any]) -> Snapshot:
    """Open a directory to read only, or load a file of N-Quads."""
    if order["directory"]:
        return ox.Store.read_only(order["open"])
    store = ox.Store()
    store.bulk_load(path=order["open"], format=ox.RdfFormat.N_QUADS)
    return store


def evaluate(store: Snapshot, order: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return what a query finds: a header, and the body in the format asked for."""
    graphs: dict[str, Any] = {"use_default_graph_as_union": order["union"]}
    if order["default_graphs"] or order["named_graphs"]:
        graphs = {
            "default_graph": [ox.NamedNode(iri) for iri in order["default_graphs"]],
            "named_graphs": [ox.NamedNode(iri) for iri in order["named_graphs"]],
        }
    return told(store.query(order["query"], prefixes=order["prefixes"], **graphs), order)


def told(found: Any, order: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return what was found as a header and a body in one of the formats that `order` names."""
    if isinstance(found, ox.QueryBoolean):
        body = found.serialize(format=_results(order["results"], boolean=True))
        return {"kind": "ask", "more": False}, body or b""
    if isinstance(found, ox.QuerySolutions):
        return _solutions(found, order["results"], order["limit"])
    return _triples(found, order["triples"], order["limit"])


def _triples(found: Any, media: str, limit: int) -> tuple[dict[str, Any], bytes]:
    triples = list(islice(found, limit + 1))
    form = ox.RdfFormat.from_media_type(media)
    if form is None:
        raise ValueError(f"no format of triples is called {media}")
    body = ox.serialize(triples[:limit], format=form) or b""
    return {"kind": "construct", "more": len(triples) > limit}, body


def _solutions(found: Any, media: str, limit: int) -> tuple[dict[str, Any], bytes]:
    """Return rows; a row is a line of TSV, whose literals have no line breaks."""
    sink, more = Lines(limit + 1), False  # and the line of variables
    try:
        found.serialize(sink, format=ox.QueryResultsFormat.TSV)
    except TooLargeError:
        more = True
    body = sink.getvalue()
    if more:
        body = b"\n".join(body.split(b"\n", limit + 1)[: limit + 1]) + b"\n"
    form = _results(media)
    if form != ox.QueryResultsFormat.TSV:
        rows: Any = ox.parse_query_results(body, format=ox.QueryResultsFormat.TSV)
        body = rows.serialize(format=form) or b""
    return {"kind": "select", "more": more}, body


def _results(media: str, *, boolean: bool = False) -> ox.QueryResultsFormat:
    form = ox.QueryResultsFormat.from_media_type(media)
    if form is None:
        raise ValueError(f"no format of results is called {media}")
    texts = (ox.QueryResultsFormat.CSV, ox.QueryResultsFormat.TSV)
    return ox.QueryResultsFormat.JSON if boolean and form in texts else form


def _bound_processor(seconds: float) -> None:
    """Let the system end this process, should it go on and nobody end it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 2
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def main() -> None:
    """Follow orders until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    store = ox.Store()
    answers = sys.stdout.buffer
    for line in sys.stdin.buffer:
        order = json.loads(line)
        header: dict[str, Any] = {}
        body = b""
        _bound_processor(order["seconds"])
        try:
            if "open" in order:
                store = open_snapshot(order)
            else:
                header, body = evaluate(store, order)
        except (SyntaxError, ValueError) as error:
            header = {"refused": str(error)}
        except (OSError, RuntimeError, MemoryError) as error:
            header = {"failed": str(error)}
        answers.write(json.dumps({**header, "bytes": len(body)}).encode() + b"\n" + body)
        answers.flush()


if __name__ == "__main__":
    main()
