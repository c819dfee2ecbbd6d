"""The Things API of W3C WoT Discovery (7.3.2.1): create, retrieve, update, delete and list."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Header, Query, Request, Response

from tinyfleet.errors import DescriptionError
from tinyfleet.ontology.things_rdf import read_json
from tinyfleet.server.directory.directory import Directory
from tinyfleet.server.directory.negotiation import preferred
from tinyfleet.server.directory.problem import RequestError, Told, described
from tinyfleet.server.directory.registration import CONTEXT
from tinyfleet.server.directory.registry import Entry, View, invalid

TD = "application/td+json"
PATCH = "application/merge-patch+json"
_TD_GIVEN = (TD, "application/ld+json", "application/json")
_LIST_GIVEN = ("application/ld+json", "application/json")
_TAKEN = (TD, "application/ld+json", "application/json")

IfMatch = Annotated[str | None, Header(description="Write only over one of these states.")]
IfNoneMatch = Annotated[str | None, Header(description="Answer only if none of these is current.")]
Offset = Annotated[int, Query(ge=0, le=1 << 40, description="Descriptions that are skipped.")]
Limit = Annotated[int | None, Query(ge=1, le=1 << 40, description="Descriptions on a page.")]


class SortBy(StrEnum):
    """What the list is sorted by."""

    ID = "id"
    CREATED = "created"
    MODIFIED = "modified"
    EXPIRES = "expires"


class SortOrder(StrEnum):
    """Which way the list is sorted."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class Format(StrEnum):
    """Whether the list is bare, or a collection that says where it goes on."""

    ARRAY = "array"
    COLLECTION = "collection"


@dataclass(frozen=True)
class Listing:
    """What part of the list is asked for, and how."""

    offset: int
    limit: int
    sort_by: SortBy
    sort_order: SortOrder
    format: Format

    def address(self, step: int) -> str:
        """Return the address of the page that lies `step` descriptions behind this one."""
        parameters: dict[str, str | int] = {"offset": self.offset + step, "limit": self.limit}
        if self.sort_by is not SortBy.ID:
            parameters["sort_by"] = self.sort_by
        if self.sort_order is not SortOrder.ASCENDING:
            parameters["sort_order"] = self.sort_order
        if self.format is not Format.ARRAY:
            parameters["format"] = self.format
        return f"/things?{urlencode(parameters)}"


_ORDERS = {SortOrder.ASCENDING: "ascending", SortOrder.DESCENDING: "descending"}
_THING = {"type": "object", "description": "A Thing Description 1.1"}
_COLLECTION = {
    "type": "object",
    "properties": {
        "@context": {"type": "string"},
        "@type": {"const": "ThingCollection"},
        "@id": {"type": "string"},
        "total": {"type": "integer"},
        "members": {"type": "array", "items": _THING},
        "next": {"type": "string"},
    },
}
_LIST = {"oneOf": [{"type": "array", "items": _THING}, _COLLECTION]}
_REFUSED = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


def things_routes(directory: Directory) -> APIRouter:
    """Return the routes of `/things`."""
    router = APIRouter(tags=["things"], default_response_class=Response)
    _add_list(router, directory)
    _add_create(router, directory)
    _add_retrieve(router, directory)
    _add_put(router, directory)
    _add_patch(router, directory)
    _add_delete(router, directory)
    return router


def _add_list(router: APIRouter, directory: Directory) -> None:
    @router.get("/things", responses=_answers(_LIST, _LIST_GIVEN))
    async def list_things(
        request: Request,
        offset: Offset = 0,
        limit: Limit = None,
        sort_by: SortBy = SortBy.ID,
        sort_order: SortOrder = SortOrder.ASCENDING,
        format: Format = Format.ARRAY,  # noqa: A002 - the standard's name
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """List descriptions, in pages."""
        media = _negotiated(request, _LIST_GIVEN)
        size = min(limit or directory.limits.page, directory.limits.page)
        listing = Listing(offset, size, sort_by, sort_order, format)
        state = directory.registry.state
        headers = {"ETag": f'W/"{state}-{format}"', "Vary": "Accept"}
        if if_none_match and _known(if_none_match, headers["ETag"]):
            return Response(None, HTTPStatus.NOT_MODIFIED, headers)
        body, more = await directory.threads.read(lambda: _page(directory, listing))
        headers["Link"] = f'</things>; rel="canonical"; etag="{state}"' + (
            f', <{listing.address(size)}>; rel="next"' if more else ""
        )
        return Response(body, HTTPStatus.OK, headers, media)


def _page(directory: Directory, listing: Listing) -> tuple[bytes, bool]:
    """Return a page of the list as JSON text, and whether there is another behind it."""
    entries, more = directory.registry.page(
        View(listing.offset, listing.limit, listing.sort_by, _ORDERS[listing.sort_order])
    )
    members = [_told(entry) for entry in entries]
    if listing.format is Format.ARRAY:
        return _written(members), more
    collection = {
        "@context": CONTEXT,
        "@type": "ThingCollection",
        "@id": listing.address(0),
        "total": directory.registry.total(),
        "members": members,
    }
    if more:
        collection["next"] = listing.address(listing.limit)
    return _written(collection), more


def _add_create(router: APIRouter, directory: Directory) -> None:
    headers = {"Location": {"schema": {"type": "string"}, "description": "The new resource."}}
    created: Told = {201: {"description": "Created; it has got an id", "headers": headers}}

    @router.post(
        "/things",
        status_code=201,
        responses={**created, **described(*_REFUSED)},
        openapi_extra=_body(_TAKEN),
    )
    async def create_anonymous_thing(request: Request) -> Response:
        """Register a description that has no id."""
        given = await _body_of(request, _TAKEN)
        entry = await directory.threads.write(lambda: directory.registry.create(_read(given)))
        place = quote(str(entry.thing["id"]), safe=":")
        return Response(
            None, HTTPStatus.CREATED, {"Location": f"/things/{place}", "ETag": entry.tag}
        )


def _add_retrieve(router: APIRouter, directory: Directory) -> None:
    @router.get(
        "/things/{id:path}",
        responses={**_answers(_THING, _TD_GIVEN), **described(HTTPStatus.NOT_FOUND)},
    )
    async def retrieve_thing(
        request: Request,
        id: str,  # noqa: A002 - the standard's name
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Return a description, with its registration."""
        media = _negotiated(request, _TD_GIVEN)
        entry = await directory.threads.read(lambda: directory.registry.get(id))
        headers = {"ETag": entry.tag, "Vary": "Accept"}
        if if_none_match and _known(if_none_match, entry.tag):
            return Response(None, HTTPStatus.NOT_MODIFIED, headers)
        return Response(_written(_told(entry)), HTTPStatus.OK, headers, media)


def _add_put(router: APIRouter, directory: Directory) -> None:
    done: Told = {201: {"description": "Created"}, 204: {"description": "Replaced"}}

    @router.put(
        "/things/{id:path}",
        status_code=201,
        responses={**done, **described(*_REFUSED)},
        openapi_extra=_body(_TAKEN),
    )
    async def put_thing(
        request: Request,
        id: str,  # noqa: A002
        if_match: IfMatch = None,
    ) -> Response:
        """Register a description, or replace one."""
        given = await _body_of(request, _TAKEN)
        new = await directory.threads.write(
            lambda: directory.registry.put(id, _read(given), if_match)
        )
        return Response(None, HTTPStatus.CREATED if new else HTTPStatus.NO_CONTENT)


def _add_patch(router: APIRouter, directory: Directory) -> None:
    @router.patch(
        "/things/{id:path}",
        status_code=204,
        responses=described(*_REFUSED, HTTPStatus.NOT_FOUND),
        openapi_extra=_body((PATCH,)),
    )
    async def patch_thing(
        request: Request,
        id: str,  # noqa: A002
        if_match: IfMatch = None,
    ) -> Response:
        """Change a description by a merge patch; an empty one renews its time to live."""
        given = await _body_of(request, (PATCH,))
        await directory.threads.write(lambda: directory.registry.patch(id, _read(given), if_match))
        return Response(None, HTTPStatus.NO_CONTENT)


def _add_delete(router: APIRouter, directory: Directory) -> None:
    refused = (*_REFUSED[1:5], HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)

    @router.delete("/things/{id:path}", status_code=204, responses=described(*refused))
    async def delete_thing(
        id: str,  # noqa: A002
        if_match: IfMatch = None,
    ) -> Response:
        """Delete a description."""
        await directory.threads.write(lambda: directory.registry.delete(id, if_match))
        return Response(None, HTTPStatus.NO_CONTENT)


def _told(entry: Entry) -> dict[str, Any]:
    return entry.enriched(datetime.now(UTC))


def _written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _negotiated(request: Request, offered: Sequence[str]) -> str:
    media = preferred(request.headers.getlist("accept"), offered)
    if media is None:
        raise RequestError(
            HTTPStatus.NOT_ACCEPTABLE,
            f"Accept: expected one of {', '.join(offered)}",
        )
    return media


def _known(tags: str, tag: str) -> bool:
    given = {part.strip().removeprefix("W/") for part in tags.split(",")}
    return "*" in given or tag.removeprefix("W/") in given


async def _body_of(request: Request, taken: Sequence[str]) -> bytes:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in taken:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type: expected {' or '.join(taken)}, got {media or 'none'}",
            headers={"Accept": ", ".join(taken)},
        )
    return await request.body()


def _read(body: bytes) -> dict[str, Any]:
    try:
        return read_json(body)
    except DescriptionError as error:
        raise invalid(error) from None


def _answers(schema: dict[str, Any], given: Sequence[str]) -> Told:
    content = {media: {"schema": schema} for media in given}
    return {
        200: {"description": "OK", "content": content},
        304: {"description": "Not Modified"},
        **described(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_ACCEPTABLE),
    }


def _body(taken: Sequence[str]) -> dict[str, Any]:
    content = {media: {"schema": {"type": "object"}} for media in taken}
    return {"requestBody": {"required": True, "content": content}}
