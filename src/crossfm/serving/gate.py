"""The outermost layer: names each request, refuses foreign hosts, counts the body, measures, logs, sets headers."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from crossfm.serving.hosts import Hosts
from crossfm.serving.json_text import dumps
from crossfm.serving.limits import Receive, limited_body, too_large
from crossfm.serving.problems import Problem, problem_of
from crossfm.serving.service import Service

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNKNOWN = "other"  # the route of a path that is no route: paths are many, labels are few
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
CLOSED = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


@dataclass
class Call:
    """What is noted of a request on its way."""

    request_id: str
    started: float = field(default_factory=time.perf_counter)
    route: str = _UNKNOWN
    status: int = 500
    version: str | None = None
    key: str | None = None


class Gate:
    """ASGI middleware around everything."""

    def __init__(self, app: App, service: Service, hosts: Hosts) -> None:
        self.app = app
        self.service = service
        self.settings = service.settings
        self.metrics = service.metrics
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other kinds of connection are not ours."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        call = scope["crossfm"] = Call(_request_id(headers))
        started = False

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                call.status = message["status"]
                message["headers"] = [*message["headers"], *_headers(call, message["headers"])]
            await send(message)

        self.metrics.in_flight.inc()
        try:
            self._check(scope, headers)
            body = limited_body(receive, self.settings.max_body, self.settings.timeout)
            await self.app(scope, body, answer)
        except Exception as exc:
            problem = problem_of(exc)
            if problem.status_code == 500:
                self.service.log.error("failed", request_id=call.request_id, route=call.route, exc_info=exc)
            if not started:
                await send_problem(problem, call.request_id, answer)
        finally:
            self.metrics.in_flight.dec()
            self._note(call, scope)

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self.hosts.allows(host):
            raise Problem(421, "this server does not answer to that Host; see allowed_hosts in its settings")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and not self.hosts.same(origin, host):
            raise Problem(
                403, "calls from pages of other origins are not allowed; see cors_origins in the settings"
            )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self.settings.max_body:
            raise too_large(self.settings.max_body)

    def _note(self, call: Call, scope: Scope) -> None:
        ms = (time.perf_counter() - call.started) * 1e3
        self.metrics.requests.labels(call.route, str(call.status)).inc()
        self.metrics.seconds.labels(call.route).observe(ms / 1e3)
        if call.route.startswith(("GET /health", "GET /metrics")):
            return  # asked all the time: counted, but neither logged nor in the dashboard's rates
        self.service.window.request(call.route, ms, call.status)
        self.service.log.info(
            "request",
            request_id=call.request_id,
            route=call.route,
            method=scope["method"],
            status=call.status,
            ms=round(ms, 2),
            version=call.version,
            key=call.key,
        )


async def send_problem(problem: Problem, request_id: str, send: Send) -> None:
    """Send an error as JSON."""
    body = dumps(problem.body(request_id))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in (problem.headers or {}).items()]
    await send({"type": "http.response.start", "status": problem.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _headers(call: Call, there: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    more = [(b"x-request-id", call.request_id.encode()), *SECURITY]
    if call.version is not None:
        more.append((b"x-model-version", call.version.encode()))
    names = {name.lower() for name, _ in there}
    if b"content-security-policy" not in names:
        more.append(CLOSED)
    if b"cache-control" not in names:
        more.append((b"cache-control", b"no-store"))
    return more
