"""The SPARQL routes: `/sparql`, by the protocol, and `/search/sparql`, by W3C WoT Discovery."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from tinyfleet.errors import QueryError
from tinyfleet.ontology.evaluate import Question
from tinyfleet.ontology.queries import guard
from tinyfleet.server.directory import answers
from tinyfleet.server.directory.dataset import (
    check_graph,
    spelled_out,
    taken_apart,
    using,
    with_using,
)
from tinyfleet.server.directory.directory import Directory
from tinyfleet.server.directory.negotiation import preferred
from tinyfleet.server.directory.problem import RequestError, Told, described
from tinyfleet.server.directory.protocol import (
    FORM,
    QUERY,
    UPDATE,
    Operation,
    read_get,
    read_post,
)
from tinyfleet.server.directory.service import service_description

_FIRST = {  # what each standard wants by default
    "/sparql": ("application/sparql-results+json", "text/turtle"),
    "/search/sparql": ("application/json", "application/ld+json"),
}
_QUERY_REFUSED = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_ACCEPTABLE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_POST_REFUSED = (*_QUERY_REFUSED, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_WRITE_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

Text = Annotated[list[str] | None, Query(description="A SPARQL 1.1 query; exactly one.")]
Graphs = Annotated[list[str] | None, Query(description="IRIs of graphs.")]


def sparql_routes(directory: Directory) -> APIRouter:
    """Return the routes of `/sparql` and `/search/sparql`."""
    router = APIRouter(tags=["sparql"], default_response_class=Response)
    _add_endpoint(router, directory)
    _add_search(router, directory)
    return router


def _add_endpoint(router: APIRouter, directory: Directory) -> None:
    @router.get(
        "/sparql",
        responses={**_answered(), **described(*_QUERY_REFUSED)},
        openapi_extra=_graphs("default-graph-uri", "named-graph-uri"),
    )
    async def sparql_query(request: Request, query: Text = None) -> Response:
        """Answer a query; without one, describe the service."""
        del query  # declared for readers; the protocol's own parser reads it
        operation = read_get(request.query_params.multi_items())
        if operation is None:
            media = _negotiated(request, answers.GRAPHS)
            text = service_description(_endpoint(request), media, writable=directory.writable)
            return Response(text, HTTPStatus.OK, {"Vary": "Accept"}, media)
        return await _answer(directory, request, operation)

    @router.post(
        "/sparql",
        responses={
            **_answered(),
            204: {"description": "Updated"},
            **described(*_POST_REFUSED, *_WRITE_REFUSED),
        },
        openapi_extra=_body(FORM, QUERY, UPDATE),
    )
    async def sparql_post(request: Request) -> Response:
        """Answer a query, or do an update where the directory is writable."""
        operation = await _posted(request)
        if not operation.update:
            return await _answer(directory, request, operation)
        directory.access.check_writer(request.headers)
        if not directory.writable:
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                "expected a query, got an update; start the directory with --writable to take them",
            )
        endpoint = _endpoint(request)
        text = await directory.threads.search(lambda: _updated(operation, endpoint))
        await directory.threads.write(lambda: _record(directory, text))
        directory.registry.changed()
        return Response(None, HTTPStatus.NO_CONTENT)


def _add_search(router: APIRouter, directory: Directory) -> None:
    @router.get("/search/sparql", responses={**_answered(), **described(*_QUERY_REFUSED)})
    async def search_sparql(request: Request, query: Text = None) -> Response:
        """Search the descriptions by a query."""
        del query
        operation = read_get(request.query_params.multi_items())
        if operation is None:
            raise RequestError(HTTPStatus.BAD_REQUEST, "query: expected one, got none")
        return await _answer(directory, request, operation)

    @router.post(
        "/search/sparql",
        responses={**_answered(), **described(*_POST_REFUSED)},
        openapi_extra=_body(FORM, QUERY),
    )
    async def search_sparql_post(request: Request) -> Response:
        """Search the descriptions by a query."""
        operation = await _posted(request)
        if operation.update:
            raise RequestError(HTTPStatus.BAD_REQUEST, "expected a query, got an update")
        return await _answer(directory, request, operation)


async def _posted(request: Request) -> Operation:
    content_type = request.headers.get("content-type", "")
    return read_post(content_type, request.query_params.multi_items(), await request.body())


async def _answer(directory: Directory, request: Request, operation: Operation) -> Response:
    limits = directory.limits
    asked = await directory.threads.search(lambda: taken_apart(operation.text))
    if operation.default_graphs or operation.named_graphs:
        asked = replace(
            asked,
            default_graphs=tuple(map(check_graph, operation.default_graphs)),
            named_graphs=tuple(map(check_graph, operation.named_graphs)),
        )
    first = _FIRST[request.url.path]
    offered = sorted(answers.FORMATS[asked.form], key=lambda media: media not in first)
    media = _negotiated(request, offered)
    question = Question(
        f"BASE <{_endpoint(request)}> {asked.text}" if asked.relative else asked.text,
        media,
        media,
        asked.default_graphs,
        asked.named_graphs,
        union=True,
        limit=limits.rows,
        seconds=limits.seconds,
    )
    found = await directory.threads.search(lambda: directory.graph.answer(question))
    if found.more:
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            f"expected at most {limits.rows:,} rows or triples, got more; add LIMIT",
        )
    return Response(found.body, HTTPStatus.OK, {"Vary": "Accept"}, media)


def _record(directory: Directory, text: str) -> None:
    try:
        directory.graph.record(text)
    except QueryError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, str(error)) from None


def _updated(operation: Operation, endpoint: str) -> str:
    text = spelled_out(operation.text, endpoint)
    guard(text, allow_update=True)
    return with_using(text, using(operation.default_graphs, operation.named_graphs))


def _endpoint(request: Request) -> str:
    return str(request.url.replace(query=None, fragment=None))


def _negotiated(request: Request, offered: Sequence[str]) -> str:
    media = preferred(request.headers.getlist("accept"), offered)
    if media is None:
        raise RequestError(
            HTTPStatus.NOT_ACCEPTABLE, f"Accept: expected one of {', '.join(offered)}"
        )
    return media


def _answered() -> Told:
    medias = (*answers.TABLES, *answers.GRAPHS)
    return {200: {"description": "The answer", "content": {media: {} for media in medias}}}


def _body(*taken: str) -> dict[str, Any]:
    content = {media: {"schema": {"type": "string"}} for media in taken}
    return {"requestBody": {"required": True, "content": content}}


def _graphs(*names: str) -> dict[str, Any]:
    array = {"type": "array", "items": {"type": "string"}}
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": array} for name in names
        ]
    }
