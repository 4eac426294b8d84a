"""Faults with the real engine and the real store behind HTTP; longer ones are in benchmarks/faults.py."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crossfm.serving.auth import add_key
from crossfm.serving.bundle import point, write_bundle
from crossfm.serving.registry import Registry
from crossfm.serving.store import Store
from serving.client import Client
from serving.small import small_model

FIRST = {"a": 0, "b": 1_000}  # the least item of each version: they have none in common
Serve = Callable[..., Client]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, (version, first) in enumerate(FIRST.items()):
        write_bundle(folder, small_model(seed, first=first), version=version, golden=5)
    return folder


@pytest.fixture
def models(written: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(written, folder)
    point(folder, "a")
    return folder


def of_one_version(answer: Any) -> bool:
    """Whether header, body and every item are of the same version."""
    told = answer.json()
    first = FIRST[told["version"]]
    items = [one["item"] for one in (*told["items"], *told["recalled"])]
    whole = all(first <= item < first + 40 for item in items) and len(items) == 10
    return whole and answer.headers["X-Model-Version"] == told["version"]


def test_versions_change_under_load_without_an_error_or_a_mixed_answer(serve: Serve, models: Path) -> None:
    client = serve(registry=Registry(models), threads=3)
    wrong: list[str] = []
    seen: set[str] = set()
    done = threading.Event()

    def hammer() -> None:
        while not done.is_set():
            answer = client.post("/v1/recommend", {"user": 3, "n": 5, "exclude_seen": False})
            seen.add(answer.headers.get("X-Model-Version", ""))
            if answer.status_code != 200 or not of_one_version(answer):
                wrong.append(answer.text)

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for at in range(12):
        assert client.post("/v1/models/activate", {"version": "ba"[at % 2]}).status_code == 200
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen == {"a", "b"}


@pytest.mark.parametrize("name", ["model.crossfm", "golden.json", "manifest.json"])
def test_a_bundle_with_one_changed_byte_is_refused_and_the_old_one_goes_on(
    serve: Serve, models: Path, name: str
) -> None:
    client = serve(registry=Registry(models))
    path = models / "b" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    refused = client.post("/v1/models/activate", {"version": "b"})
    assert refused.status_code == 409
    assert of_one_version(client.post("/v1/recommend", {"user": 3, "n": 5}))
    assert client.recommend(user=3)["version"] == "a"
    assert (models / "CURRENT").read_text() == "a\n"


def test_a_locked_database_refuses_feedback_gives_lists_and_goes_on(
    serve: Serve, models: Path, tmp_path: Path
) -> None:
    path = tmp_path / "locked.db"
    with Store(f"sqlite:///{path}", timeout=0.2) as store:
        client = serve(registry=Registry(models), store=store)
        event = {"events": [{"user": 3, "item": 5}]}
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = client.post("/v1/feedback", event)
            assert (refused.status_code, refused.json()["error"]["type"]) == (503, "unavailable")
            assert int(refused.headers["Retry-After"]) > 0
            assert len(client.recommend(user=3, n=5)["items"]) == 5
            other.execute("ROLLBACK")
        assert client.post("/v1/feedback", event).status_code == 201
        assert [one.item for one in store.events("3")] == ["5"]


def test_a_full_disk_refuses_feedback_gives_lists_and_goes_on(
    serve: Serve, models: Path, tmp_path: Path
) -> None:
    with Store(f"sqlite:///{tmp_path}/full.db") as store:
        client = serve(registry=Registry(models), store=store)
        limit_pages(store, 60)
        accepted = 0
        for at in range(500):
            events = [{"user": 3, "item": at % 40, "context": {"note": "x" * 500}} for _ in range(20)]
            answer = client.post("/v1/feedback", {"events": events})
            if answer.status_code != 201:
                break
            accepted += 20
        assert answer.status_code == 503
        assert "no space is left" in answer.json()["error"]["message"]
        assert len(store.events("3")) == accepted
        assert client.recommend(user=4, n=5)["items"]
        limit_pages(store, 100_000)
        assert client.post("/v1/feedback", {"events": events}).status_code == 201
        assert len(store.events("3")) == accepted + 20


def limit_pages(store: Store, pages: int) -> None:
    with store._database._writer.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


@pytest.mark.parametrize("given", [{}, {"X-API-Key": "cfm_wrong"}, {"Authorization": "Bearer cfm_wrong"}])
def test_without_a_right_key_nothing_of_the_model_is_told(
    serve: Serve, models: Path, tmp_path: Path, given: dict[str, str]
) -> None:
    add_key(tmp_path / "keys.json", "shop", "write")
    client = serve(registry=Registry(models), keys=tmp_path / "keys.json")
    paths = (
        "/v1/items/5",
        "/v1/items/nothing",
        "/v1/users/3",
        "/v1/schema",
        "/v1/models",
        "/v1/stats",
        "/metrics",
    )
    answers = [client.get(path, headers=given) for path in paths]
    answers.append(client.request("POST", "/v1/recommend", json={"user": 3}, headers=given))
    answers.append(client.request("POST", "/v1/recommend", content=b"{no json", headers=given))
    told = [(answer.status_code, answer.json()["error"]["message"]) for answer in answers]
    assert len(set(told)) == 1
    assert told[0][0] == 401
    for answer in answers:
        assert "X-Model-Version" not in answer.headers
        assert not any(word in answer.text for word in ("Film", "shop", str(models)))
