"""Who may ask what, and how much they may send: checked before anything else looks."""

import asyncio
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinyfleet.errors import ConfigError
from tinyfleet.server.directory.problem import RequestError, response

MAXIMUM_BYTES = 1 << 20
"""The largest body of a request."""

BODY_SECONDS = 30.0
"""How long a client may take to send a body."""

LEAST_TOKEN = 16
"""Characters that a token has at least."""

_READS = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\\<>\"\s]*)(:[0-9]*)?")
_QUERIES = ("/sparql", "/search/sparql")  # a POST there may be a query; the endpoint decides


@dataclass(frozen=True)
class Access:
    """What is let in.

    Attributes:
        token: what whoever writes must bear; None lets everybody write.
        hosts: names by which the directory may be called; none means any. A page in a browser
            that makes its own name point here is not among them.
    """

    token: str | None = None
    hosts: Sequence[str] = ()

    def check_writer(self, headers: Headers) -> None:
        """Let a writer in.

        Raises:
            RequestError: 401 without the token, 403 from a page of another site.
        """
        origin = headers.get("origin")
        if origin is not None and _authority(origin) != headers.get("host"):
            raise RequestError(
                HTTPStatus.FORBIDDEN, f"expected a page of this directory to write, got {origin}"
            )
        if self.token is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not _equal(given.strip(), self.token):
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                "expected 'Authorization: Bearer' with the directory's token to write",
                headers={"WWW-Authenticate": 'Bearer realm="directory"'},
            )


def _authority(origin: str) -> str:
    return origin.partition("://")[2]  # an origin ends with it; "null" has none


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode("utf-8"))


def read_token(path: Path) -> str:
    """Return the token that a file holds.

    Raises:
        ConfigError: there is no such file, or it holds no token.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file: expected a file with a token, got {error}") from None
    if len(token) < LEAST_TOKEN or not token.isascii() or any(map(str.isspace, token)):
        raise ConfigError(
            f"{path}: expected one token of at least {LEAST_TOKEN} ASCII characters; "
            f"make one: python -c 'import secrets; print(secrets.token_urlsafe())' > {path}"
        )
    return token


class Gate:
    """ASGI middleware: refuses strangers' names, bodies over the limit, and writers without leave.

    Args:
        app: what is behind it.
        access: what is let in.
        seconds: that a client may take to send a body.
    """

    def __init__(self, app: ASGIApp, access: Access, seconds: float = BODY_SECONDS) -> None:
        self._app, self._access, self._seconds = app, access, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            self._check(scope, Headers(scope=scope))
            body = await self._body(receive)
            await self._app(scope, _again(body, receive), send_on)
        except RequestError as refusal:
            await response(refusal, scope["path"])(scope, receive, send)
        except asyncio.CancelledError:  # the server stops, and waited long enough for this answer
            if begun:
                raise
            await response(_stopping(), scope["path"])(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = _name(headers.get("host", ""))
        if self._access.hosts and host not in self._access.hosts:
            raise RequestError(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"expected one of {', '.join(self._access.hosts)} as host, got {host!r:.100}",
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAXIMUM_BYTES:
            raise _too_large()
        if (encoding := headers.get("content-encoding", "identity").strip().lower()) != "identity":
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Content-Encoding: expected identity, got {encoding:.40}; send it uncompressed",
                headers={"Accept-Encoding": "identity"},
            )
        if scope["method"] not in _READS and scope["path"] not in _QUERIES:
            self._access.check_writer(headers)

    async def _body(self, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                return await _whole(receive)
        except TimeoutError:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"expected the whole body within {self._seconds:g} s, got a part of it",
                headers={"Connection": "close"},
            ) from None


def _name(host: str) -> str:
    """Return the name in a Host header, without its port.

    Raises:
        RequestError: it is malformed.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"Host: expected a name and a port, got {host!r:.100}"
        )
    return found["name"].strip("[]").lower()


async def _whole(receive: Receive) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAXIMUM_BYTES:
            raise _too_large()
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _stopping() -> RequestError:
    return RequestError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "expected an answer, got none before the directory stopped; ask again later",
        headers={"Retry-After": "5"},
    )


def _too_large() -> RequestError:
    return RequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected a body of at most {MAXIMUM_BYTES:,} B"
    )
