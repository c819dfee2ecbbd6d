"""A Thing Description: from JSON text to strict JSON values to RDF, with nothing fetched.

W3C WoT Thing Description 1.1, JSON-LD 1.1. Whoever sends a description may send anything, so
everything has a limit: its size and depth, how many values and contexts, how long a number.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote
from xml.parsers.expat import ExpatError

import pyoxigraph
from rdflib import RDF, XSD, BNode, Graph, Literal, URIRef
from rdflib.term import XSDToPython

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.contexts import TD_1_0, TD_1_1, inlined
from tinyfleet.ontology.vocabulary import TD

MAXIMUM_BYTES: Final = 1 << 20
LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {"levels": 64, "values": 20_000, "contexts": 32, "digits": 100}
)

# What a relative IRI of a description, such as the name of a security definition, is relative to.
_BASE: Final = "https://w3id.org/tinyfleet/thing/"


def read_json(text: bytes | str, *, limit: int = MAXIMUM_BYTES) -> dict[str, Any]:
    """Return the JSON object that `text` holds, read strictly.

    Args:
        text: UTF-8.
        limit: how long it may be, in bytes, or in characters of a str.

    Raises:
        DescriptionError: not UTF-8, over a limit, not one JSON object, a key that comes twice,
            or a number that JSON or a double does not know.
    """
    if len(text) > limit:
        raise DescriptionError(f"description: expected at most {limit:,} B, got {len(text):,}")
    try:
        value = json.loads(
            text.decode("utf-8") if isinstance(text, bytes) else text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short,
        )
    except UnicodeDecodeError as error:
        raise DescriptionError(f"description: expected UTF-8, got {error}") from error
    except RecursionError:
        raise _over("levels", "more") from None
    except ValueError as error:
        raise DescriptionError(f"description: expected JSON, got {error}") from error
    if not isinstance(value, dict):
        raise DescriptionError(f"description: expected a JSON object, got {value!r:.40}")
    _check_limits(value)
    return value


def thing_graph(thing: Mapping[str, Any]) -> Graph:
    """Return the RDF of a Thing Description; its `id` is the subject, typed td:Thing.

    An IRI that JSON-LD calls ill-formed, such as the unit "km / h", is left out, as its
    algorithms say; a Thing without `id` becomes a blank node.

    Args:
        thing: a Thing Description 1.0 or 1.1 as JSON values; it is left as it was.

    Raises:
        DescriptionError: an `id` that is no absolute IRI, a context that is not bundled, a value
            that is not of its type, or a description over a limit.
    """
    _check_limits(thing)
    _check_context(thing.get("@context"))
    device = thing.get("id", thing.get("@id"))
    if device is not None:
        check_iri(device, "id")
    types = thing.get("@type", [])
    # json.dumps reads the copy that `inlined` made, so that no other mapping type comes here
    document = inlined(thing)
    document["@type"] = [*(types if isinstance(types, list | tuple) else [types]), str(TD.Thing)]
    graph = _graph(document, _BASE if device is None else f"{_BASE}{quote(device, safe='')}/")
    if device is not None and (URIRef(device), RDF.type, TD.Thing) not in graph:
        raise DescriptionError("@context: expected `id` to keep its meaning, got another for it")
    return graph


def check_iri(value: Any, field: str) -> None:
    """Refuse what is not an absolute IRI.

    Raises:
        DescriptionError: naming `field`, what was expected and what came.
    """
    try:
        if not value.lower().startswith("file:"):
            pyoxigraph.NamedNode(value)
            return
    except (AttributeError, TypeError, ValueError):
        pass
    raise DescriptionError(
        f"{field}: expected an absolute IRI such as urn:tinyfleet:lab:7, got {value!r:.80}"
    )


def _graph(document: dict[str, Any], base: str) -> Graph:
    graph = Graph(bind_namespaces="none")
    try:
        quads = pyoxigraph.parse(
            json.dumps(document).encode(), format=pyoxigraph.RdfFormat.JSON_LD, base_iri=base
        )
        for quad in quads:
            if isinstance(quad.graph_name, pyoxigraph.DefaultGraph):
                predicate = URIRef(quad.predicate.value)
                graph.add((_term(quad.subject, ""), predicate, _term(quad.object, predicate)))
    except (SyntaxError, ValueError) as error:
        raise DescriptionError(
            f"description: expected JSON-LD 1.1, got: {error.args[0]}"
        ) from error
    return graph


def _term(term: Any, predicate: str) -> URIRef | BNode | Literal:
    match term:
        case pyoxigraph.NamedNode():
            return URIRef(term.value)
        case pyoxigraph.BlankNode():
            return BNode(term.value)
    if term.language:
        return Literal(term.value, lang=term.language)
    datatype = URIRef(term.datatype.value)
    if datatype == XSD.string:  # to rdflib, one with its type named is another term
        return Literal(term.value)
    _check_literal(term.value, datatype, predicate)
    return Literal(term.value, datatype=datatype)


def _check_literal(text: str, datatype: URIRef, predicate: str) -> None:
    # rdflib logs a traceback for what it cannot convert, and reads markup: neither is wanted here
    good = datatype not in (RDF.XMLLiteral, RDF.HTML)
    convert = XSDToPython.get(datatype)
    if good and convert is not None:
        try:
            convert(text)
        except (ArithmeticError, AttributeError, ExpatError, TypeError, ValueError):
            good = False
    if not good:
        raise DescriptionError(f"{predicate}: expected a value of {datatype}, got {text!r:.40}")


def _check_context(context: Any) -> None:
    names = context if isinstance(context, list | tuple) else [context]
    if TD_1_1 not in names and TD_1_0 not in names:
        raise DescriptionError(f"@context: expected {TD_1_1} or a list with it, got {names!r:.80}")


def _check_limits(value: Any) -> None:
    level, values, contexts = [value], 0, 0
    for depth in range(1, LIMITS["levels"] + 2):
        values += len(level)
        if values > LIMITS["values"]:
            raise _over("values", "more")
        if depth > LIMITS["levels"]:
            raise _over("levels", "more")
        contexts += sum(isinstance(item, Mapping) and "@context" in item for item in level)
        if contexts > LIMITS["contexts"]:
            raise _over("contexts", "more")
        level = [part for item in level for part in _parts(item)]
        if not level:
            return


def _parts(value: Any) -> Iterator[Any]:
    match value:
        case Mapping():
            for key in value:
                _check_text(key)
            yield from value.values()
        case list() | tuple():
            yield from value
        case str():
            _check_text(value)
        case None | bool() | int() | float():
            pass
        case _:
            raise DescriptionError(f"description: expected JSON's values, got {type(value)}")


def _check_text(text: Any) -> None:
    try:
        text.encode("utf-8")
    except (AttributeError, UnicodeEncodeError) as error:
        raise DescriptionError(f"description: expected text, got {text!r:.40}") from error


def _over(what: str, got: str) -> DescriptionError:
    return DescriptionError(f"description: expected at most {LIMITS[what]:,} {what}, got {got}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise DescriptionError(f"description: expected each key once, got {twice!r:.40} twice")
    return unique


def _no_constant(name: str) -> float:
    raise DescriptionError(f"description: expected the numbers of JSON, got {name}")


def _finite(digits: str) -> float:
    value = float(digits) if len(digits) <= LIMITS["digits"] else math.inf
    if not math.isfinite(value):
        raise DescriptionError(f"description: expected a number of a double, got {digits:.40}")
    return value


def _short(digits: str) -> int:
    if len(digits) > LIMITS["digits"]:
        raise _over("digits", f"{len(digits):,}")
    return int(digits)
