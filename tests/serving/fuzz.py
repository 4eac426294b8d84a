"""Requests made from the API's own description, good and bad ones; every answer must be a described one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Serve an app at a free port of this machine while the block runs."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def fuzz(app: Any, *, examples: int, number: int = 0) -> int:
    """Send ``examples`` valid and as many invalid requests to each operation; return how many in all."""
    load_all_checks()
    checks = CHECKS.get_by_names(list(NAMES))
    schema = schemathesis.openapi.from_dict(app.openapi())
    sent = 0
    with running(app) as url:
        for found in schema.get_all_operations():
            operation = found.ok()
            for mode in GenerationMode:

                @seed(number)
                @settings(
                    max_examples=examples,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                @given(operation.as_strategy(mode))
                def send(case: Any) -> None:
                    nonlocal sent
                    sent += 1
                    case.call_and_validate(base_url=url, checks=checks)

                with suppress(Unsatisfiable):  # nothing about a request without parameters can be invalid
                    send()
    return sent
