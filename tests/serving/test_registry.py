"""Versions under load: swapped at once, refused with the old one going on, rolled back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossfm.errors import ModelFileError, OptionError
from crossfm.serving.bundle import point, pointed, write_bundle
from crossfm.serving.registry import Registry
from crossfm.serving.store import Store
from serving.client import Client
from serving.fakes import FakeModel, films, open_fake

FIRST = {"a": 1, "b": 101}  # the versions have different items


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "models"
    for version, first in FIRST.items():
        write_bundle(home, FakeModel(first=first), version=version, golden=3, opener=open_fake)
    point(home, "a")
    return home


def registry(folder: Path, **more: Any) -> Registry:
    return Registry(folder, opener=open_fake, **more)


def damage(folder: Path, version: str) -> None:
    (folder / version / "model.crossfm").write_text('{"first": 7}')


def test_current_is_watched(serve: Callable[..., Client], folder: Path) -> None:
    client = serve(registry=registry(folder))
    assert client.recommend()["version"] == "a"
    point(folder, "b")
    client.app.state.service.watch()
    assert client.recommend()["version"] == "b"
    assert 'crossfm_model_info{version="a"} 0.0' in client.get("/metrics").text
    assert 'crossfm_model_info{version="b"} 1.0' in client.get("/metrics").text


def test_swaps_under_load_give_no_error_and_no_mixed_answer(
    serve: Callable[..., Client], folder: Path
) -> None:
    client = serve(registry=registry(folder), threads=4)
    items = {version: set(films(first=first)) for version, first in FIRST.items()}
    wrong: list[Any] = []
    seen: set[str] = set()
    done = threading.Event()

    def hammer() -> None:
        while not done.is_set():
            answer = client.post("/v1/recommend", {"user": "1", "n": 5})
            told = answer.json()
            version = told.get("version")
            seen.add(version)
            mine = {one["item"] for one in told.get("items", ())} <= items.get(version, set())
            if answer.status_code != 200 or answer.headers["X-Model-Version"] != version or not mine:
                wrong.append(answer.text)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for at in range(30):
        answer = client.post("/v1/models/activate", {"version": "ba"[at % 2]})
        assert answer.status_code == 200, answer.text
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen == {"a", "b"}


def test_a_request_in_flight_ends_with_the_version_it_began_with(folder: Path) -> None:
    models = registry(folder)
    before = models.current
    models.activate("b")
    assert before.engine.recommend.__self__.version == "a"
    assert models.current.version == "b"
    assert models.previous is before


def test_a_corrupt_bundle_is_refused_and_the_old_one_goes_on(
    serve: Callable[..., Client], folder: Path
) -> None:
    client = serve(registry=registry(folder))
    damage(folder, "b")
    point(folder, "b")
    for _ in range(3):
        client.app.state.service.watch()
    assert client.recommend()["version"] == "a"
    refused = client.get("/health/ready").json()["refused"]
    assert refused["version"] == "b"
    assert "model.crossfm has 12 bytes" in refused["reason"]
    assert len(client.get("/v1/stats").json()["models"]["refused"]) == 1  # once, not at every look
    assert "crossfm_bundles_refused_total 1.0" in client.get("/metrics").text
    assert client.get("/health/ready").status_code == 200
    point(folder, "a")
    client.app.state.service.watch()
    assert client.get("/health/ready").json()["refused"] is None


def test_activating_a_corrupt_bundle_is_a_conflict_and_current_stays(
    serve: Callable[..., Client], folder: Path
) -> None:
    client = serve(registry=registry(folder))
    damage(folder, "b")
    answer = client.post("/v1/models/activate", {"version": "b"})
    assert answer.status_code == 409
    assert "model.crossfm" in answer.json()["error"]["message"]
    assert pointed(folder) == "a"
    assert client.post("/v1/models/activate", {"version": "none"}).status_code == 404
    for name in ("../a", "a/../b", ""):
        assert client.post("/v1/models/activate", {"version": name}).status_code == 422


@pytest.mark.parametrize("text", ["../../etc", "none", "", "a\0", "x" * 300])
def test_a_senseless_current_is_refused(folder: Path, text: str) -> None:
    models = registry(folder)
    (folder / "CURRENT").write_text(text)
    assert not models.refresh()
    assert models.current.version == "a"
    assert len(models.refusals) == 1
    assert not models.refresh()
    assert len(models.refusals) == 1


def test_rollback_goes_to_the_version_before_also_after_a_restart(
    serve: Callable[..., Client], folder: Path
) -> None:
    client = serve(registry=registry(folder))
    client.post("/v1/models/activate", {"version": "b"})
    assert client.post("/v1/models/rollback").json() == {"version": "a", "previous": "b"}
    client.post("/v1/models/activate", {"version": "b"})
    again = serve(registry=registry(folder))
    assert again.recommend()["version"] == "b"
    assert again.post("/v1/models/rollback").json()["version"] == "a"
    assert pointed(folder) == "a"


def test_a_start_with_a_corrupt_current_takes_the_previous_one(folder: Path) -> None:
    point(folder, "b")
    damage(folder, "b")
    models = registry(folder)
    assert models.current.version == "a"
    assert models.failing is not None
    damage(folder, "a")
    with pytest.raises(ModelFileError):
        registry(folder)


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="crossfm bundle add"):
        registry(tmp_path)


def test_one_model_without_a_folder_cannot_be_changed(client: Client) -> None:
    assert client.post("/v1/models/activate", {"version": "x"}).status_code == 422
    assert client.post("/v1/models/rollback").status_code == 422
    with pytest.raises(OptionError, match="folder of bundles or an engine"):
        Registry()


def test_items_put_over_http_reach_a_version_activated_later(
    serve: Callable[..., Client], folder: Path, store: Store
) -> None:
    client = serve(registry=registry(folder))
    client.request("PUT", "/v1/items/new", json={"attributes": {"title": "New"}})
    client.request("DELETE", "/v1/items/101")  # not of this version
    store.delete_item("101")
    client.post("/v1/models/activate", {"version": "b"})
    items = client.items(n=30)
    assert "new" in items
    assert "101" not in items
    client.request("PUT", "/v1/items/newer", json={"attributes": {"title": "Newer"}})
    client.post("/v1/models/rollback")
    assert "newer" in client.items(n=30)


def test_versions_are_listed(serve: Callable[..., Client], folder: Path) -> None:
    told = serve(registry=registry(folder)).get("/v1/models").json()
    assert told["current"] == "a"
    assert {one["version"]: one["in_memory"] for one in told["versions"]} == {"a": True, "b": False}
