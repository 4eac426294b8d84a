"""``build_app``: the HTTP app around a registry of models and a store. No module holds state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from crossfm import __version__
from crossfm.errors import CrossFMError, StoreError
from crossfm.serving.gate import Gate
from crossfm.serving.guard import PUBLIC, SCOPE, needs, router
from crossfm.serving.hosts import Hosts
from crossfm.serving.json_text import JSON
from crossfm.serving.problems import Problem, problem_of
from crossfm.serving.registry import Registry
from crossfm.serving.routes import feedback, health, items, lists, models, users
from crossfm.serving.routes.page import add_docs, add_page
from crossfm.serving.service import Service
from crossfm.serving.settings import Settings
from crossfm.serving.workers import EVERY

DESCRIPTION = (
    "A two-stage recommender with factorization machines. Ids are texts or whole numbers; times are seconds since "
    "1970. Answers of a model name its version in `X-Model-Version`, every answer its request in `X-Request-ID`. "
    'Errors are `{"error": {"type", "message", "field", "request_id"}}`.'
)

# Bytes from which an answer is compressed where the client takes it so. A list of ten has 7 kB and stays as it is;
# one of a hundred goes with 13 kB for 64, for which the event loop takes 0.8 ms.
COMPRESSED = 20_000


def build_app(registry: Registry, store: Any, settings: Settings | None = None) -> FastAPI:
    """Return the app.

    Parameters
    ----------
    registry : Registry
        Which model answers.
    store : Store
        Users, events, items, what was shown. Closed by whoever made it.
    settings : Settings or None
        None: the defaults.

    Raises ``MissingFileError`` and ``DataError`` for a file of keys that cannot be used.
    """
    settings = settings or Settings()
    service = Service(registry, store, settings)
    app = FastAPI(
        title="crossfm",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_watching,
    )
    app.state.service = service
    for kind in (CrossFMError, HTTPException, RequestValidationError, TimeoutError):
        app.add_exception_handler(kind, _answer)
    for routes in (
        lists.routes,
        feedback.routes,
        users.routes,
        items.routes,
        models.routes,
        health.routes,
        health.health,
    ):
        app.include_router(routes)
    _add_description(app)
    add_docs(app)
    if settings.page:
        add_page(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Model-Version", "X-Request-ID", "Retry-After"],
        )
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED, compresslevel=1)
    hosts = Hosts(settings.host, settings.allowed_hosts, settings.cors_origins)
    app.add_middleware(Gate, service=service, hosts=hosts)
    return app


async def _answer(request: Request, exc: Exception) -> Response:
    problem: Problem = problem_of(exc)
    request_id = request.scope["crossfm"].request_id
    service: Service = request.app.state.service
    if problem.status_code == 405:
        problem.headers = {**(problem.headers or {}), "Allow": _allowed(request.app, request.url.path)}
    if isinstance(exc, StoreError):
        service.metrics.store_failures.labels(request.scope["crossfm"].route).inc()
    return JSON(problem.body(request_id), problem.status_code, problem.headers)


def _allowed(app: FastAPI, path: str) -> str:
    """Return the methods of a path; pages that are not described have GET."""
    methods = {
        method.upper()
        for described, operations in app.openapi()["paths"].items()
        for method in operations
        if compile_path(described)[0].match(path)
    }
    return ", ".join(sorted(methods or {"GET"}))


@asynccontextmanager
async def _watching(app: FastAPI) -> AsyncIterator[None]:
    """While the app runs, look at bundles, keys and items of others every few seconds, and tell them what happened."""
    service: Service = app.state.service

    async def repeat(work: Callable[[], None], seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)

    tasks = [asyncio.create_task(repeat(service.watch, service.settings.watch_seconds))]
    if service.shared is not None:
        tasks.append(asyncio.create_task(repeat(service.share, EVERY)))
    try:
        yield
    finally:
        service.draining = True
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _add_description(app: FastAPI) -> None:
    """Serve the OpenAPI description, with a key on every route that asks for one."""
    routes = router("page", prefix="")

    @routes.get("/openapi.json", include_in_schema=False, openapi_extra=needs(PUBLIC))
    async def description() -> JSON:
        return JSON(app.openapi())

    app.include_router(routes)
    usual = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            told = usual()
            told.setdefault("components", {})["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A key of `crossfm keys add`."},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            for operations in told["paths"].values():
                for operation in operations.values():
                    if operation[SCOPE] != PUBLIC:
                        operation["security"] = [{"bearer": []}, {"header": []}]
            app.openapi_schema = told
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
