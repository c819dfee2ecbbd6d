"""The JSON-LD contexts and the JSON schema that are read from the package, never from the network.

JSON-LD's `@context` may name documents to fetch, also by `file:`. `inlined` puts the bundled
documents in their place before any parser sees them and refuses every other name, so that
nothing is left that a parser could fetch. `contexts/LICENSE.md` says where the files come from.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from tinyfleet.errors import DescriptionError

TD_1_0: Final = "https://www.w3.org/2019/wot/td/v1"
TD_1_1: Final = "https://www.w3.org/2022/wot/td/v1.1"
DISCOVERY: Final = "https://www.w3.org/2022/wot/discovery"

# A description that conforms to 1.0 conforms to 1.1, and both share one ontology: the older
# name is read with the newer terms, so that a title is td:title whichever was named.
TD_FILE: Final = "td-1.1.jsonld"
SCHEMA_FILE: Final = "td-1.1.schema.json"
BUNDLED: Final[Mapping[str, str]] = MappingProxyType(
    {TD_1_0: TD_FILE, TD_1_1: TD_FILE, DISCOVERY: "discovery.jsonld"}
)
MAXIMUM_TERMS: Final = 256  # of its own, in one context of a description
_MAXIMUM_NAMES: Final = 8


def bundled(name: str) -> str:
    """Return the text of a file of `contexts/`."""
    return (files("tinyfleet.ontology") / "contexts" / name).read_text(encoding="utf-8")


def inlined(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a JSON-LD document in which no context is named: all are spelled out.

    Args:
        document: JSON values, as `read_json` returns them; it is left as it was. Bundled
            contexts may be named in its own `@context`, not further down.

    Raises:
        DescriptionError: a context that is not bundled, too long, or no context.
    """
    copy = {key: _copy(item, f"/{key}") for key, item in document.items() if key != "@context"}
    if "@context" in document:
        copy["@context"] = _spelled_out(document["@context"], frozenset(_words(document)))
    return copy


def _spelled_out(context: Any, words: frozenset[str]) -> list[Any]:
    parts = list(context) if isinstance(context, list | tuple) else [context]
    names = [part for part in parts if isinstance(part, str)]
    if len(names) > _MAXIMUM_NAMES:
        raise DescriptionError(
            f"/@context: expected at most {_MAXIMUM_NAMES} named contexts, got {len(names)}"
        )
    own = _own([part for part in parts if not isinstance(part, str)], "/@context")
    rest = iter(own)
    return [
        _bundled_context(part, words) if isinstance(part, str) else next(rest) for part in parts
    ]


def _own(parts: list[Any], path: str) -> list[Any]:
    """Return contexts that are objects of terms, after a look at each."""
    terms = 0
    for part in parts:
        if part is None:
            continue
        if not isinstance(part, Mapping):
            raise DescriptionError(
                f"{path}: expected an object of prefixes and terms, got {part!r:.80}"
            )
        if "@import" in part:
            raise DescriptionError(
                f"{path}/@import: nothing is fetched: write the imported terms in its place"
            )
        terms += len(part)
    if terms > MAXIMUM_TERMS:
        raise DescriptionError(f"{path}: expected at most {MAXIMUM_TERMS} terms, got {terms:,}")
    return [
        None
        if part is None
        else {name: _copy(value, f"{path}/{name}") for name, value in part.items()}
        for part in parts
    ]


def _copy(value: Any, path: str) -> Any:
    match value:
        case Mapping():
            return {
                key: _nested(item, f"{path}/{key}")
                if key == "@context"
                else _copy(item, f"{path}/{key}")
                for key, item in value.items()
            }
        case list() | tuple():
            return [_copy(item, f"{path}/{place}") for place, item in enumerate(value)]
    return value


def _nested(context: Any, path: str) -> list[Any]:
    return _own(list(context) if isinstance(context, list | tuple) else [context], path)


def _bundled_context(name: str, words: frozenset[str]) -> Any:
    if name not in BUNDLED:
        raise DescriptionError(
            f"/@context: nothing is fetched: expected {', '.join(BUNDLED)} or an object of "
            f"prefixes, got {name[:100]!r}: write the prefixes that are used in its place"
        )
    file = BUNDLED[name]
    return _pruned(file, words & _optional(file))


@cache
def _parsed(file: str) -> dict[str, Any]:
    context: dict[str, Any] = json.loads(bundled(file))["@context"]
    return context


@cache
def _optional(file: str) -> frozenset[str]:
    """Return the terms of a context that mean nothing to a document in which they are not."""
    return frozenset(_defined(_parsed(file))) - frozenset(_indices(_parsed(file)))


@lru_cache(maxsize=256)
def _pruned(file: str, words: frozenset[str]) -> Any:
    """Return a bundled context without the definitions that a document has no word for.

    A processor reads a scoped context anew wherever its term stands; most of the time goes there.
    """
    unused = _optional(file) - words

    def kept(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key: kept(item)
            for key, item in value.items()
            if not (isinstance(item, dict) and key in unused)
        }

    return kept(_parsed(file))


def _defined(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict) and not key.startswith("@"):
                yield key
            yield from _defined(item)


def _indices(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "@index":
                yield item
            yield from _indices(item)


def _words(value: Any) -> Iterator[str]:
    match value:
        case Mapping():
            for key, item in value.items():
                yield from _words(key)
                yield from _words(item)
        case list() | tuple():
            for item in value:
                yield from _words(item)
        case str():
            yield value
            yield value.partition(":")[0]
