"""A server for the page's tests and its development: the HTTP API over the tiny model of ``fake_model``.

    python tests/serving/page/fake_api.py 8000

serves the page at / and the API under /v1, on loopback, with no library. ``FakeApi`` is the same inside a test, which
may break it: ask for a key, refuse, fail, stop and start again.
"""

from __future__ import annotations

import json
import mimetypes
import re
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))  # as pytest does

from serving.page.fake_answers import Answers, Refused
from serving.page.fake_figures import EXPERIMENTS, figures

PAGE = Path(__file__).parents[3] / "src" / "crossfm" / "serving" / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


class FakeApi:
    """The server; ``url`` is where it is once started.

    ``key``: what requests have to bring, None for nothing. ``trouble``: (status, message, seconds to wait) that every
    request of the API gets instead of an answer. ``answers`` has what came in.
    """

    def __init__(self, port: int = 0) -> None:
        self.answers = Answers()
        self.port = port
        self.key: str | None = None
        self.trouble: tuple[int, str, int] | None = None
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> FakeApi:
        """Listen; on the same port as before when started again."""
        handler = type("ApiHandler", (Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening; connections that are kept are closed with their next request."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def stats(self) -> dict[str, Any]:
        """The dashboard's numbers."""
        model = self.answers.model
        told = figures(len(model.items), len(model.users), len(self.answers.events))
        return {
            **told,
            "version": self.answers.active,
            "models": self.answers.models(),
            "experiments": EXPERIMENTS,
        }


Route = Callable[[FakeApi, dict[str, str], Any, str], Any]
PAGED = {"search": "", "limit": "20", "offset": "0"}


def _listing(of: str) -> Route:
    def answer(api: FakeApi, query: dict[str, str], body: Any, id: str) -> Any:
        asked = {**PAGED, **query}
        return api.answers.listing(of, asked["search"], int(asked["limit"]), int(asked["offset"]))

    return answer


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "schema"): lambda api, query, body, id: api.answers.model.schema(),
    ("POST", "recommend"): lambda api, query, body, id: api.answers.recommend(body),
    ("POST", "explain"): lambda api, query, body, id: api.answers.explain(body),
    ("POST", "feedback"): lambda api, query, body, id: api.answers.feedback(body),
    ("GET", "items/ID/similar"): lambda api, query, body, id: api.answers.similar(
        id, int(query.get("n", 10))
    ),
    ("GET", "items/ID/lately"): lambda api, query, body, id: api.answers.lately(id),
    ("GET", "map"): lambda api, query, body, id: api.answers.map(int(query.get("limit", 2000))),
    ("POST", "map/query"): lambda api, query, body, id: api.answers.direction(body),
    ("GET", "users/ID/history"): lambda api, query, body, id: api.answers.history(
        id, int(query.get("limit", 20))
    ),
    ("GET", "users"): _listing("users"),
    ("GET", "items"): _listing("items"),
    ("GET", "users/ID"): lambda api, query, body, id: api.answers.user(id),
    ("GET", "items/ID"): lambda api, query, body, id: api.answers.item(id),
    ("PUT", "items/ID"): lambda api, query, body, id: api.answers.put_item(id, body["attributes"]),
    ("DELETE", "items/ID"): lambda api, query, body, id: api.answers.delete_item(id),
    ("GET", "stats"): lambda api, query, body, id: api.stats(),
    ("GET", "models"): lambda api, query, body, id: api.answers.models(),
    ("POST", "models/activate"): lambda api, query, body, id: api.answers.activate(body["version"]),
    ("POST", "models/rollback"): lambda api, query, body, id: api.answers.activate(api.answers.previous),
    ("GET", "experiments"): lambda api, query, body, id: {"experiments": EXPERIMENTS},
}


class Handler(BaseHTTPRequestHandler):
    """Files of the page, and the routes above as JSON."""

    api: FakeApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith(("/v1/", "/health/")):
            self._answer()
        else:
            self._file("index.html" if path == "/" else path.removeprefix("/static/"))

    def do_POST(self) -> None:
        self._answer()

    do_PUT = do_DELETE = do_POST

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.api.running:  # a connection that outlived the server
            self.close_connection = True
            return
        try:
            result = self._result(raw)
            self._json(204 if result is None else 200, result)
        except Refused as exc:
            error = {"type": exc.kind, "message": str(exc), "request_id": "r0"}
            self._json(exc.status, {"error": error}, **exc.headers)

    def _result(self, raw: bytes) -> Any:
        api, parts = self.api, urlsplit(self.path)
        if api.trouble is not None:
            status, message, wait = api.trouble
            raise Refused(status, "trouble", message, **{"Retry-After": str(wait)})
        if parts.path.startswith("/health/"):
            return {"status": "ready"}
        if api.key is not None and self.headers.get("X-API-Key") != api.key:
            raise Refused(401, "unauthorized", "a key is needed: X-API-Key")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        for (method, pattern), answer in ROUTES.items():
            match = re.fullmatch("/v1/" + pattern.replace("ID", "([^/]+)"), parts.path)
            if method == self.command and match:
                return answer(api, query, json.loads(raw or b"null"), unquote("".join(match.groups())))
        raise Refused(404, "not_found", f"there is no route {self.command} {parts.path}")

    def _json(self, status: int, body: Any, **headers: str) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        version = {"X-Model-Version": self.api.answers.active} if status < 400 else {}
        self._send(status, text, "application/json", {**version, **headers})

    def _file(self, name: str) -> None:
        path = PAGE / name
        if path.parent != PAGE or not path.is_file():
            self._send(404, b"not found", "text/plain", {})
            return
        kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(name)[0] or "text/plain"
        self._send(200, path.read_bytes(), kind, {"Content-Security-Policy": POLICY})

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body)), **headers}
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = FakeApi(int(sys.argv[1]) if len(sys.argv) > 1 else 8000).start()
    print(f"The page is at {server.url}")
    threading.Event().wait()
