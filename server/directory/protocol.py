"""The SPARQL 1.1 protocol: what an HTTP request asks of the graph (W3C, 21 March 2013)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

from tinyfleet.server.directory.problem import RequestError

FORM = "application/x-www-form-urlencoded"
QUERY = "application/sparql-query"
UPDATE = "application/sparql-update"

Parameters = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Operation:
    """A query or an update, and the graphs that it is about.

    Attributes:
        text: in SPARQL 1.1.
        update: whether it is an update.
        default_graphs: IRIs of the graphs that make the default graph.
        named_graphs: IRIs of the graphs that GRAPH can name. With neither, the service's own.
    """

    text: str
    update: bool
    default_graphs: tuple[str, ...] = ()
    named_graphs: tuple[str, ...] = ()


def read_get(parameters: Parameters) -> Operation | None:
    """Return what a GET asks; None where it asks nothing.

    Raises:
        RequestError: an update, or several queries.
    """
    given = _Given(parameters)
    if given.all("update"):
        raise RequestError(HTTPStatus.BAD_REQUEST, "update: expected an update by POST, got GET")
    if not given.all("query"):
        return None
    return given.operation("query")


def read_post(content_type: str, parameters: Parameters, body: bytes) -> Operation:
    """Return what a POST asks.

    Args:
        content_type: of the body.
        parameters: of the URL.
        body: a form, a query or an update, as its content type says.

    Raises:
        RequestError: 415 for another content type, 400 for none or several operations or bad UTF-8.
    """
    media, charset = _media(content_type)
    if charset not in ("", "utf-8", "us-ascii"):
        raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected UTF-8, got {charset:.40}")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"expected UTF-8, got {error}") from None
    if media == FORM:
        try:
            form = parse_qsl(text, keep_blank_values=True, max_num_fields=1000, errors="strict")
        except ValueError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, f"expected a form, got {error}") from None
        given = _Given([*parameters, *form])
        return given.operation("update" if given.all("update") else "query")
    if media not in (QUERY, UPDATE):
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"expected {FORM}, {QUERY} or {UPDATE}, got {media or 'no content type'}",
        )
    name = "query" if media == QUERY else "update"
    return _Given([*parameters, (name, text)]).operation(name)


class _Given:
    def __init__(self, parameters: Parameters) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in parameters:
            self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))

    def operation(self, name: str) -> Operation:
        both = (*self.all("query"), *self.all("update"))
        if len(both) != 1:
            raise RequestError(
                HTTPStatus.BAD_REQUEST, f"{name}: expected exactly one, got {len(both)} operations"
            )
        default, named = _GRAPHS[name]
        return Operation(both[0], name == "update", self.all(default), self.all(named))


_GRAPHS: Mapping[str, tuple[str, str]] = {
    "query": ("default-graph-uri", "named-graph-uri"),
    "update": ("using-graph-uri", "using-named-graph-uri"),
}


def _media(content_type: str) -> tuple[str, str]:
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return media, value.strip().strip('"')
    return media, ""
