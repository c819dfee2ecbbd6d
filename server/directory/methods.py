"""HEAD, OPTIONS and methods that are not there: one answer for all routes."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinyfleet.server.directory.problem import RequestError, described, response

ASKED = "tinyfleet.method"
"""Where a route finds the method that the client used, HEAD among them."""

_EVERYWHERE = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


class Methods:
    """ASGI middleware: HEAD is a GET without body, OPTIONS tells the methods, others are refused.

    Args:
        app: what is behind it.
        routes: of the application.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._allowed: dict[re.Pattern[str], set[str]] = {}
        for route in routes:
            if isinstance(route, APIRoute):
                allowed = self._allowed.setdefault(route.path_regex, {"OPTIONS"})
                allowed |= route.methods or set()
                if "GET" in allowed:
                    allowed.add("HEAD")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        allowed = self._methods(scope["path"])
        method = scope["method"]
        headers = {"Allow": ", ".join(sorted(allowed))}
        if allowed and method == "OPTIONS":
            await Response(None, HTTPStatus.NO_CONTENT, headers)(scope, receive, send)
        elif allowed and method not in allowed:
            refusal = RequestError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"expected {headers['Allow']}, got {method}",
                headers=headers,
            )
            await response(refusal, scope["path"])(scope, receive, send)
        elif method == "HEAD":
            await self._app({**scope, "method": "GET", ASKED: "HEAD"}, receive, _bodiless(send))
        else:
            await self._app(scope, receive, send)

    def _methods(self, path: str) -> set[str]:
        return next((found for form, found in self._allowed.items() if form.fullmatch(path)), set())


def _bodiless(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def declare_methods(openapi: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI description with HEAD and OPTIONS, as `Methods` answers them."""
    for path in openapi["paths"].values():
        shared = [p for p in next(iter(path.values())).get("parameters", []) if p["in"] == "path"]
        if "get" in path:
            path["head"] = _head(path["get"])
        path["options"] = {
            "operationId": f"{next(iter(path.values()))['operationId']}_options",
            "summary": "Which methods there are",
            "parameters": shared,
            "responses": {"204": {"description": "Allow names them"}},
        }
        for operation in path.values():
            operation["responses"].pop("422", None)  # a broken parameter is answered by 400
            for status, refused in described(*_EVERYWHERE).items():
                operation["responses"].setdefault(str(status), refused)
    return openapi


def _head(get: Mapping[str, Any]) -> dict[str, Any]:
    responses = {
        status: {"description": told["description"]} for status, told in get["responses"].items()
    }
    return {**get, "operationId": f"{get['operationId']}_head", "responses": responses}
