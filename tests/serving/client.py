"""A client that talks to an app in this process, with its start and end, from ordinary test functions."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

import anyio.from_thread
import httpx


class Client:
    """``with Client(app) as client: client.get("/v1/users")``."""

    def __init__(self, app: Any, *, host: str = "localhost", key: str | None = None) -> None:
        self.app = app
        self.base = f"http://{host}"
        self.headers = {} if key is None else {"X-API-Key": key}

    def __enter__(self) -> Client:
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(anyio.from_thread.start_blocking_portal())
        lifespan = self.app.router.lifespan_context(self.app)
        self._stack.enter_context(self._portal.wrap_async_context_manager(lifespan))
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=True)
        client = httpx.AsyncClient(transport=transport, base_url=self.base, headers=self.headers)
        self._client = self._stack.enter_context(self._portal.wrap_async_context_manager(client))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._portal.call(partial(self._client.request, method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return self.request("POST", path, json=json, **more)

    def recommend(self, **body: Any) -> dict[str, Any]:
        answer = self.post("/v1/recommend", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def items(self, **body: Any) -> list[Any]:
        return [one["item"] for one in self.recommend(**body)["items"]]
