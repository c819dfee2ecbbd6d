"""What is wrong with a description: the SHACL shapes, undefined terms, and the JSON schema of TDs.

W3C SHACL Core (`shapes.ttl`) for RDF; JSON Schema draft 7 for Thing Description 1.1.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final
from typing import Literal as OneOf

import pyshacl
from jsonschema import Draft7Validator, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend
from rdflib import DCTERMS, RDF, SH, BNode, Graph, Literal, URIRef
from rdflib.term import Node

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.contexts import SCHEMA_FILE, bundled
from tinyfleet.ontology.known_terms import known_terms
from tinyfleet.ontology.vocabulary import (
    HCTL,
    JSONSCHEMA,
    NNET,
    PREFIXES,
    S3N,
    S3N_EXTEND,
    TD,
    WOTSEC,
)

Kind = OneOf["device", "model", "deployment", "round"]

MAXIMUM_PARTS: Final = 256  # microcontrollers and memories in what is checked
_PARTS: Final = (S3N.MicroController, S3N_EXTEND.RAM, S3N_EXTEND.Flash)

# In these, words of a Thing Description that no vocabulary knows become IRIs of objects too.
_OPEN: Final = frozenset(map(str, (TD, HCTL, JSONSCHEMA, WOTSEC)))


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with a description.

    Attributes:
        focus: IRI of the node that it is about; of a blank node its class, or "".
        path: the property, shortened, such as "schema:value"; "" for the node itself.
        message: what was expected, what came, and what to do.
        grave: whether the description is refused for it.
    """

    focus: str
    path: str
    message: str
    grave: bool = True

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.focus, self.path, self.message)))


def problems(graph: Graph, *, kind: Kind | None = None) -> list[Problem]:
    """Return what is wrong with what `graph` describes, the grave first; it is left as it was.

    Args:
        graph: RDF of devices, models, deployments or rounds.
        kind: the shapes of one kind of description alone; None for all.
    """
    found = {*_broken(graph, kind), *(_undefined(graph) if _is_ours(graph) else ())}
    return sorted(found, key=lambda problem: (not problem.grave, problem))


def check(graph: Graph) -> None:
    """Refuse a graph that breaks a shape.

    Raises:
        DescriptionError: the first problem's focus, path and message, and how many more there
            are; or more parts than any device has.
    """
    parts = sum(1 for kind in _PARTS for _ in graph.subjects(RDF.type, kind))
    if parts > MAXIMUM_PARTS:
        raise DescriptionError(
            f"description: expected at most {MAXIMUM_PARTS} processors and memories, got {parts:,}"
        )
    grave = sorted(problem for problem in _broken(graph, None) if problem.grave)
    if grave:
        more = f" (and {len(grave) - 1} more)" if len(grave) > 1 else ""
        raise DescriptionError(f"{grave[0]}{more}")


def check_thing(thing: Mapping[str, Any]) -> None:
    """Refuse what the JSON schema of Thing Description 1.1 refuses.

    Args:
        thing: JSON values within the limits of `read_json`.

    Raises:
        DescriptionError: where in the description, what was expected, what came.
    """
    errors = _td_validator().iter_errors(thing)
    worst = best_match(errors)
    if worst is not None:
        path = "/".join(map(str, worst.absolute_path)) or "description"
        raise DescriptionError(f"{path}: {_short(worst)}; see Thing Description 1.1")


def _broken(graph: Graph, kind: Kind | None) -> Iterator[Problem]:
    shapes = _shapes()
    chosen = (
        None if kind is None else [str(s) for s in shapes.subjects(DCTERMS.subject, Literal(kind))]
    )
    _, report, _ = pyshacl.validate(graph, shacl_graph=shapes, use_shapes=chosen)
    for result in report.objects(None, SH.result):
        messages = sorted(map(str, report.objects(result, SH.resultMessage)))
        value = report.value(result, SH.value)
        got = f"; got {value:.80}" if isinstance(value, Literal | URIRef) else ""
        yield Problem(
            focus=_name(graph, report.value(result, SH.focusNode)),
            path=_path(report, report.value(result, SH.resultPath)),
            message=f"{messages[0] if messages else 'expected another value'}{got}",
            grave=report.value(result, SH.resultSeverity) == SH.Violation,
        )


def _is_ours(graph: Graph) -> bool:
    ours = (S3N.SmartSensor, NNET.NeuralNetwork)
    return any((None, RDF.type, kind) in graph for kind in ours)


def _undefined(graph: Graph) -> Iterator[Problem]:
    """Yield each term that lies in a known namespace and is not defined there, once."""
    found: dict[URIRef, Problem] = {}
    for subject, predicate, value in sorted(graph):
        for term, open_too in ((predicate, True), (value, predicate == RDF.type)):
            if isinstance(term, URIRef) and term not in found and _is_undefined(term, open_too):
                found[term] = Problem(
                    focus=_name(graph, subject),
                    path=_curie(predicate),
                    message=f"expected a term that its vocabulary defines, got {_curie(term)}",
                    grave=False,
                )
    yield from found.values()


def _is_undefined(term: URIRef, open_too: bool) -> bool:
    for namespace, words in known_terms().items():
        if term.startswith(namespace) and (open_too or namespace not in _OPEN):
            word = term.removeprefix(namespace)
            # what lies deeper, such as a published model, is no term of the vocabulary
            return bool(word) and "/" not in word and word not in words
    return False


@cache
def _shapes() -> Graph:
    text = (files("tinyfleet.ontology") / "shapes.ttl").read_text(encoding="utf-8")
    return Graph(bind_namespaces="none").parse(data=text, format="turtle")


@cache
def _td_validator() -> Draft7Validator:
    schema = json.loads(bundled(SCHEMA_FILE))
    definitions = schema["definitions"]
    # these mean the same, and take a time that grows with the text alone, not with its square
    definitions["additionalSecurityScheme"]["properties"]["scheme"]["pattern"] = ".:"
    definitions["icon_link_element"]["allOf"][1]["properties"]["sizes"]["pattern"] = "x[0-9]"
    linear = extend(  # type: ignore[no-untyped-call]
        Draft7Validator, {"uniqueItems": _unique_items}
    )
    validator: Draft7Validator = linear(schema)
    return validator


def _unique_items(
    _: Any, wanted: bool, instance: Any, __: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list):
        texts = {json.dumps(item, sort_keys=True) for item in instance}
        if len(texts) < len(instance):
            yield ValidationError("expected each item once, got one twice")


def _short(error: ValidationError) -> str:
    """Return the message without a long quotation of what came."""
    text = " ".join(error.message.split())
    return text if len(text) <= 160 else f"…{text[-159:]}"


def _name(graph: Graph, node: Node | None) -> str:
    if isinstance(node, BNode):
        return min(map(_curie, graph.objects(node, RDF.type)), default="")
    return "" if node is None else str(node)


def _path(report: Graph, path: Node | None) -> str:
    if path is None or isinstance(path, URIRef):
        return "" if path is None else _curie(path)
    choice = report.value(path, SH.alternativePath)
    if choice is not None:
        return "|".join(_path(report, step) for step in report.items(choice))
    return "/".join(_path(report, step) for step in report.items(path))


def _curie(term: Node) -> str:
    for prefix, namespace in PREFIXES.items():
        if str(term).startswith(namespace) and "/" not in str(term).removeprefix(namespace):
            return f"{prefix}:{str(term).removeprefix(namespace)}"
    return str(term)
