"""Errors as HTTP answers: {"error": {"type", "message", "field"?, "request_id"}}."""

from __future__ import annotations

import math
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from crossfm.errors import (
    ColumnError,
    CrossFMError,
    DataError,
    MemoryLimitError,
    MissingFileError,
    MissingLibraryError,
    ModelFileError,
    OptionError,
    StoreError,
)

RETRY = "1"  # seconds that a client should wait before it comes back to a busy server

TYPES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    421: "wrong_host",
    422: "invalid",
    429: "rate_limited",
    500: "internal",
    503: "unavailable",
}


class Problem(HTTPException):
    """An answer that is an error.

    ``status`` is the HTTP status, ``field`` the place in the request that is meant. 429 and 503 say when to come back.
    """

    def __init__(
        self, status: int, message: str, *, field: str | None = None, retry: float | None = None
    ) -> None:
        headers = {"Allow": "GET"} if status == 405 else {}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if retry is not None:
            headers["Retry-After"] = str(max(1, math.ceil(retry)))
        elif status in (429, 503):
            headers["Retry-After"] = RETRY
        super().__init__(status, message, headers)
        self.field = field

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON body."""
        error = {"type": TYPES.get(self.status_code, "error"), "message": self.detail}
        if self.field is not None:
            error["field"] = self.field
        error["request_id"] = request_id
        return {"error": error}


def problem_of(exc: Exception) -> Problem:
    """Return the answer for an exception that says what is wrong; others are faults of ours (500, no details)."""
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, RequestValidationError):
        return _of_validation(exc)
    if isinstance(exc, HTTPException):
        problem = Problem(exc.status_code, str(exc.detail))
        problem.headers = {**(problem.headers or {}), **(exc.headers or {})}
        return problem
    if isinstance(exc, CrossFMError):
        return _of_crossfm(exc)
    if isinstance(exc, TimeoutError):
        return Problem(503, "the answer took longer than the server allows; ask for less or come back later")
    return Problem(500, "the server failed on this request; its log has the details under this request_id")


def _of_validation(exc: RequestValidationError) -> Problem:
    first = exc.errors()[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] == "json_invalid":
        return Problem(400, f"the body is no JSON: {first.get('ctx', {}).get('error', 'it does not parse')}")
    if where == ["body"] and first["type"] in ("missing", "model_attributes_type"):
        return Problem(422, "a JSON object is expected as body, with Content-Type: application/json")
    field = ".".join(where[1:] if where[0] in ("body", "query", "path", "header") else where)
    return Problem(422, f"{field}: {first['msg']}", field=field or None)


def _of_crossfm(exc: CrossFMError) -> Problem:
    message = " ".join(str(exc).split())
    if isinstance(exc, StoreError):  # what was asked may work a little later, or when someone has made room
        return Problem(503, message, retry=1 if exc.retry else 30)
    if isinstance(exc, (MissingLibraryError, MemoryLimitError)):
        return Problem(503, message, retry=30)
    if isinstance(exc, MissingFileError):
        return Problem(404, message)
    if isinstance(exc, ModelFileError):
        return Problem(409, message)
    if isinstance(exc, (DataError, ColumnError, OptionError)):
        return Problem(422, message)
    return Problem(400, message)
