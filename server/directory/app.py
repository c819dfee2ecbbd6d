"""The directory as an ASGI application."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tinyfleet.errors import FleetError
from tinyfleet.ontology.vocabulary import VERSION
from tinyfleet.server.directory.access import Gate
from tinyfleet.server.directory.directory import Directory
from tinyfleet.server.directory.lookups import lookup_routes
from tinyfleet.server.directory.methods import Methods, declare_methods
from tinyfleet.server.directory.problem import ProblemDetails, handle_errors
from tinyfleet.server.directory.sparql import sparql_routes
from tinyfleet.server.directory.things import things_routes

_log = logging.getLogger(__name__)


def directory_app(directory: Directory) -> FastAPI:
    """Return the application that serves a directory.

    It purges what expires while it runs. The graph and the threads stay open; who made them closes
    them.
    """
    app = FastAPI(
        title="tinyfleet directory",
        summary="W3C WoT Thing Description Directory and SPARQL 1.1 endpoint",
        version=VERSION,
        lifespan=lambda _: _running(directory),
        docs_url=None,  # the page would be fetched from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    routers = [make(directory) for make in (things_routes, sparql_routes, lookup_routes)]
    for router in routers:
        app.include_router(router)
    handle_errors(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.add_middleware(Gate, access=directory.access)
    app.add_middleware(Methods, routes=[route for router in routers for route in router.routes])
    return app


@asynccontextmanager
async def _running(directory: Directory) -> AsyncIterator[None]:
    directory.threads.start()
    purging = asyncio.create_task(_purge(directory))
    try:
        yield
    finally:
        purging.cancel()
        with suppress(asyncio.CancelledError):
            await purging


async def _purge(directory: Directory) -> None:
    while True:
        try:
            await directory.threads.write(directory.registry.purge)
        except FleetError as error:
            _log.error("what expired could not be purged: %s", error)
        await asyncio.sleep(directory.limits.purge)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        described = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        problem = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs", {}), ProblemDetails=problem)
        app.openapi_schema = declare_methods(described)
    return app.openapi_schema
