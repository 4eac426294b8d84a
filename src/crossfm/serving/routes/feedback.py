"""Events: on disk before they are acknowledged."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from crossfm.serving.answers import AcceptedOut
from crossfm.serving.experiments import unit_of
from crossfm.serving.guard import needs, router
from crossfm.serving.json_text import JSON
from crossfm.serving.routes.common import errors, service_of
from crossfm.serving.schemas import EventBody, FeedbackBody
from crossfm.serving.store import Event

routes = router("feedback")


@routes.post(
    "/feedback",
    status_code=201,
    operation_id="add_feedback",
    summary="What users did",
    response_model=AcceptedOut,
    responses=errors(),
    openapi_extra=needs("write"),
)
async def feedback(request: Request, body: FeedbackBody) -> JSON:
    """Store events; the next answer for these users knows them. With a ``key``, sending again is harmless."""
    service = service_of(request)
    events = [_event(event) for event in body.events]
    numbers = await service.ask_store(lambda: service.store.add_events(events))
    service.metrics.events.inc(len(events))
    known = service.registry.current.engine.n_known([event.item for event in events])
    service.course.events([event.time for event in events], len(events) - known)
    return JSON({"accepted": len(events), "numbers": list(numbers)}, 201)


def _event(told: EventBody) -> Event:
    more: dict[str, Any] = {} if told.time is None else {"time": told.time}
    return Event(
        user=str(unit_of(told.user, told.session)),
        item=str(told.item),
        type=told.type,
        value=told.value,
        key=told.key,
        request=told.request_id,
        context=told.context,
        **more,
    )
