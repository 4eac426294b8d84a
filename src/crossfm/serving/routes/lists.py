"""Lists and reasons: recommend, recall, rank, similar, explain."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.requests import Request

from crossfm.recommender.plane import MOST
from crossfm.serving.answers import AnswerOut, DirectionOut, ExplainOut, MapOut, SimilarOut
from crossfm.serving.guard import needs, router
from crossfm.serving.json_text import JSON
from crossfm.serving.lists import Lists
from crossfm.serving.routes.common import PathId, errors, from_model, service_of
from crossfm.serving.schemas import Asked, ExplainBody, RankBody, RecommendBody, Who

routes = router("lists")
Shown = Annotated[int, Query(ge=1, le=MOST, description="At most so many, popular ones first.")]
Many = Annotated[int, Query(ge=1, le=1_000, description="Items wanted.")]


def _lists(request: Request) -> Lists:
    return Lists(service_of(request), request.scope["crossfm"].request_id)


@routes.post(
    "/recommend",
    operation_id="recommend",
    summary="The best items for a user or a session",
    response_model=AnswerOut,
    responses=errors(404),
    openapi_extra=needs("read"),
)
async def recommend(request: Request, body: RecommendBody) -> JSON:
    """Recall, rank and order again; what the user did a moment ago counts."""
    lists = _lists(request)
    return from_model(request, await service_of(request).score(lambda: lists.recommend(body)))


@routes.get(
    "/recommend/{user}",
    operation_id="recommend_user",
    summary="The best items for a user, with defaults",
    response_model=AnswerOut,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def recommend_user(request: Request, user: PathId, n: Many = 10) -> JSON:
    """The same answer as ``POST /v1/recommend`` with ``user`` and ``n`` alone."""
    lists, body = _lists(request), RecommendBody.model_validate({"user": user, "n": n})
    return from_model(request, await service_of(request).score(lambda: lists.recommend(body)))


@routes.get(
    "/map",
    operation_id="get_map",
    summary="Items on a plane",
    response_model=MapOut,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def item_map(request: Request, limit: Shown = 2_000) -> JSON:
    """The popular items by what the model learned: the two directions along which their vectors differ most."""
    service = service_of(request)
    loaded = service.registry.current
    told = await service.score(lambda: loaded.engine.map(limit))
    return from_model(request, {"version": loaded.version, **told})


@routes.post(
    "/map/query",
    operation_id="get_direction",
    summary="Where a query points on that plane",
    response_model=DirectionOut,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def direction(request: Request, body: Who) -> JSON:
    """The farther an item lies in this direction, the more the pairs with the query add to its score."""
    lists = _lists(request)
    return from_model(request, await service_of(request).score(lambda: lists.direction(body)))


@routes.post(
    "/recall",
    operation_id="recall",
    summary="The first stage alone",
    response_model=AnswerOut,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def recall(request: Request, body: Asked) -> JSON:
    """The best items by recall's score, before ranking."""
    lists = _lists(request)
    return from_model(request, await service_of(request).score(lambda: lists.recall(body)))


@routes.post(
    "/rank",
    operation_id="rank",
    summary="Given items in order",
    response_model=AnswerOut,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def rank(request: Request, body: RankBody) -> JSON:
    """The second stage alone; unknown items are left out and named in ``note``."""
    lists = _lists(request)
    return from_model(
        request,
        await service_of(request).score(
            lambda: lists.rank(body, body.items, body.popularity, body.attributes)
        ),
    )


@routes.post(
    "/explain",
    operation_id="explain",
    summary="What a score is made of",
    response_model=ExplainOut,
    responses=errors(404),
    openapi_extra=needs("read"),
)
async def explain(request: Request, body: ExplainBody) -> JSON:
    """Exact parts: ``bias`` and the values of ``parts`` add up to ``score``."""
    lists = _lists(request)
    return from_model(
        request,
        await service_of(request).score(lambda: lists.explain(body, body.item, body.popularity)),
    )


@routes.get(
    "/items/{id}/similar",
    operation_id="similar_items",
    summary="Items like another",
    response_model=SimilarOut,
    responses=errors(404),
    openapi_extra=needs("read"),
)
async def similar(request: Request, id: PathId, n: Many = 10) -> JSON:
    """The nearest items by what the model learned."""
    lists = _lists(request)
    return from_model(request, await service_of(request).score(lambda: lists.similar(id, n)))
