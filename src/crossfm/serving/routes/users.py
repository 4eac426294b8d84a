"""Users: list, read, make, change, delete, and what they did."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from crossfm.serving.answers import HistoryOut, UserOut, UsersOut
from crossfm.serving.guard import needs, router
from crossfm.serving.json_text import JSON
from crossfm.serving.people import People
from crossfm.serving.problems import Problem
from crossfm.serving.routes.common import Limit, Offset, PathId, Search, errors, service_of
from crossfm.serving.schemas import FeaturesBody, UserBody

routes = router("users")


@routes.get(
    "/users",
    operation_id="list_users",
    summary="Users that match a text",
    response_model=UsersOut,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def list_users(request: Request, search: Search = "", limit: Limit = 20, offset: Offset = 0) -> JSON:
    """Those that were stored here first, then those of the model."""
    service = service_of(request)
    users = await service.ask_store(lambda: People(service).page(search, limit, offset))
    return JSON({"users": users, "limit": limit, "offset": offset})


@routes.post(
    "/users",
    status_code=201,
    operation_id="create_user",
    summary="A new user",
    response_model=UserOut,
    responses=errors(409),
    openapi_extra=needs("write"),
)
async def create_user(request: Request, body: UserBody) -> JSON:
    """Store a user's features; they count in the next answer."""
    service, user = service_of(request), str(body.id)

    def create() -> None:
        if People(service).features(user) is not None:
            raise Problem(409, f"there is a user {user!r} already; PUT or PATCH it", field="id")
        service.store.put_user(user, body.features)

    await service.ask_store(create)
    return JSON({"id": body.id, "features": body.features}, 201)


@routes.get(
    "/users/{id}",
    operation_id="get_user",
    summary="A user",
    response_model=UserOut,
    responses=errors(404),
    openapi_extra=needs("read"),
)
async def get_user(request: Request, id: PathId) -> JSON:
    """Features as stored, and as the model knows them."""
    service = service_of(request)
    features = await service.ask_store(lambda: People(service).features(id))
    if features is None:
        raise nobody(id)
    return JSON({"id": id, "features": features})


@routes.put(
    "/users/{id}",
    operation_id="put_user",
    summary="All features of a user",
    response_model=UserOut,
    responses=errors(),
    openapi_extra=needs("write"),
)
async def put_user(request: Request, id: PathId, body: FeaturesBody) -> JSON:
    """Make the user, or replace what is stored."""
    service = service_of(request)
    await service.ask_store(lambda: service.store.put_user(id, body.features))
    return JSON({"id": id, "features": body.features})


@routes.patch(
    "/users/{id}",
    operation_id="change_user",
    summary="Some features of a user",
    response_model=UserOut,
    responses=errors(404),
    openapi_extra=needs("write"),
)
async def change_user(request: Request, id: PathId, body: FeaturesBody) -> JSON:
    """Change the given features, keep the others; null removes what is stored (RFC 7396)."""
    service = service_of(request)
    features = await service.ask_store(lambda: People(service).change(id, body.features))
    if features is None:
        raise nobody(id)
    return JSON({"id": id, "features": features})


@routes.delete(
    "/users/{id}",
    status_code=204,
    operation_id="delete_user",
    summary="Forget a user",
    responses=errors(404),
    openapi_extra=needs("write"),
    response_class=Response,
)
async def delete_user(request: Request, id: PathId) -> Response:
    """Forget features and events, and use nothing that a model learned about this user by id."""
    service = service_of(request)

    def delete() -> None:
        if not People(service).known(id):
            raise nobody(id)
        service.store.delete_user(id)

    await service.ask_store(delete)
    return Response(status_code=204)


@routes.get(
    "/users/{id}/history",
    operation_id="get_history",
    summary="What a user did",
    response_model=HistoryOut,
    responses=errors(404),
    openapi_extra=needs("read"),
)
async def history(request: Request, id: PathId, limit: Limit = 20) -> JSON:
    """The latest first; empty for a user whom nobody knows yet, 404 for one who was deleted."""
    service = service_of(request)
    told = await service.ask_store(lambda: People(service).history(id, limit))
    if told is None:
        raise nobody(id)
    return JSON({"user": id, "history": told})


def nobody(user: str) -> Problem:
    """Return the answer for an unknown user."""
    return Problem(404, f"there is no user {user!r}", field="id")
