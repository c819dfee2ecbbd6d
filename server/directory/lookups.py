"""The other routes: the directory itself, its events, and the search by JSONPath."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from tinyfleet.server.directory.directory import Directory
from tinyfleet.server.directory.events import Event, Kind
from tinyfleet.server.directory.jsonpath_search import search
from tinyfleet.server.directory.methods import ASKED
from tinyfleet.server.directory.own_thing import own_thing
from tinyfleet.server.directory.problem import RequestError, Told, described
from tinyfleet.server.directory.registry import View

MOST_SEARCHED = 10_000
"""Descriptions that a JSONPath is followed through; larger directories are for SPARQL."""

_PING = 15  # seconds; keeps a quiet stream open
_TD = "application/td+json"
_STREAM = "text/event-stream"

_SEARCH_REFUSED = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_IMPLEMENTED,
    HTTPStatus.SERVICE_UNAVAILABLE,
)

Diff = Annotated[bool, Query(description="Whether an event also holds what changed.")]
Last = Annotated[str | None, Header(alias="Last-Event-ID", description="The last event seen.")]


def lookup_routes(directory: Directory) -> APIRouter:
    """Return the routes of the directory's own description, of events and of JSONPath."""
    router = APIRouter(default_response_class=Response)
    _add_own(router, directory)
    _add_events(router, directory)
    _add_jsonpath(router, directory)
    return router


def _add_own(router: APIRouter, directory: Directory) -> None:
    answered: Told = {200: {"description": "OK", "content": {_TD: {"schema": {"type": "object"}}}}}

    async def describe_directory(request: Request) -> Response:
        """Return the directory's own Thing Description."""
        secured = directory.access.token is not None
        return JSONResponse(own_thing(str(request.base_url), secured=secured), media_type=_TD)

    for path, name in (("/", "describe_root"), ("/.well-known/wot", "describe_well_known")):
        router.add_api_route(
            path,
            describe_directory,
            methods=["GET"],
            operation_id=name,
            responses=answered,
            tags=["directory"],
        )


def _add_events(router: APIRouter, directory: Directory) -> None:
    answered: Told = {200: {"description": "The stream", "content": {_STREAM: {}}}}
    refused = described(HTTPStatus.BAD_REQUEST)

    @router.get("/events", responses={**answered, **refused}, tags=["events"])
    async def all_events(request: Request, diff: Diff = False, last: Last = None) -> Response:
        """Tell what happens to descriptions, as it happens."""
        return _stream(request, directory, tuple(Kind), diff=diff, last=last)

    @router.get("/events/{kind}", responses={**answered, **refused}, tags=["events"])
    async def events_of_a_kind(
        request: Request, kind: Kind, diff: Diff = False, last: Last = None
    ) -> Response:
        """Tell events of one kind."""
        return _stream(request, directory, (kind,), diff=diff, last=last)


def _stream(
    request: Request,
    directory: Directory,
    kinds: tuple[Kind, ...],
    *,
    diff: bool,
    last: str | None,
) -> Response:
    if request.scope.get(ASKED) == "HEAD":
        return Response(None, HTTPStatus.OK, media_type=_STREAM)
    events = directory.events.follow(last)

    async def told() -> AsyncIterator[ServerSentEvent]:
        async for identifier, event in events:
            if event.kind in kinds:
                yield _written(identifier, event, diff=diff)

    return EventSourceResponse(told(), ping=_PING)


def _written(identifier: str, event: Event, *, diff: bool) -> ServerSentEvent:
    return ServerSentEvent(event.data(diff=diff), event=event.kind, id=identifier, sep="\n")


def _add_jsonpath(router: APIRouter, directory: Directory) -> None:
    answered: Told = {200: {"description": "What was found", "content": {"application/json": {}}}}

    @router.get(
        "/search/jsonpath",
        responses={**answered, **described(*_SEARCH_REFUSED)},
        tags=["search"],
    )
    async def search_jsonpath(
        query: Annotated[str, Query(description="A JSONPath (RFC 9535) over the list.")],
    ) -> Response:
        """Search the list of descriptions by a JSONPath."""
        limits = directory.limits

        def found() -> bytes:
            if directory.registry.total() > MOST_SEARCHED:
                raise RequestError(
                    HTTPStatus.NOT_IMPLEMENTED,
                    f"expected a directory of at most {MOST_SEARCHED:,} descriptions for JSONPath; "
                    "search this one by SPARQL",
                )
            entries, _ = directory.registry.page(View(0, MOST_SEARCHED))
            things = [entry.enriched() for entry in entries]
            return search(query, things, limits.rows, limits.seconds)

        body = await directory.threads.search(found)
        return Response(body, media_type="application/json")
