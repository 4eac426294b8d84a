"""The page and the API's own documentation: files of this package, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from crossfm.serving.guard import PUBLIC, needs, router

PAGE = Path(__file__).parents[1] / "page"
POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'{styles}; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
AGAIN = "no-cache"  # kept by browsers, but asked for again: the answer is 304 while the file is the same


class Files(StaticFiles):
    """Static files that browsers keep and ask again about."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """Return the file, or 304."""
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = AGAIN
        response.headers["Content-Security-Policy"] = POLICY.format(scripts="", styles="")
        return response


def smaller(files: Files) -> GZipMiddleware:
    """Return files that go compressed to browsers that take them so; these are few, and asked for once."""
    return GZipMiddleware(files, minimum_size=1_000, compresslevel=6)


def add_page(app: FastAPI, folder: Path = PAGE) -> None:
    """Serve the page at / and its files at /static, if they are there."""
    index = folder / "index.html"
    if not index.is_file():
        return
    routes = router("page", prefix="")
    files = Files(directory=folder)

    @routes.get("/", include_in_schema=False, openapi_extra=needs(PUBLIC))
    async def page(request: Request) -> Response:
        return files.file_response(index, index.stat(), request.scope)

    app.include_router(routes)
    app.mount("/static", smaller(files), name="static")


def add_docs(app: FastAPI) -> None:
    """Serve Swagger UI at /docs from the files of fastapi-offline, if it is installed."""
    found = find_spec("fastapi_offline")
    if found is None or found.origin is None:
        return
    routes = router("page", prefix="")

    @routes.get("/docs", include_in_schema=False, openapi_extra=needs(PUBLIC))
    async def docs(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "").rstrip("/")
        page = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title="crossfm API",
            swagger_js_url=f"{root}/docs/static/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/static/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs/static/favicon.png",
        )
        scripts = "".join(f" 'sha256-{_digest(text)}'" for text in _SCRIPT.findall(bytes(page.body).decode()))
        page.headers["Content-Security-Policy"] = POLICY.format(scripts=scripts, styles=" 'unsafe-inline'")
        return page

    app.include_router(routes)
    app.mount("/docs/static", smaller(Files(directory=Path(found.origin).parent / "static")), name="docs")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
