"""Routes that ask for a key of a scope, a token of its rate and a free slot before they read the body."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from crossfm.serving.auth import Key, given_key
from crossfm.serving.json_text import loads
from crossfm.serving.problems import Problem

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
SCOPE = "x-scope"
PUBLIC = "public"


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """Return the parsed body."""
        return loads(await self.body(), self.app.state.service.settings.max_depth)


class Guarded(APIRoute):
    """A route with a scope, given as ``openapi_extra`` so that the API's description shows it."""

    def get_route_handler(self) -> Handler:
        """Return the handler with the checks in front of it."""
        answer = super().get_route_handler()
        scope = (self.openapi_extra or {})[
            SCOPE
        ]  # a route without one is a mistake of ours: say so at import
        method = min(self.methods or ())
        name = f"{method} {self.path_format}"

        async def checked(request: Request) -> Response:
            call = request.scope["crossfm"]
            call.route = name
            if scope == PUBLIC:
                return await answer(request)
            service = request.app.state.service
            key = _allowed(request, scope)
            call.key = key.name
            address = request.client.host if request.client else ""
            wait = service.buckets.take(key.name if not service.keys.open else address)
            if wait:
                raise Problem(429, "too many requests; slow down", retry=wait)
            with service.slots:
                return await answer(StrictRequest(request.scope, request.receive))

        return checked


def _allowed(request: Request, scope: str) -> Key:
    """Return the caller's key. The answers tell neither which keys there are nor what a better one could do."""
    service = request.app.state.service
    key: Key | None = service.keys.find(given_key(request.scope["headers"]))
    if key is None:
        address = request.client.host if request.client else ""
        if wait := service.strangers.take(address):
            raise Problem(429, "too many requests; slow down", retry=wait)
        raise Problem(401, "a valid key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")
    if not key.allows(scope):
        raise Problem(403, "this key does not allow that")
    return key


def router(tag: str, prefix: str = "/v1") -> APIRouter:
    """Return a router of guarded routes under ``prefix``."""
    return APIRouter(route_class=Guarded, tags=[tag], prefix=prefix)


def needs(scope: str) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that needs ``scope``."""
    return {SCOPE: scope}
