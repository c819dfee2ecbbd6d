"""The data set of a query or an update: by parameters, by FROM, by USING (SPARQL 1.1 protocol).

Graphs named by parameters stand in the place of those that a query names itself (2.1.4), and an
update may not name any besides (2.2.3). No graph is ever fetched: one that is not here is empty.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin

from tinyfleet.ontology.tokens import IRI, NAME, Token, tokens
from tinyfleet.ontology.vocabulary import PREFIXES
from tinyfleet.server.directory.answers import FORMATS
from tinyfleet.server.directory.problem import RequestError

_ABSOLUTE = re.compile(r"<[A-Za-z][A-Za-z0-9+.-]*:")
_ESCAPED = re.compile(r"\\(?=.)")


@dataclass(frozen=True)
class Asked:
    """A query, taken apart.

    Attributes:
        text: with blanks in the place of its FROM clauses, so that errors name its own columns.
        form: SELECT, ASK, CONSTRUCT or DESCRIBE.
        default_graphs: IRIs that follow FROM.
        named_graphs: IRIs that follow FROM NAMED.
        relative: whether it has IRIs that are relative to where it is sent.
    """

    text: str
    form: str
    default_graphs: tuple[str, ...] = ()
    named_graphs: tuple[str, ...] = ()
    relative: bool = False


def taken_apart(query: str) -> Asked:
    """Take the FROM clauses out of a query.

    >>> asked = taken_apart("ASK FROM <urn:g> { ?s ?p 1 }")
    >>> asked.text, asked.default_graphs
    ('ASK              { ?s ?p 1 }', ('urn:g',))

    Raises:
        QueryError: it cannot be cut into words.
        RequestError: it is no query.
    """
    every = tokens(query)
    words = _outside(every)
    form = next((word.text.upper() for word in words if word.says(*FORMATS)), "")
    if not form:
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"query: expected {', '.join(FORMATS)}, got neither"
        )
    graphs: dict[bool, list[str]] = {False: [], True: []}
    rest, done = [], 0
    for place, word in enumerate(words):
        if word.says("FROM"):
            named = words[place + 1 : place + 2] != [] and words[place + 1].says("NAMED")
            graph = words[place + 1 + named : place + 2 + named]
            if graph and graph[0].kind in (IRI, NAME):
                graphs[named].append(_resolved(graph[0], words))
                rest.append(query[done : word.start])
                done = graph[0].end
                rest.append(re.sub(r"\S", " ", query[word.start : done]))
    text = "".join([*rest, query[done:]])
    relative = any(word.kind == IRI and not _ABSOLUTE.match(word.text) for word in every)
    return Asked(text, form, tuple(graphs[False]), tuple(graphs[True]), relative)


def using(default: Sequence[str], named: Sequence[str]) -> str:
    """Return USING clauses.

    Args:
        default: IRIs of the graphs that make the default graph.
        named: IRIs of the graphs that GRAPH can name.
    """
    return "".join(
        [f"USING <{check_graph(iri)}> " for iri in default]
        + [f"USING NAMED <{check_graph(iri)}> " for iri in named]
    )


def with_using(update: str, clauses: str) -> str:
    """Return an update whose operations are restricted by USING clauses.

    Raises:
        RequestError: an operation has USING or WITH itself.
        QueryError: it cannot be cut into words.

    >>> with_using("INSERT { ?s a ?t } WHERE { ?s a ?t }", "USING <urn:g> ")
    'INSERT { ?s a ?t } USING <urn:g> WHERE { ?s a ?t }'
    >>> with_using("DELETE WHERE { ?s a ?t }", "USING <urn:g> ")
    'DELETE { ?s a ?t } USING <urn:g> WHERE { ?s a ?t }'
    """
    if not clauses:
        return update
    outside = _outside(tokens(update))
    parts, done = [], 0
    for place, token in enumerate(outside):
        if token.says("USING", "WITH"):
            raise RequestError(
                HTTPStatus.BAD_REQUEST,
                f"update: expected graphs by parameters or by {token.text}, got both",
            )
        if not token.says("WHERE"):
            continue
        parts.append(update[done : token.start])
        if place and outside[place - 1].says("DELETE"):  # its pattern is also what it deletes
            parts.append(f"{_block(update, outside[place + 1 : place + 3])} ")
        parts.append(clauses)
        done = token.start
    return "".join([*parts, update[done:]])


def spelled_out(update: str, base: str) -> str:
    """Return an update with whole IRIs and without BASE and PREFIX.

    The store resolves nothing in updates and takes a prologue before the first operation alone,
    where the standard has one before each. A graph without triples does not exist there, and so
    CLEAR and DROP of one are no failure.

    Raises:
        QueryError: it cannot be cut into words.

    >>> spelled_out("PREFIX e: <http://e/> INSERT DATA { <s> a e:t }", "http://example.org/sparql")
    ' INSERT DATA { <http://example.org/s> a <http://e/t> }'
    """
    words = tokens(update)
    known = dict(PREFIXES)
    parts, done = [], 0
    for place, word in enumerate(words):
        before = words[max(place - 2, 0) : place]
        if word.says("BASE", "PREFIX"):
            parts.append(update[done : word.start])
            done = word.end
        elif word.kind == IRI:
            absolute = urljoin(base, word.text[1:-1])
            if before and before[-1].says("BASE"):
                base = absolute
            elif len(before) == 2 and before[0].says("PREFIX"):
                known[before[1].text.removesuffix(":")] = absolute
            else:
                parts.append(f"{update[done : word.start]}<{absolute}>")
            done = word.end
        elif word.kind == NAME and not (before and before[-1].says("PREFIX")):
            parts.append(f"{update[done : word.start]}{_whole(word, known)}")
            done = word.end
        elif word.says("CLEAR", "DROP") and place + 1 < len(words):
            silent = words[place + 1].says("SILENT")
            parts.append(f"{update[done : word.end]}{'' if silent else ' SILENT'}")
            done = word.end
    return "".join([*parts, update[done:]])


def check_graph(iri: str) -> str:
    """Return the IRI of a graph.

    Raises:
        RequestError: it is no absolute IRI.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|^`\\]*", iri):
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"graph: expected an absolute IRI, got {iri:.100}"
        )
    return iri


def _outside(words: Sequence[Token]) -> list[Token]:
    """Return the words outside all brackets, and the outermost brackets."""
    found, depth = [], 0
    for word in words:
        depth -= word.marks("}])")
        if depth <= 0:
            found.append(word)
        depth += word.marks("{[(")
    return found


def _resolved(graph: Token, words: Sequence[Token]) -> str:
    known = dict(PREFIXES)
    for place, word in enumerate(words[:-2]):
        declared = words[place + 1 : place + 3]
        if word.says("PREFIX") and declared[1].kind == IRI:
            known[declared[0].text.removesuffix(":")] = declared[1].text[1:-1]
    text = graph.text if graph.kind == IRI else _whole(graph, known)
    return check_graph(text.removeprefix("<").removesuffix(">"))


def _whole(name: Token, known: Mapping[str, str]) -> str:
    """Return what a prefixed name stands for, or the name where nobody declared its prefix."""
    prefix, _, local = name.text.partition(":")
    if prefix not in known:
        return name.text
    return f"<{known[prefix]}{re.sub(_ESCAPED, '', local)}>"


def _block(update: str, braces: Sequence[Token]) -> str:
    return update[braces[0].start : braces[-1].end] if braces else ""
