"""RDF terms as the text of an update: every term is validated, so that none can end a statement.

rdflib writes labels of blank nodes and datatypes as they came, so a description could close a
statement and go on with one of its own. Here a term passes through Oxigraph's first, which refuse
what is no IRI, and blank nodes are named anew.
"""

from collections.abc import Callable, Iterable

import pyoxigraph as ox
from rdflib import BNode, Graph, Literal, URIRef
from rdflib.term import Node

from tinyfleet.errors import DescriptionError

Triple = tuple[Node, Node, Node]


def written(term: Node) -> str:
    """Return an IRI or a literal as SPARQL and N-Quads write it.

    >>> written(Literal('a "b"', lang="en"))
    '"a \\\\"b\\\\""@en'

    Raises:
        DescriptionError: the term is no absolute IRI and no literal.
    """
    try:
        return str(_term(term))
    except ValueError as error:
        raise DescriptionError(
            f"{str(term)[:80]!r}: expected an absolute IRI or a literal, got one that cannot be "
            f"written ({error})"
        ) from None


def _term(term: Node) -> ox.NamedNode | ox.Literal:
    if isinstance(term, URIRef):
        return ox.NamedNode(str(term))
    if not isinstance(term, Literal):
        raise ValueError(type(term).__name__)
    if term.language:
        return ox.Literal(str(term), language=term.language)
    return ox.Literal(
        str(term), datatype=ox.NamedNode(str(term.datatype)) if term.datatype else None
    )


def triples_text(triples: Iterable[Triple] | Graph) -> list[str]:
    """Return each triple as `subject predicate object`; blank nodes get new labels, `_:b0` on.

    Raises:
        DescriptionError: a term that cannot be written.
    """
    write = _writer()
    return [f"{write(s)} {write(p)} {write(o)}" for s, p, o in triples]


def _writer() -> Callable[[Node], str]:
    known: dict[Node, str] = {}

    def write(term: Node) -> str:
        text = known.get(term)
        if text is None:
            blank = isinstance(term, BNode)
            text = known[term] = f"_:b{len(known)}" if blank else written(term)
        return text

    return write


def block(graph: str, lines: Iterable[str]) -> str:
    """Return statements as the part of a named graph in an INSERT DATA or a DELETE DATA."""
    text = " .\n".join(lines)
    return f"GRAPH {written(URIRef(graph))} {{\n{text}\n}}" if text else ""


def values_of(names: str, rows: Iterable[Iterable[str]]) -> str:
    """Return VALUES of rows of IRIs."""
    lines = (f"({' '.join(written(URIRef(one)) for one in row)})" for row in rows)
    return f"VALUES ({names}) {{ {' '.join(lines)} }}"
