"""A headless Chromium, and a server to look at: the fake one, or the one that CROSSFM_PAGE_URL names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from serving.page.fake_api import FakeApi

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WAIT = 30_000  # ms; generous, for machines that are busy


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium of the system, driven by Playwright; skips where one of them is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install crossfm[dev]")
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        sync_api.expect.set_options(timeout=WAIT)
        chromium = playwright.chromium.launch(executable_path=path, args=[*sandbox, "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    """A fake server of its own for each test; skips tests that need one when a real server is looked at."""
    if "CROSSFM_PAGE_URL" in os.environ:
        pytest.skip("needs the fake server: unset CROSSFM_PAGE_URL")
    server = FakeApi().start()
    yield server
    server.stop()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """Where the page is; the server behind it is asked for nothing but what the API has."""
    return os.environ.get("CROSSFM_PAGE_URL") or request.getfixturevalue("fake").url


@pytest.fixture
def allowed() -> list[str]:
    """Console errors that a test brings about on purpose: beginnings of their text."""
    return []


@pytest.fixture
def visit(browser: Any, url: str, allowed: list[str]) -> Iterator[Callable[..., Any]]:
    """``visit(path, **context)`` opens the page. Afterwards there must be no console errors and no other hosts."""
    contexts, errors, hosts = [], [], set()

    def note(message: Any) -> None:
        if message.type in ("error", "warning"):
            errors.append(message.text)

    def open_page(path: str = "", *, ready: str = "#final-list li[data-item]", **options: Any) -> Any:
        context = browser.new_context(
            **{"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce", **options}
        )
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(url + path)
        page.wait_for_selector(ready)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert hosts <= {urlsplit(url).netloc}
    assert [text for text in errors if not text.startswith(tuple(allowed))] == []
