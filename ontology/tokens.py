"""The words of a SPARQL text: cut once, in linear time, strings and comments kept whole.

Source: the terminals of the SPARQL 1.1 grammar, https://www.w3.org/TR/sparql11-query/#grammar.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tinyfleet.errors import QueryError

IRI: Final = "iri"
NAME: Final = "name"
VARIABLE: Final = "variable"
BLANK: Final = "blank"
STRING: Final = "string"
NUMBER: Final = "number"
WORD: Final = "word"
MARK: Final = "mark"

VALUES: Final = "v"
"""The frame of a brace behind VALUES."""
DATA: Final = "d"
"""The frame of a brace behind INSERT DATA or DELETE DATA."""
TEMPLATE: Final = "t"
"""The frame of a brace behind CONSTRUCT, INSERT or DELETE."""

_TERMINALS = re.compile(
    r"""
    (?P<space>\s++|\#[^\r\n]*+)
  | (?P<iri><[^\x00-\x20<>"{}|^`\\]*+>)
  | (?P<string>"{3}(?:"{0,2}+(?:[^"\\]|\\.))*+"{3}|'{3}(?:'{0,2}+(?:[^'\\]|\\.))*+'{3}
      |"(?!"")(?:[^"\\\r\n]|\\.)*+"(?!")|'(?!'')(?:[^'\\\r\n]|\\.)*+'(?!'))
  | (?P<variable>[?$]\w[\w\u00b7\u0300-\u036f\u203f\u2040]*+)
  | (?P<blank>_:\w(?:[\w\u00b7-]|\.+(?=[\w-]))*+)
  | (?P<name>(?:[^\W\d_](?:[\w\u00b7-]|\.+(?=[\w:-]))*+)?:
      (?:[\w:\u00b7-]|%[0-9A-Fa-f]{2}|\\[_~.!$&'()*+,;=/?\#@%-]|\.+(?=[\w:%\\-]))*+)
  | (?P<number>(?:\d+\.?\d*|\.\d+)[eE][+-]?\d+|\d*\.\d+|\d+)
  | (?P<language>@[A-Za-z]++(?:-[A-Za-z0-9]++)*+)
  | (?P<word>[^\W\d_]\w*+)
  | (?P<mark>&&|\|\||\^\^|!=|<=|>=|<<|>>|\{\||\|\}|[{}()\[\].,;=<>+\-*/|^!?~])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a text, of the kind `kind`, that starts at the character `start`."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The character behind the word."""
        return self.start + len(self.text)

    def says(self, *words: str) -> bool:
        """Return whether this is one of the keywords `words`, in capitals or not."""
        return self.kind == WORD and self.text.upper() in words

    def marks(self, marks: str) -> bool:
        """Return whether this is one of the characters of `marks`.

        >>> Token(MARK, "{", 0).marks("{}"), Token(STRING, "'{'", 0).marks("{}")
        (True, False)
        """
        return self.kind == MARK and self.text in set(marks)


def tokens(text: str) -> list[Token]:
    """Cut `text` into its words, without spaces and comments.

    >>> [token.text for token in tokens("ASK { ?a <urn:b> 'SERVICE' } # over")]
    ['ASK', '{', '?a', '<urn:b>', "'SERVICE'", '}']

    Raises:
        QueryError: a character that starts no word, such as a string's quote that never closes.
    """
    found = []
    at = 0
    while at < len(text):
        match = _TERMINALS.match(text, at)
        if match is None:
            line, column = place(text, at)
            raise QueryError(
                f"query, line {line}, column {column}: expected a word of SPARQL, "
                f"got {text[at : at + 12]!r}; close strings, and write characters without \\u"
            )
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match[0], at))
        at = match.end()
    return found


def framed(words: Sequence[Token]) -> Iterator[tuple[Token, str]]:
    """Yield each word with the brackets that it stands in, one letter each, outermost first.

    A bracket itself stands in the frame that it opens or closes. The letters are `(`, `[` and `{`,
    or `VALUES`, `DATA`, `TEMPLATE` for what braces hold there; a row of VALUES is `VALUES` too.

    >>> [frames for _, frames in framed(tokens("ASK { (1) VALUES ?a { 2 } }"))]
    ['', '{', '{(', '{(', '{(', '{', '{', '{v', '{v', '{v', '{']
    """
    frames = ""
    for at, word in enumerate(words):
        if word.marks("{[("):
            frames += VALUES if frames[-1:] == VALUES else _frame(words, at)
        yield word, frames
        if word.marks("}])"):
            frames = frames[:-1]


def _frame(words: Sequence[Token], at: int) -> str:
    if words[at].text != "{" or at == 0:
        return words[at].text
    before = at - 1
    if words[before].says("DATA"):
        return DATA
    if words[before].says("CONSTRUCT", "INSERT", "DELETE"):
        return TEMPLATE
    if words[before].marks(")"):
        while before and not words[before].marks("("):
            before -= 1
    return VALUES if before and words[before - 1].says("VALUES") else "{"


def place(text: str, at: int) -> tuple[int, int]:
    """Return the line and the column, from 1, of the character `at`."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
