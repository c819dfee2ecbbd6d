"""The named questions over a fleet's graph, and how terms are bound to a question's variables.

A question is a `.rq` file whose first comment says it. A line `# ?name: meaning` names a parameter
that must be bound; `# ?name (optional): meaning` one that may be.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TypeAlias

from rdflib import Literal, URIRef

from tinyfleet.errors import QueryError
from tinyfleet.ontology.guard import guard
from tinyfleet.ontology.tokens import VARIABLE, Token, tokens

__all__ = ["NamedQuery", "Parameter", "Term", "bind", "guard", "named_queries", "parameters"]

Term: TypeAlias = URIRef | Literal

_PARAMETER = re.compile(r"#\s*\?(\w+)(\s+\(optional\))?:\s*(\S.*?)\s*$")
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|^`\\]*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CUT = re.compile(r'[\\"\x00-\x1f\x7f]')


@dataclass(frozen=True)
class Parameter:
    """A variable that a question takes, what it means, and whether it must be bound."""

    name: str
    meaning: str
    required: bool


@dataclass(frozen=True)
class NamedQuery:
    """A question of the library: its name, its sentence, its parameters and its SPARQL text."""

    name: str
    question: str
    parameters: tuple[Parameter, ...]
    text: str


@cache
def named_queries() -> Mapping[str, NamedQuery]:
    """Return the questions that are installed, by name, in order of their names."""
    folder = files("tinyfleet.ontology") / "queries"
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".rq"):
            name = entry.name.removesuffix(".rq")
            found[name] = _named(name, entry.read_text(encoding="utf-8"))
    return MappingProxyType(found)


def _named(name: str, text: str) -> NamedQuery:
    sentence = []
    for line in text.splitlines():
        if not line.startswith("#") or _PARAMETER.match(line) or not line.strip("# "):
            break
        sentence.append(line.strip("# "))
    return NamedQuery(name, " ".join(sentence), parameters(text), text)


def parameters(text: str) -> tuple[Parameter, ...]:
    """Return the parameters that the comments at the head of `text` name, in their order.

    >>> parameters("# Who?\\n# ?room: where\\n# ?day (optional): when\\nASK {}")[1]
    Parameter(name='day', meaning='when', required=False)
    """
    found = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        if match := _PARAMETER.match(line.strip()):
            found.append(Parameter(match[1], match[3], required=match[2] is None))
    return tuple(found)


def bind(text: str, bindings: Mapping[str, Term | Sequence[Term]]) -> str:
    """Return `text` with variables bound to terms, by VALUES where its outermost group starts.

    Several terms for a variable are alternatives; none of them leaves no answer. In an update,
    every operation that has a WHERE is bound. A variable that only a subquery uses inside is not
    reached: it must be projected.

    >>> bind("SELECT ?b { ?a ?b 1 }", {"a": URIRef("urn:x")})
    'SELECT ?b { VALUES ?a { <urn:x> } ?a ?b 1 }'

    Args:
        text: a query or an update.
        bindings: terms by the variable's name, without its question mark.

    Raises:
        QueryError: the text has no such variable or no place for it, a required parameter is
            absent, or a term is no absolute IRI and no literal.
    """
    for parameter in parameters(text):
        if parameter.required and parameter.name not in bindings:
            raise QueryError(
                f"?{parameter.name}: expected a binding ({parameter.meaning}), got none"
            )
    if not bindings:
        return text
    words = tokens(text)
    known = {word.text[1:] for word in words if word.kind == VARIABLE}
    for name in bindings:
        if name not in known:
            takes = ", ".join(f"?{have}" for have in sorted(known)) or "no variable"
            raise QueryError(f"?{name}: expected a variable of the query ({takes}), got another")
    values = "".join(f" VALUES ?{name} {{ {_row(name, bindings[name])} }}" for name in bindings)
    places = _groups(words)
    if not places:
        raise QueryError(
            "query: expected `WHERE {` to bind in, got none; write CONSTRUCT, INSERT and DELETE "
            "with a template and a WHERE of their own"
        )
    for place in reversed(places):
        text = text[:place] + values + text[place:]
    return text


def _groups(words: Sequence[Token]) -> list[int]:
    """Return the characters behind each brace that opens an outermost group to be matched.

    A brace that follows CONSTRUCT, INSERT, DELETE or DATA opens a template; one that follows
    `CONSTRUCT WHERE` or `DELETE WHERE` is template and group in one, where VALUES cannot stand.
    """
    found = []
    depth = 0
    form = before = ""
    for word in words:
        if word.marks("{(["):
            if depth == 0 and word.text == "{" and _matched(form, before):
                found.append(word.end)
            depth += 1
        elif word.marks("})]"):
            depth -= 1
        if depth == 0:
            if word.says("CONSTRUCT", "INSERT", "DELETE"):
                form = word.text.upper()
            elif not word.says("WHERE"):
                form = "" if word.marks(";") else form and "templated"
            before = word.text.upper()
    return found


def _matched(form: str, before: str) -> bool:
    template = {"CONSTRUCT", "INSERT", "DELETE", "DATA"}
    return before not in template and form not in template


def _row(name: str, terms: Term | Sequence[Term]) -> str:
    several = [terms] if isinstance(terms, str) else terms
    return " ".join(_n3(name, term) for term in several)


def _n3(name: str, term: Term) -> str:
    """Return `term` as SPARQL: rdflib's own n3() lets some strings close their quotes early."""
    if isinstance(term, Literal):
        quoted = '"' + _CUT.sub(_escape, str(term)) + '"'
        if term.language is not None:
            return f"{quoted}@{term.language}"
        return quoted if term.datatype is None else f"{quoted}^^{_n3(name, term.datatype)}"
    if isinstance(term, URIRef) and _IRI.fullmatch(term):
        return f"<{term}>"
    raise QueryError(f"?{name}: expected an absolute IRI or a literal, got {str(term)[:80]!r}")


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[0]) or f"\\u{ord(match[0]):04X}"
