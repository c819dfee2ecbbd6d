"""What a query may not do, told from its text before anything evaluates it.

Oxigraph's parser decides what is SPARQL. It recurses, and plans joins in the fourth power of their
number, so that a text of 20 kB can end the process or keep it for hours: the limits come first. It
also reads letter by letter: where the standard has one word, `SERVICE:a` or `<x:y#>`, it may see
two. What could be read both ways is therefore refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import pyoxigraph

from tinyfleet.errors import QueryError
from tinyfleet.ontology.patterns import check_patterns
from tinyfleet.ontology.tokens import (
    DATA,
    IRI,
    MARK,
    NAME,
    STRING,
    VALUES,
    WORD,
    Token,
    framed,
    place,
    tokens,
)
from tinyfleet.ontology.vocabulary import PREFIXES

LONGEST: Final = 100_000
"""Characters of a query."""
LONGEST_UPDATE: Final = 1_000_000
"""Characters of an update, most of them data."""
DEEPEST: Final = 32
"""Brackets inside each other."""
MOST_WORDS: Final = 2_000
"""Words outside the data of VALUES, INSERT DATA and DELETE DATA."""

_UPDATES: Final = (
    *("INSERT", "DELETE", "WITH", "LOAD", "CLEAR", "CREATE", "DROP", "COPY", "MOVE", "ADD"),
)
_NOWHERE: Final = "DROP GRAPH <urn:tinyfleet:graph:none> ;\n"
_HIDES = re.compile("SERVICE|^(?:LOAD|FROM|USING|NAMED|FILTER|BIND)", re.IGNORECASE)
_PAIRS: Final = {"{": "}", "[": "]", "(": ")"}
_AT = re.compile(r"error at (\d+):(\d+): ")


def guard(text: str, *, allow_update: bool = False) -> None:
    """Refuse a text that is not SPARQL, that changes or fetches what it may not, or has no bounds.

    Refused are SERVICE, LOAD, data sets (FROM, USING) of graphs that are no URN, updates unless
    `allow_update`, texts over the limits of this module, and the patterns that
    `patterns.check_patterns` refuses. Guard the text that a person wrote, then `bind` it.

    Raises:
        QueryError: in one line, with line and column where there is one place to look at.
    """
    longest = LONGEST_UPDATE if allow_update else LONGEST
    if len(text) > longest:
        raise QueryError(f"query: expected at most {longest:,} characters, got {len(text):,}")
    words = tokens(text)
    change = _change(words)
    if change and not allow_update:
        raise QueryError("query: expected a query that reads, got an update; allow it to write")
    _check_size(text, words)
    _check_reach(text, words)
    _check_syntax(text, change)
    check_patterns(words)


def is_update(text: str) -> bool:
    """Return whether `text` is an update, by its first word behind PREFIX and BASE.

    >>> is_update("PREFIX load: <urn:x:> ASK {}"), is_update("DROP ALL")
    (False, True)

    Raises:
        QueryError: the text cannot be cut into words.
    """
    return _change(tokens(text)) is not None


def _change(words: Sequence[Token]) -> Token | None:
    """Return the word that makes an update of a text: the first one behind PREFIX and BASE."""
    for word in words:
        if word.kind == WORD and not word.says("PREFIX", "BASE", "VERSION"):
            return word if word.says(*_UPDATES) else None
        if word.kind not in (WORD, NAME, IRI, STRING):
            break
    return None


def _check_size(text: str, words: Sequence[Token]) -> None:
    counted = 0
    for word, frames in framed(words):
        counted += VALUES not in frames and DATA not in frames
        if len(frames) > DEEPEST:
            raise _refusal(text, word, f"at most {DEEPEST} brackets inside each other, got more")
        if counted > MOST_WORDS:
            raise _refusal(text, word, f"at most {MOST_WORDS:,} words outside data, got more")


def _check_reach(text: str, words: Sequence[Token]) -> None:
    """Refuse what reaches out of the graph, and what Oxigraph may read otherwise than we do."""
    prefixes = {f"{prefix}:": iri for prefix, iri in PREFIXES.items()}
    before = Token(MARK, "", 0)
    graph = False  # does the name of a graph to read follow
    declares = False  # does the IRI of a prefix follow
    for word, frames in framed(words):
        if declares and word.kind == IRI:
            prefixes[before.text] = word.text[1:-1]
        declares = before.says("PREFIX") and word.kind == NAME
        if word.kind == NAME and not declares:
            _check_name(text, word, prefixes)
        if graph and word.kind in (IRI, NAME):
            _check_graph(text, word, prefixes)
        graph = word.kind == WORD and (
            word.text.upper().startswith(("FROM", "USING")) or (graph and word.says("NAMED"))
        )
        if word.kind == WORD and re.search("SERVICE|^LOAD", word.text, re.IGNORECASE):
            raise _refusal(text, word, f"no {word.text}, as nothing is fetched; import it first")
        if word.kind == NAME and _HIDES.search(word.text.partition(":")[0]):
            raise _refusal(text, word, f"a prefix that holds no keyword, got {word.text}")
        compared = frames[-1:] == "(" and (before.kind != MARK or before.text in (")", "}", "]"))
        if word.kind == IRI and compared and set(word.text) & set("#)"):
            raise _refusal(text, word, "a space behind <, or an operator before an IRI, got none")
        before = word


def _check_name(text: str, word: Token, prefixes: Mapping[str, str]) -> None:
    prefix = word.text.partition(":")[0] + ":"
    if prefix not in prefixes:
        raise _refusal(text, word, f"PREFIX {prefix} <...> at the start, got {word.text} without")


def _check_graph(text: str, word: Token, prefixes: Mapping[str, str]) -> None:
    iri = word.text[1:-1]
    if word.kind == NAME:
        prefix, _, local = word.text.partition(":")
        iri = prefixes.get(f"{prefix}:", "") + local
    if not iri.lower().startswith("urn:"):
        raise _refusal(text, word, f"a graph of the fleet (urn:...), got {iri}; write GRAPH {{ }}")


def _check_syntax(text: str, change: Token | None) -> None:
    """Let Oxigraph parse `text` and evaluate none of it.

    There is no parser to call alone: a query gets a graph that is none, which is looked at after
    parsing; before an update's first operation `change` stands one that fails, so that nothing
    of it starts.
    """
    store, prefixes = pyoxigraph.Store(), dict(PREFIXES)
    try:
        if change:
            start = change.start
            store.update(f"{text[:start]}{_NOWHERE}{text[start:]}", prefixes=prefixes)
        else:
            store.query(text, prefixes=prefixes, default_graph=cast(Any, [None]))
    except SyntaxError as error:
        raise _malformed(text, str(error), change) from None
    except UnicodeEncodeError as error:
        line, column = place(text, text.find(error.object[error.start]))
        raise QueryError(
            f"query, line {line}, column {column}: expected Unicode text, got a lone surrogate"
        ) from None
    except (RuntimeError, TypeError, ValueError):
        return


def _malformed(text: str, message: str, change: Token | None) -> QueryError:
    match = _AT.match(message)
    if match is None:
        return QueryError(f"query: expected SPARQL, got {' '.join(message.split())[:120]}")
    line, column = int(match[1]), int(match[2])
    if change:  # _NOWHERE put a line between the update's head and its first operation
        first, offset = place(text, change.start)
        column += offset - 1 if line == first + 1 else 0
        line -= line > first
    rest = "".join((text.splitlines(keepends=True) or [""])[line - 1 :])[column - 1 :]
    got = repr(rest[:20].splitlines()[0]) if rest.strip() else "the end"
    awaited = "other SPARQL" if rest.strip() else _closing(text)
    return QueryError(f"query, line {line}, column {column}: expected {awaited}, got {got}")


def _closing(text: str) -> str:
    """Return the brackets that close what is open at the end of `text`; of none, "more SPARQL"."""
    awaited = ""
    for word in tokens(text):
        if word.marks("{[("):
            awaited = _PAIRS[word.text] + awaited
        elif word.marks("}])"):
            awaited = awaited[1:]
    return " ".join(awaited) or "more SPARQL"


def _refusal(text: str, word: Token, expected: str) -> QueryError:
    line, column = place(text, word.start)
    return QueryError(f"query, line {line}, column {column}: expected {expected}")
