"""Items: list, read, make, change, delete."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from crossfm.serving.answers import ItemOut, ItemsOut, LatelyOut
from crossfm.serving.goods import Goods
from crossfm.serving.guard import needs, router
from crossfm.serving.json_text import JSON
from crossfm.serving.problems import Problem
from crossfm.serving.routes.common import Limit, Offset, PathId, Search, errors, service_of
from crossfm.serving.schemas import AttributesBody, ItemBody

routes = router("items")


@routes.get(
    "/items",
    operation_id="list_items",
    summary="Items that match a text",
    response_model=ItemsOut,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def list_items(request: Request, search: Search = "", limit: Limit = 20, offset: Offset = 0) -> JSON:
    """By title or id, popular ones first."""
    service = service_of(request)
    items = await service.ask_store(lambda: Goods(service).page(search, limit, offset))
    return JSON({"items": items, "limit": limit, "offset": offset})


@routes.post(
    "/items",
    status_code=201,
    operation_id="create_item",
    summary="A new item",
    response_model=ItemOut,
    responses=errors(409),
    openapi_extra=needs("write"),
)
async def create_item(request: Request, body: ItemBody) -> JSON:
    """Recommended by its attributes from the next answer on, without training."""
    service = service_of(request)

    def create() -> dict[str, Any]:
        goods = Goods(service)
        if goods.exists(body.id):
            raise Problem(409, f"there is an item {body.id!r} already; PUT or PATCH it", field="id")
        return goods.put(body.id, body.attributes)

    return JSON({"id": body.id, "attributes": await service.ask_store(create)}, 201)


@routes.get(
    "/items/{id}",
    operation_id="get_item",
    summary="An item",
    response_model=ItemOut,
    responses=errors(404),
    openapi_extra=needs("read"),
)
async def get_item(request: Request, id: PathId) -> JSON:
    """Its attributes."""
    service = service_of(request)
    return JSON({"id": id, "attributes": await service.ask_store(lambda: Goods(service).get(id))})


@routes.put(
    "/items/{id}",
    operation_id="put_item",
    summary="All attributes of an item",
    response_model=ItemOut,
    responses=errors(),
    openapi_extra=needs("write"),
)
async def put_item(request: Request, id: PathId, body: AttributesBody) -> JSON:
    """Make the item, or replace its attributes."""
    service = service_of(request)
    attributes = await service.ask_store(lambda: Goods(service).put(id, body.attributes))
    return JSON({"id": id, "attributes": attributes})


@routes.patch(
    "/items/{id}",
    operation_id="change_item",
    summary="Some attributes of an item",
    response_model=ItemOut,
    responses=errors(404),
    openapi_extra=needs("write"),
)
async def change_item(request: Request, id: PathId, body: AttributesBody) -> JSON:
    """Change the given attributes, keep the others; null removes one (RFC 7396)."""
    service = service_of(request)
    attributes = await service.ask_store(lambda: Goods(service).change(id, body.attributes))
    return JSON({"id": id, "attributes": attributes})


@routes.delete(
    "/items/{id}",
    status_code=204,
    operation_id="delete_item",
    summary="Take an item out",
    responses=errors(404),
    openapi_extra=needs("write"),
    response_class=Response,
)
async def delete_item(request: Request, id: PathId) -> Response:
    """Never recommended again, in this version and those to come."""
    service = service_of(request)
    await service.ask_store(lambda: Goods(service).delete(id))
    return Response(status_code=204)


@routes.get(
    "/items/{id}/lately",
    operation_id="get_item_lately",
    summary="How often an item was shown and chosen of late",
    response_model=LatelyOut,
    responses=errors(404),
    openapi_extra=needs("read"),
)
async def lately(request: Request, id: PathId) -> JSON:
    """Among the latest 2,000 answers and 10,000 events of all workers."""
    service = service_of(request)

    def look() -> dict[str, Any]:
        Goods(service).get(id)
        return asdict(service.store.lately(id))

    return JSON({"id": id, **await service.ask_store(look)})
