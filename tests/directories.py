"""A directory for tests: in this process, or served on a port of its own.

Every answer in this process is held against the directory's own OpenAPI description.
"""

import json
import re
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from tinyfleet.ontology.graph import FleetGraph
from tinyfleet.server.directory.access import Access
from tinyfleet.server.directory.app import directory_app
from tinyfleet.server.directory.directory import Directory, Limits
from tinyfleet.server.directory.threads import Threads

TD = {"content-type": "application/td+json"}
PATCH = {"content-type": "application/merge-patch+json"}
ORIGIN = "http://127.0.0.1:8090"


def thing(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a small valid description."""
    return {
        "@context": "https://www.w3.org/2022/wot/td/v1.1",
        "id": f"urn:example:{number}",
        "title": f"thing {number}",
        "securityDefinitions": {"nosec_sc": {"scheme": "nosec"}},
        "security": "nosec_sc",
        **more,
    }


def nameless(**more: Any) -> dict[str, Any]:
    """Return a valid description without id."""
    return {key: value for key, value in thing(**more).items() if key != "id"}


class Asked:
    """A client of a directory in this process, without sockets.

    Attributes:
        directory: what is asked.
    """

    def __init__(self, directory: Directory, app: FastAPI, portal: BlockingPortal) -> None:
        self.directory = directory
        self._portal = portal
        self._paths: Mapping[str, Any] = app.openapi()["paths"]
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=ORIGIN)

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request."""
        answer = self._portal.call(partial(self._client.request, method, path, **more))
        self._check_declared(answer)
        return answer

    def put(self, described: Mapping[str, Any], **headers: str) -> httpx.Response:
        """Send a description to its place."""
        place = httpx.URL(path=f"/things/{described['id']}").raw_path.decode()
        return self("PUT", place, content=json.dumps(described), headers={**TD, **headers})

    def post(self, described: Mapping[str, Any]) -> httpx.Response:
        """Send a description without id."""
        return self("POST", "/things", content=json.dumps(described), headers=TD)

    def patch(self, identifier: str, patch: Mapping[str, Any], **headers: str) -> httpx.Response:
        """Send a merge patch."""
        place = f"/things/{identifier}"
        return self("PATCH", place, content=json.dumps(patch), headers={**PATCH, **headers})

    def _check_declared(self, answer: httpx.Response) -> None:
        """Check that OpenAPI has this route, method, status and content type."""
        if answer.request.url.path in ("/openapi.json", "/docs"):
            return
        operation = declared(self._paths, answer.request)
        if operation is None:
            assert answer.status_code in (404, 405), "an undeclared operation was answered"
            return
        assert str(answer.status_code) in operation["responses"], (answer.request, answer.text)
        content = operation["responses"][str(answer.status_code)].get("content", {})
        media = answer.headers.get("content-type", "").partition(";")[0]
        if answer.request.method != "HEAD":
            assert media in (content or {""}), (answer.request, media)


def declared(paths: Mapping[str, Any], request: httpx.Request) -> Mapping[str, Any] | None:
    """Return what OpenAPI says of the operation of a request."""
    for form, operations in paths.items():
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.*)", re.escape(form))
        if re.fullmatch(pattern, request.url.path) and request.method.lower() in operations:
            found: Mapping[str, Any] = operations[request.method.lower()]
            return found
    return None


@contextmanager
def directory(
    graph: FleetGraph | None = None,
    *,
    access: Access | None = None,
    writable: bool = False,
    limits: Limits | None = None,
) -> Iterator[Asked]:
    """Run a directory in this process."""
    with (
        graph or FleetGraph.open() as opened,
        closing(Threads()) as threads,
        start_blocking_portal() as portal,
    ):
        allowed, most = access or Access(), limits or Limits()
        made = Directory(opened, allowed, writable, most, threads=threads)
        app = directory_app(made)
        with portal.wrap_async_context_manager(app.router.lifespan_context(app)):
            yield Asked(made, app, portal)


@contextmanager
def served(place: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve a directory by the command; yield its address and its process."""
    program = Path(sysconfig.get_path("scripts")) / "tinyfleet"
    command = [str(program), "directory", "serve", "--graph", str(place)]
    process = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the directory ended: {process.wait()}"
        yield json.loads(line)["address"], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def wait_until(there: Any, seconds: float = 10.0) -> None:
    """Wait until a call returns something true."""
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.02)
