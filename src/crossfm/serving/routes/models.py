"""Versions of the model, experiments, the schema."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from crossfm.serving.answers import Anything, ExperimentsOut, ModelsOut, VersionOut
from crossfm.serving.experiment_report import report
from crossfm.serving.guard import needs, router
from crossfm.serving.json_text import JSON
from crossfm.serving.registry import Loaded
from crossfm.serving.routes.common import errors, from_model, service_of
from crossfm.serving.schemas import ActivateBody

routes = router("models")


@routes.get(
    "/schema",
    operation_id="get_schema",
    summary="Columns and roles of the model",
    response_model=Anything,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def schema(request: Request) -> JSON:
    """What may stand in ``context``, ``features``, ``attributes`` and ``where``."""
    service = service_of(request)
    loaded = service.registry.current
    told: dict[str, Any] = await service.score(loaded.engine.schema)
    return from_model(request, {**told, "version": loaded.version})


@routes.get(
    "/models",
    operation_id="list_models",
    summary="Versions",
    response_model=ModelsOut,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def models(request: Request) -> JSON:
    """Which versions there are, which one answers, which ones were refused and why."""
    service = service_of(request)
    return JSON(await service.ask_store(service.registry.report))


@routes.post(
    "/models/activate",
    operation_id="activate_model",
    summary="Serve another version",
    response_model=VersionOut,
    responses=errors(404, 409),
    openapi_extra=needs("admin"),
)
async def activate(request: Request, body: ActivateBody) -> JSON:
    """Load and check it, then swap; the old one answers meanwhile, and goes on if the new one is not fit."""
    service = service_of(request)
    return _changed(request, await service.load(lambda: service.registry.activate(body.version)))


@routes.post(
    "/models/rollback",
    operation_id="rollback_model",
    summary="Serve the version before",
    response_model=VersionOut,
    responses=errors(404, 409),
    openapi_extra=needs("admin"),
)
async def rollback(request: Request) -> JSON:
    """The previous version is still in memory, so this takes no time."""
    service = service_of(request)
    return _changed(request, await service.load(service.registry.rollback))


@routes.get(
    "/experiments",
    operation_id="list_experiments",
    summary="Experiments and what came of them",
    response_model=ExperimentsOut,
    responses=errors(),
    openapi_extra=needs("read"),
)
async def experiments(request: Request) -> JSON:
    """For each variant: who saw it, who had an event within the window, and the 95 % interval of that share."""
    service = service_of(request)
    told = await service.ask_store(lambda: report(service.settings.experiments, service.store))
    return JSON({"experiments": told})


def _changed(request: Request, loaded: Loaded) -> JSON:
    previous = service_of(request).registry.previous
    return from_model(
        request, {"version": loaded.version, "previous": previous.version if previous else None}
    )
