"""Health, metrics, the dashboard's numbers."""

from __future__ import annotations

import os
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from crossfm.serving.answers import Anything, LiveOut, ReadyOut
from crossfm.serving.auth import given_key
from crossfm.serving.course import Course
from crossfm.serving.experiment_report import report
from crossfm.serving.guard import PUBLIC, needs, router
from crossfm.serving.json_text import JSON
from crossfm.serving.routes.common import errors, service_of
from crossfm.serving.service import Service
from crossfm.serving.window import Window

routes = router("stats")
health = router("health", prefix="")


@health.get(
    "/health/live",
    operation_id="live",
    summary="Whether the process runs",
    response_model=LiveOut,
    openapi_extra=needs(PUBLIC),
)
async def live() -> JSON:
    """Always 200: an answer is the proof."""
    return JSON({"status": "live"})


@health.get(
    "/health/ready",
    operation_id="ready",
    summary="Whether requests should come here",
    response_model=ReadyOut,
    responses={503: {"model": ReadyOut, "description": "Draining before the end."}},
    openapi_extra=needs(PUBLIC),
)
async def ready(request: Request) -> JSON:
    """503 while the server ends. A refused bundle or a store that fails is told here, but lists go on being given."""
    service = service_of(request)
    told: dict[str, Any] = {"status": "draining" if service.draining else "ready"}
    if service.keys.find(given_key(request.scope["headers"])) is not None:
        failing = service.registry.failing
        told["version"] = service.registry.current.version
        told["refused"] = {"version": failing.version, "reason": failing.reason} if failing else None
        told["store"] = await service.ask_store(service.store_state)
    return JSON(told, 503 if service.draining else 200)


@health.get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus metrics",
    responses={**errors(), 200: {"content": {"text/plain": {}}, "description": "Text exposition format."}},
    response_class=Response,
    openapi_extra=needs("read"),
)
async def metrics(request: Request) -> Response:
    """Latency histograms by route and stage, counts, the version, failures of the store."""
    text = service_of(request).metrics.text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@routes.get(
    "/stats",
    operation_id="get_stats",
    summary="The dashboard's numbers",
    response_model=Anything,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def stats(request: Request) -> JSON:
    """Of all workers in the last minutes: see docs/serving.md for the keys."""
    service = service_of(request)
    return JSON(await service.ask_store(lambda: _stats(service)))


def _stats(service: Service) -> dict[str, Any]:
    loaded = service.registry.current
    engine = loaded.engine
    notes = service.notes()
    window = Window.merged(note.pop("window") for note in notes)
    course = Course.merged(note.pop("course") for note in notes)
    counts: dict[str, Any] = {"model_users": engine.n_users, "model_items": engine.n_items}
    store = service.store_state()
    outcomes: list[dict[str, Any]] = []
    if store == "ok":
        counts.update(service.store.counts())
        counts.update({name: sum(note[name] for note in notes) for name in service.store.waiting()})
        outcomes = report(service.settings.experiments, service.store)
    return {
        "version": loaded.version,
        "worker": os.getpid(),
        "workers": notes,
        "memory_bytes": sum(note["memory_bytes"] or 0 for note in notes) or None,
        **window.report(engine.n_items),
        **course.report(engine),
        "index": engine.index_report(),
        "counts": counts,
        "store": store,
        "models": service.registry.report(),
        "experiments": outcomes,
        "draining": service.draining,
    }
