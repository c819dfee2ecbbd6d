"""Errors as problem details (RFC 9457): one way for all that the directory refuses."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from tinyfleet.errors import DescriptionError, FleetError

_log = logging.getLogger(__name__)

MEDIA = "application/problem+json"

Told = dict[int | str, dict[str, Any]]
"""What OpenAPI is told of answers, by status."""


class FieldProblem(BaseModel):
    """What is wrong with one member of a description."""

    field: str = Field(examples=["properties.status.forms.0.href"])
    description: str


class ProblemDetails(BaseModel):
    """Why a request was refused."""

    type: str = "about:blank"
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str
    instance: str | None = None
    validationErrors: list[FieldProblem] | None = None  # noqa: N815 - the standard's name


@dataclass(eq=False)
class RequestError(Exception):
    """A request that is refused.

    Attributes:
        status: of HTTP, 400 and above.
        detail: one line for a person: expected, got, what to do.
        errors: what is wrong with a description, as (field, description).
        headers: of the answer.
    """

    status: HTTPStatus
    detail: str
    errors: Sequence[tuple[str, str]] = ()
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, instance: str | None = None) -> dict[str, Any]:
        """Return the problem details as JSON values."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        if instance is not None:
            body["instance"] = instance
        if self.errors:
            body["validationErrors"] = [
                {"field": name, "description": text} for name, text in self.errors
            ]
        return body


def response(refusal: RequestError, instance: str | None = None) -> JSONResponse:
    """Return the answer to a refused request."""
    return JSONResponse(
        refusal.body(instance), refusal.status, refusal.headers, f"{MEDIA}; charset=utf-8"
    )


def handle_errors(app: FastAPI) -> None:
    """Answer every error of `app` by problem details."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        return response(_refusal(error), request.url.path)

    for kind in (RequestError, FleetError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, refused)


def _refusal(error: Exception) -> RequestError:
    match error:
        case RequestError():
            return error
        case DescriptionError():
            return RequestError(HTTPStatus.BAD_REQUEST, str(error), [("(root)", str(error))])
        case RequestValidationError():
            errors = [(".".join(map(str, e["loc"][1:])), str(e["msg"])) for e in error.errors()]
            return RequestError(HTTPStatus.BAD_REQUEST, f"{errors[0][0]}: {errors[0][1]}", errors)
        case HTTPException():
            return RequestError(
                HTTPStatus(error.status_code), str(error.detail), (), dict(error.headers or {})
            )
    _log.error("a request failed: %s", error)
    return RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, "the directory failed; its log says how")


def described(*statuses: HTTPStatus) -> Told:
    """Return what OpenAPI is told of refusals with these statuses."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status.value: {"description": status.phrase, "content": {MEDIA: {"schema": schema}}}
        for status in statuses
    }
