"""Apps around the small engine of ``fakes`` and a real store in a folder that is thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="pip install 'crossfm[serve]'")
pytest.importorskip("pydantic_settings", reason="pip install 'crossfm[serve]'")

from crossfm.serving.app import build_app
from crossfm.serving.registry import Registry
from crossfm.serving.settings import Settings
from crossfm.serving.store import Store
from serving.client import Client
from serving.fakes import FakeEngine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/state.db") as opened:
        yield opened


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(version="one")


@pytest.fixture
def serve(store: Store, engine: FakeEngine) -> Iterator[Callable[..., Client]]:
    """Return ``serve(registry=, store=, key=, **settings)``, which gives a client of a running app."""
    running: list[Client] = []

    def start(*, key: str | None = None, **given: Any) -> Client:
        registry = given.pop("registry", None) or Registry(engine=engine)
        here = given.pop("store", store)
        settings = Settings(**{"log_level": "error", **given})
        client = Client(build_app(registry, here, settings), key=key)
        running.append(client.__enter__())
        return client

    yield start
    for client in running:
        client.__exit__()


@pytest.fixture
def client(serve: Callable[..., Client]) -> Client:
    return serve()
