"""Patterns whose answers have no bounds, told from a query's words.

What is refused grows with a power of the graph or of the query, whatever the graph holds: closures
inside closures, products of patterns that share no variable, and more joined patterns than
Oxigraph plans in a second (0.2 s for 64, 1.2 s for 100, 12 s for 200).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tinyfleet.errors import QueryError
from tinyfleet.ontology.tokens import (
    BLANK,
    IRI,
    MARK,
    NAME,
    VALUES,
    VARIABLE,
    Token,
    framed,
)

MOST_JOINED: Final = 80
"""Patterns that are joined with each other."""
MOST_CLOSURES: Final = 6
"""Steps `*` and `+` in the paths of a query."""
MOST_UNRELATED: Final = 3
"""Patterns of a group that share no variable, even through others and FILTERs."""

_STARTS: Final = ("FILTER", "BIND", "OPTIONAL", "GRAPH", "VALUES", "MINUS", "LATERAL")
_APART: Final = ("OPTIONAL", "MINUS", "EXISTS", "UNION")
_ANYTHING: Final = "a path `*` or `+` of single properties, got one of"


def check_patterns(words: Sequence[Token]) -> None:
    """Refuse patterns that cannot be answered in bounds.

    Raises:
        QueryError: naming the limit.
    """
    _check_paths(words)
    reader = iter(framed(words))
    for word, frames in reader:
        if frames == "{" and word.marks("{"):
            _check_joined(_read_group(reader, 1))


@dataclass
class _Parens:
    path: bool = True
    closed: bool = False
    negated: bool = False


def _check_paths(words: Sequence[Token]) -> None:
    """Refuse closures inside closures, closures of whatever is not named, and too many."""
    closures = 0
    open_: list[_Parens] = [_Parens(path=False)]
    last: _Parens | None = None  # the path in parentheses that just ended
    for at, word in enumerate(words):
        ended, last = last, None
        if word.marks("("):
            open_.append(_Parens(negated=at > 0 and words[at - 1].marks("!")))
        elif word.marks(")") and len(open_) > 1:
            inner = open_.pop()
            last = inner if inner.path else None
            open_[-1].path &= inner.path
            open_[-1].closed |= inner.closed
            open_[-1].negated |= inner.negated
        elif word.marks("*+") and (ended or _ends_step(words, at)):
            closures += 1
            if ended and ended.closed:
                raise QueryError(f"query: expected {_ANYTHING} a path that has its own")
            if (ended and ended.negated) or _negates(words, at):
                raise QueryError(f"query: expected {_ANYTHING} what has any other name (!)")
            if closures > MOST_CLOSURES:
                raise QueryError(f"query: expected at most {MOST_CLOSURES} steps * or +, got more")
            open_[-1].closed = True
        elif word.marks("!"):
            open_[-1].negated = True
        elif not (word.kind in (IRI, NAME) or word.text == "a" or word.marks("/|^*+?")):
            open_[-1].path = False


def _ends_step(words: Sequence[Token], at: int) -> bool:
    return at > 0 and (words[at - 1].kind in (IRI, NAME) or words[at - 1].text == "a")


def _negates(words: Sequence[Token], at: int) -> bool:
    return any(word.marks("!") for word in words[max(at - 3, 0) : at - 1])


@dataclass
class _Unit:
    """A part of a group that stands between full stops or keywords."""

    keyword: str = ""
    variables: set[str] = field(default_factory=set)
    multiplies: bool = False
    empty: bool = True


@dataclass
class _Group:
    """What is told of a group: how many patterns it joins, and with which variables."""

    joined: int = 1
    variables: set[str] = field(default_factory=set)
    multiplies: bool = False


def _read_group(reader: Iterator[tuple[Token, str]], depth: int) -> _Group:
    """Read up to the brace that closes the group, whose words have `depth` frames.

    Raises:
        QueryError: it, or a group in it, has too many parts that share no variable.
    """
    group, units, unit = _Group(), list[_Unit](), _Unit()
    before = Token(MARK, "", 0)
    nested = False  # did a nested group just end
    for word, frames in reader:
        inside = len(frames) - depth
        if word.marks("}") and inside == 0:
            break
        starts = inside == 0 and (word.marks(".") or word.says(*_STARTS))
        starts |= inside == 1 and word.marks("{") and not unit.keyword and not before.says("UNION")
        if starts or (nested and not word.says("UNION")):
            units, unit = [*units, unit], _Unit()
        nested = False
        if word.marks("{") and frames[-1] != VALUES:
            child = _read_group(reader, len(frames))
            apart = before.says(*_APART) or unit.keyword in ("", "UNION", *_APART)
            plain = unit.keyword in ("", "GRAPH", "LATERAL") and not before.says("EXISTS", "UNION")
            if plain and before.text != "SELECT":
                group.joined += child.joined
            elif apart:
                _check_joined(child)
            unit.variables |= child.variables
            unit.multiplies |= child.multiplies and not before.says("EXISTS")
            unit.empty = False
            nested = inside == 1
            before = Token(MARK, "}", word.end)
            continue
        group.joined += _joins(word, frames)
        _add(unit, word)
        nested = inside == 1 and word.marks("})") and unit.keyword in ("FILTER", "BIND", "VALUES")
        before = word
    _check_related([*units, unit])
    for part in [*units, unit]:
        group.variables |= part.variables
        group.multiplies |= part.multiplies
    return group


def _joins(word: Token, frames: str) -> bool:
    """Return whether `word` ends a pattern or a step of a path, so that another one joins."""
    if frames[-1:] == "(":
        return frames[-2:-1] in ("{", "[") and not word.marks("()")
    return word.marks(".;,/[") or word.says("VALUES")


def _add(unit: _Unit, word: Token) -> None:
    if word.says(*_STARTS) and unit.empty:
        unit.keyword = word.text.upper()
        unit.multiplies = unit.keyword == "VALUES"
    elif unit.empty and not word.marks("."):
        unit.multiplies = word.kind not in (IRI, NAME)
    if not word.marks("."):
        unit.empty = False
    if word.kind in (VARIABLE, BLANK):
        unit.variables.add(word.text.replace("$", "?"))


def _check_related(units: Sequence[_Unit]) -> None:
    """Refuse more than a few parts that no variable relates: their answers multiply."""
    parts: list[tuple[set[str], bool]] = []
    for unit in units:
        if unit.empty or unit.keyword == "MINUS":
            continue
        variables = set(unit.variables)
        multiplies = unit.multiplies and unit.keyword not in ("FILTER", "BIND")
        apart = []
        for others, product in parts:
            if others & variables:
                variables |= others
                multiplies |= product
            else:
                apart.append((others, product))
        parts = [*apart, (variables, multiplies)]
    unrelated = sum(multiplies for _, multiplies in parts)
    if unrelated > MOST_UNRELATED:
        raise QueryError(
            f"query: expected at most {MOST_UNRELATED} patterns of a group that share no variable, "
            f"got {unrelated}; their answers multiply"
        )


def _check_joined(group: _Group) -> None:
    if group.joined > MOST_JOINED:
        raise QueryError(
            f"query: expected at most {MOST_JOINED} patterns that are joined, got {group.joined}"
        )
