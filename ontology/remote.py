"""A fleet's graph behind a SPARQL 1.1 endpoint."""

import urllib.error
import urllib.request
from collections.abc import Iterable
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pyoxigraph as ox
from rdflib import Dataset
from rdflib.plugins.stores.sparqlstore import SPARQLUpdateStore
from rdflib.query import Result

from tinyfleet.errors import QueryError
from tinyfleet.ontology import evaluator
from tinyfleet.ontology.evaluate import Answer, Question, as_answer
from tinyfleet.ontology.vocabulary import PREFIXES

SECONDS = 60.0
"""How long an endpoint may take to answer."""

_RESULTS = "application/sparql-results+json"
_TRIPLES = "application/n-triples"


class Remote:
    """A SPARQL 1.1 endpoint; to an address without `/sparql`, `/query` and `/update` are added."""

    def __init__(self, address: str, *, read_only: bool = False) -> None:
        one = address.endswith("/sparql")  # as a Thing Description Directory has it
        self._query, self._update = (
            (address, address) if one else (f"{address}/query", f"{address}/update")
        )
        self._read_only = read_only
        self.dataset = Dataset(
            store=SPARQLUpdateStore(self._query, self._update, method="POST", returnFormat="json")
        )
        self._declared = "".join(f"PREFIX {k}: <{v}>\n" for k, v in PREFIXES.items())

    def query(self, text: str) -> Result:
        """Return what a query finds.

        Raises:
            QueryError: the endpoint cannot be reached, or refuses the query.
        """
        kind, body = self._post(self._query, [("query", self._declared + text)])
        return Result.parse(BytesIO(body), content_type=kind)

    def extend(self, quads: str) -> None:
        """Add N-Quads.

        Raises:
            QueryError: the endpoint cannot be reached, or refuses them.
        """
        graphs: dict[str, list[str]] = {}
        for quad in ox.parse(quads, format=ox.RdfFormat.N_QUADS):
            graphs.setdefault(str(quad.graph_name), []).append(str(quad.triple))
        blocks = (f"GRAPH {name} {{ {' . '.join(lines)} }}" for name, lines in graphs.items())
        self.update(f"INSERT DATA {{ {' '.join(blocks)} }}")

    def answer(self, question: Question) -> Answer:
        """Return what a query of others finds; what the endpoint found is cut to the limit here.

        Raises:
            QueryError: the endpoint cannot be reached, refuses the query, or takes too long.
        """
        form = [
            ("query", self._declared + question.query),
            *(("default-graph-uri", iri) for iri in question.default_graphs),
            *(("named-graph-uri", iri) for iri in question.named_graphs),
            *([("union-default-graph", "true")] if question.union else []),
        ]
        kind, body = self._post(self._query, form, question.seconds)
        found: Any
        if kind == _TRIPLES:
            found = (quad.triple for quad in ox.parse(body, format=ox.RdfFormat.N_TRIPLES))
        else:
            found = ox.parse_query_results(body, format=ox.QueryResultsFormat.JSON)
        header, cut = evaluator.told(found, vars(question))
        return as_answer(question, header, cut)

    def update(self, text: str) -> None:
        """Do all of an update, or nothing of it, as far as the endpoint keeps to the standard.

        Raises:
            QueryError: the endpoint cannot be reached, or refuses the update.
        """
        if self._read_only:
            raise QueryError(f"{self._update}: expected a query, got an update; it is read only")
        self._post(self._update, [("update", self._declared + text)])

    def _post(
        self, address: str, form: list[tuple[str, str]], seconds: float = SECONDS
    ) -> tuple[str, bytes]:
        headers = {"Accept": f"{_RESULTS}, {_TRIPLES};q=0.9"}
        request = urllib.request.Request(address, urlencode(form).encode(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
                body = answer.read(evaluator.MOST_BYTES + 1)
                kind = answer.headers.get_content_type()
        except urllib.error.HTTPError as error:
            said = _line(error.read(300).decode(errors="replace"))
            if error.code == HTTPStatus.NOT_FOUND and not address.endswith("/sparql"):
                place = address.rpartition("/")[0]
                raise QueryError(
                    f"{place}: expected a SPARQL 1.1 endpoint with /query and /update, got none; "
                    f"of a directory, give {place}/sparql"
                ) from None
            raise QueryError(f"{address}: expected an answer, got {error.code}: {said}") from None
        except OSError as error:
            raise QueryError(
                f"{address}: expected a SPARQL 1.1 endpoint, got none ({_line(error)})"
            ) from None
        if len(body) > evaluator.MOST_BYTES:
            raise QueryError(f"{address}: expected at most {evaluator.MOST_BYTES} B, got more")
        return kind, body

    def quads(self) -> Iterable[ox.Quad]:
        """Return all statements of all graphs.

        Raises:
            QueryError: the endpoint cannot be reached, or holds too much for one answer.
        """
        outside = "?s ?p ?o"
        if self._query == self._update:  # a directory's default graph shows what all graphs hold
            outside += " FILTER NOT EXISTS { GRAPH ?any { ?s ?p ?o } }"
        for pattern in ("GRAPH ?g { ?s ?p ?o }", outside):
            _, body = self._post(self._query, [("query", f"SELECT ?s ?p ?o ?g {{ {pattern} }}")])
            found: Any = ox.parse_query_results(body, format=ox.QueryResultsFormat.JSON)
            for row in found:
                yield ox.Quad(row["s"], row["p"], row["o"], row["g"])

    def flush(self) -> None:
        """Do nothing: the endpoint keeps what it acknowledged."""

    def close(self) -> None:
        """Do nothing: no connection is kept."""


def _line(error: object) -> str:
    return " ".join(str(error).split())[:300]
