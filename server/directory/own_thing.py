"""The directory's own Thing Description: how to be found, and what can be asked of it.

It follows the Thing Model of W3C WoT Discovery, section 7.3.2.4, as far as this directory goes.
"""

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tinyfleet.server.directory.registration import CONTEXT

_ID = {"id": {"@type": "ThingID", "title": "Identifier of a description", "type": "string"}}
_QUERY = {"query": {"title": "The query", "type": "string"}}
_LIST = {
    "offset": {"type": "integer", "minimum": 0, "default": 0},
    "limit": {"type": "integer", "minimum": 1},
    "sort_by": {"type": "string", "enum": ["id", "created", "modified", "expires"]},
    "sort_order": {"type": "string", "enum": ["asc", "desc"], "default": "asc"},
    "format": {"type": "string", "enum": ["array", "collection"], "default": "array"},
}
_EVENT = {
    "diff": {"title": "Whether an event also holds what changed", "type": "boolean"},
}


def own_thing(base: str, *, secured: bool) -> dict[str, Any]:
    """Return the description of the directory.

    Args:
        base: its address, as the client wrote it.
        secured: whether writing takes a token.
    """
    definitions: dict[str, Any] = {"nosec_sc": {"scheme": "nosec"}}
    if secured:
        definitions["bearer_sc"] = {"scheme": "bearer", "in": "header", "format": "opaque"}
    writing = {"security": "bearer_sc"} if secured else {}
    return {
        "@context": ["https://www.w3.org/2022/wot/td/v1.1", CONTEXT],
        "@type": "ThingDirectory",
        "id": uuid5(NAMESPACE_URL, base).urn,
        "title": "Thing Description Directory of a tinyfleet",
        "base": base,
        "securityDefinitions": definitions,
        "security": "nosec_sc",
        "properties": {"things": _things()},
        "actions": {**_writes(writing), **_reads()},
        "events": {name: _event(path) for name, path in _EVENTS.items()},
        "links": [
            {"rel": "service-desc", "href": "openapi.json", "type": "application/json"},
        ],
    }


_EVENTS = {
    "thingCreated": "thing_created",
    "thingUpdated": "thing_updated",
    "thingDeleted": "thing_deleted",
}


def _things() -> dict[str, Any]:
    form = _form("things{?offset,limit,sort_by,sort_order,format}", "GET", 200)
    form["op"] = "readproperty"
    form["response"] = {"contentType": "application/ld+json", "htv:statusCodeValue": 200}
    form["contentType"] = "application/ld+json"
    return {
        "title": "All descriptions",
        "type": "array",
        "items": {"type": "object"},
        "readOnly": True,
        "uriVariables": _LIST,
        "forms": [form],
    }


def _writes(writing: Mapping[str, Any]) -> dict[str, Any]:
    td, patch = "application/td+json", "application/merge-patch+json"
    return {
        "createAnonymousThing": _action(
            "Register a description without id", _form("things", "POST", 201, td, writing)
        ),
        "createThing": _action(
            "Register a description", _form("things/{id}", "PUT", 201, td, writing), _ID
        ),
        "updateThing": _action(
            "Replace a description", _form("things/{id}", "PUT", 204, td, writing), _ID
        ),
        "partiallyUpdateThing": _action(
            "Change a description", _form("things/{id}", "PATCH", 204, patch, writing), _ID
        ),
        "deleteThing": _action(
            "Delete a description", _form("things/{id}", "DELETE", 204, None, writing), _ID
        ),
    }


def _reads() -> dict[str, Any]:
    safe = {"safe": True, "idempotent": True}
    sparql = "application/sparql-query"
    return {
        "retrieveThing": {
            **_action("Retrieve a description", _form("things/{id}", "GET", 200), _ID),
            **safe,
        },
        "searchJSONPath": {
            **_action("Search by JSONPath", _form("search/jsonpath{?query}", "GET", 200), _QUERY),
            **safe,
        },
        "searchSPARQL": {
            "title": "Search by SPARQL 1.1",
            "uriVariables": _QUERY,
            "forms": [
                _form("search/sparql{?query}", "GET", 200),
                _form("search/sparql", "POST", 200, sparql),
            ],
            **safe,
        },
    }


def _action(
    title: str, form: Mapping[str, Any], variables: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {"title": title, "forms": [form], **({"uriVariables": variables} if variables else {})}


def _form(
    href: str,
    method: str,
    status: int,
    content: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "href": href,
        "htv:methodName": method,
        **({"contentType": content} if content else {}),
        "response": {"contentType": "application/json", "htv:statusCodeValue": status},
        "additionalResponses": [{"contentType": "application/problem+json", "success": False}],
        **(more or {}),
    }


def _event(kind: str) -> dict[str, Any]:
    return {
        "title": kind.replace("_", " "),
        "uriVariables": _EVENT,
        "data": {"type": "object"},
        "forms": [
            {
                "op": "subscribeevent",
                "href": f"events/{kind}{{?diff}}",
                "subprotocol": "sse",
                "contentType": "text/event-stream",
            }
        ],
    }
