"""What the routes have in common: the service, ids in paths, errors in the API's description."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from starlette.requests import Request

from crossfm.serving.answers import Error
from crossfm.serving.json_text import JSON
from crossfm.serving.service import Service

PathId = Annotated[
    str,
    Path(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f]+$", description="As text.", examples=["50"]),
]
Limit = Annotated[int, Query(ge=1, le=1_000, description="At most so many.")]
Offset = Annotated[int, Query(ge=0, le=100_000, description="After so many.")]
Search = Annotated[
    str,
    Query(
        max_length=200, pattern=r"^[^\x00]*$", description="Part of an id or a text; case does not matter."
    ),
]

_WORDS = {
    400: "The body is no JSON.",
    401: "No key, or a wrong one.",
    403: "The key's scope is too low, or the call comes from a page of another origin.",
    404: "No such user, item or version.",
    408: "The body came too slowly.",
    409: "It exists already, or is not fit to be served.",
    413: "The body is too large.",
    421: "The Host header is not one of this server's names.",
    422: "A value that cannot be used; field names it.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "Busy, or the store cannot be reached; Retry-After says when to come back.",
}
USUAL = (400, 401, 403, 408, 413, 421, 422, 429, 503)


def errors(*more: int) -> dict[int | str, dict[str, Any]]:
    """Return the described errors of a route: the usual ones and ``more``."""
    return {status: {"model": Error, "description": _WORDS[status]} for status in sorted({*USUAL, *more})}


def service_of(request: Request) -> Service:
    """Return the app's service."""
    service: Service = request.app.state.service
    return service


def from_model(request: Request, told: dict[str, Any]) -> JSON:
    """Return an answer that a model gave; the gate writes its version into the headers."""
    request.scope["crossfm"].version = told["version"]
    return JSON(told)
