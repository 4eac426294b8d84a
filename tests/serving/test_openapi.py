"""The API's description: complete, and true under requests that are made from it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from crossfm.serving.guard import PUBLIC, SCOPE
from serving.client import Client

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")


@pytest.fixture
def described(client: Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(described: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_is_described(described: dict[str, Any]) -> None:
    told = operations(described)
    names = [operation["operationId"] for _, operation in told]
    assert len(set(names)) == len(names) > 25
    for name, operation in told:
        assert operation["summary"], name
        assert operation["tags"], name
        if operation[SCOPE] == PUBLIC:
            assert "security" not in operation
            continue
        assert operation["security"] == [{"bearer": []}, {"header": []}]
        for status in ("400", "401", "403", "413", "422", "429", "503"):
            content = operation["responses"][status]["content"]["application/json"]
            assert content["schema"]["$ref"].endswith("/Error"), (name, status)


def test_bodies_have_examples_that_work(client: Client, described: dict[str, Any]) -> None:
    examples = described["components"]["schemas"]["RecommendBody"]["examples"]
    assert len(examples) >= 2
    for example in examples:
        assert client.post("/v1/recommend", example).status_code == 200
    events = described["components"]["schemas"]["FeedbackBody"]["properties"]["events"]["examples"][0]
    assert client.post("/v1/feedback", {"events": events}).status_code == 201


def test_the_documentation_page_loads_nothing_from_elsewhere(client: Client) -> None:
    pytest.importorskip("fastapi_offline", reason="pip install fastapi-offline")
    page = client.get("/docs")
    assert page.status_code == 200
    assert re.findall(r'(?:src|href)="(?!/docs/static/)[^"]*"', page.text) == []
    policy = page.headers["Content-Security-Policy"]
    assert "'sha256-" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert client.get("/docs/static/swagger-ui-bundle.js").status_code == 200


def test_the_page_is_served_with_a_strict_policy(client: Client, serve: Callable[..., Client]) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert client.get("/", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    files = re.findall(r'(?:src|href)="(static/[^"]+)"', page.text)
    assert len(files) > 2
    for name in files:
        file = client.get(f"/{name}")
        assert file.headers["Cache-Control"] == "no-cache"
        again = client.get(f"/{name}", headers={"If-None-Match": file.headers["ETag"]})
        assert again.status_code == 304
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404
    assert serve(page=False).get("/").status_code == 404


def test_no_request_made_from_the_description_gives_an_answer_that_is_not_in_it(
    serve: Callable[..., Client],
) -> None:
    from serving.fuzz import fuzz

    assert fuzz(serve().app, examples=2) > 80


def test_allow_names_all_methods_of_a_path(client: Client) -> None:
    answer = client.request("OPTIONS", "/v1/items/50")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, PATCH, PUT")
    assert client.request("POST", "/openapi.json").headers["Allow"] == "GET"
