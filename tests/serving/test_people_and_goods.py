"""Users and items: what is written is used at once, survives a restart and reaches other versions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from crossfm.errors import StoreError
from crossfm.serving.registry import Registry
from crossfm.serving.store import Store
from serving.client import Client
from serving.fakes import FakeEngine


def test_a_user_is_made_changed_and_deleted(client: Client) -> None:
    made = client.post("/v1/users", {"id": "new", "features": {"age": 30}})
    assert made.status_code == 201
    assert client.post("/v1/users", {"id": "new"}).status_code == 409
    changed = client.request("PATCH", "/v1/users/new", json={"features": {"city": "Rome"}})
    assert changed.json()["features"] == {"age": 30, "city": "Rome"}
    client.request("PUT", "/v1/users/new", json={"features": {"age": 31}})
    assert client.get("/v1/users/new").json() == {"id": "new", "features": {"age": 31}}
    assert client.request("DELETE", "/v1/users/new").status_code == 204
    assert client.get("/v1/users/new").status_code == 404


def test_null_removes_what_is_stored_and_the_models_value_counts_again(client: Client, store: Store) -> None:
    model = client.get("/v1/users/1").json()["features"]
    assert model["age"] is not None
    told = client.request("PATCH", "/v1/users/1", json={"features": {"age": 99, "city": "Rome"}}).json()
    assert told["features"] == {**model, "age": 99, "city": "Rome"}
    assert store.get_user("1") == {"age": 99, "city": "Rome"}  # what the model knows is not copied
    told = client.request("PATCH", "/v1/users/1", json={"features": {"age": None}}).json()
    assert told["features"] == {**model, "city": "Rome"}
    assert client.request("PATCH", "/v1/users/nobody", json={"features": {"age": 1}}).status_code == 404
    client.request("DELETE", "/v1/users/2")
    assert client.request("PATCH", "/v1/users/2", json={"features": {"age": 1}}).status_code == 404


@pytest.mark.parametrize("path", ["/v1/users/1", "/v1/items/1", "/v1/users/new", "/v1/items/new"])
def test_changes_at_the_same_time_lose_nothing(client: Client, path: str) -> None:
    inside = "features" if "users" in path else "attributes"
    if path.endswith("new"):
        client.request("PUT", path, json={inside: {}})

    def change(at: int) -> int:
        return client.request("PATCH", path, json={inside: {f"x{at}": at}}).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(change, range(60))) == {200}
    client.app.state.service.watch()
    told = client.get(path).json()[inside]
    assert {name: told.get(name) for name in (f"x{at}" for at in range(60))} == {
        f"x{at}": at for at in range(60)
    }


def test_a_deleted_user_is_unknown_to_the_model_too(client: Client, engine: FakeEngine) -> None:
    assert client.recommend(user="1")["known"]
    assert client.request("DELETE", "/v1/users/1").status_code == 204
    told = client.recommend(user="1", n=20)
    assert not told["known"]
    assert engine.asked[-1].user is None
    assert len(told["items"]) == 20  # what the model had as seen is shown again
    assert client.get("/v1/users/1").status_code == 404
    assert client.get("/v1/users/1/history").status_code == 404
    client.post(
        "/v1/feedback", {"events": [{"user": "1", "item": "9"}]}
    )  # who comes back is known from now on
    assert [one["item"] for one in client.get("/v1/users/1/history").json()["history"]] == ["9"]
    assert "1" not in [user["id"] for user in client.get("/v1/users").json()["users"]]


def test_stored_users_come_first_and_pages_do_not_overlap(client: Client) -> None:
    for user in ("a1", "b1"):
        client.post("/v1/users", {"id": user})
    pages = [client.get(f"/v1/users?limit=3&offset={at}").json()["users"] for at in (0, 3, 6)]
    ids = [user["id"] for page in pages for user in page]
    assert ids == ["a1", "b1", "1", "2", "3", "4", "5"]
    assert [user["id"] for user in client.get("/v1/users?search=1").json()["users"]] == ["a1", "b1", "1"]


def test_history_is_events_then_what_the_model_learned(client: Client) -> None:
    client.post("/v1/feedback", {"events": [{"user": "1", "item": "9"}, {"user": "1", "item": "3"}]})
    told = client.get("/v1/users/1/history").json()["history"]
    assert [(one["item"], one["source"]) for one in told] == [
        ("3", "feedback"),
        ("9", "feedback"),
        ("2", "model"),
    ]
    assert told[0]["attributes"]["title"] == "Film 3"
    assert len(client.get("/v1/users/1/history?limit=2").json()["history"]) == 2


def test_a_new_item_is_recommended_at_once(client: Client) -> None:
    attributes = {"title": "Brand new", "genre": "Drama", "year": 2020}
    assert client.post("/v1/items", {"id": "new", "attributes": attributes}).status_code == 201
    assert client.post("/v1/items", {"id": "new"}).status_code == 409
    assert "new" in client.items(n=3)
    found = client.get("/v1/items?search=brand").json()["items"]
    assert found == [{"id": "new", "attributes": attributes}]


def test_a_deleted_item_is_gone_at_once(client: Client) -> None:
    assert client.request("DELETE", "/v1/items/1").status_code == 204
    assert "1" not in client.items(n=20)
    assert client.get("/v1/items/1").status_code == 404


def test_attributes_change_in_parts_or_whole(client: Client) -> None:
    changed = client.request("PATCH", "/v1/items/1", json={"attributes": {"year": 2001}}).json()
    assert changed["attributes"] == {"title": "Film 1", "genre": "Drama", "year": 2001}
    changed = client.request("PATCH", "/v1/items/1", json={"attributes": {"genre": None}}).json()
    assert changed["attributes"] == {"title": "Film 1", "year": 2001}
    put = client.request("PUT", "/v1/items/1", json={"attributes": {"title": "Other"}}).json()
    assert put["attributes"] == {"title": "Other"}


def test_what_the_model_does_not_take_is_not_stored(client: Client, store: Store) -> None:
    answer = client.request("PUT", "/v1/items/1", json={"attributes": {"year": "old"}})
    assert answer.status_code == 422
    assert store.get_item("1") is None


def test_what_the_store_does_not_take_is_not_in_the_model(
    client: Client, store: Store, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("no space is left", retry=True)

    monkeypatch.setattr(store, "put_item", full)
    assert client.request("PUT", "/v1/items/1", json={"attributes": {"title": "X"}}).status_code == 503
    assert client.request("PUT", "/v1/items/new", json={"attributes": {"title": "X"}}).status_code == 503
    assert engine.item("1")["title"] == "Film 1"
    assert engine.item("new") is None


def test_items_survive_a_restart(serve: Callable[..., Client], store: Store) -> None:
    first = serve()
    first.request("PUT", "/v1/items/new", json={"attributes": {"title": "New"}})
    first.request("DELETE", "/v1/items/2")
    second = serve(registry=Registry(engine=FakeEngine()))
    items = second.items(n=30)
    assert "new" in items
    assert "2" not in items


def test_items_of_another_worker_arrive(serve: Callable[..., Client], store: Store) -> None:
    one, other = serve(), serve(registry=Registry(engine=FakeEngine()))
    one.request("PUT", "/v1/items/new", json={"attributes": {"title": "New"}})
    other.app.state.service.watch()
    assert "new" in other.items(n=30)


def test_changes_of_an_item_by_two_workers_are_both_kept(serve: Callable[..., Client]) -> None:
    one, other = serve(), serve(registry=Registry(engine=FakeEngine()))
    one.request("PATCH", "/v1/items/1", json={"attributes": {"year": 2001}})
    told = other.request("PATCH", "/v1/items/1", json={"attributes": {"title": "Other"}}).json()
    assert told["attributes"] == {"title": "Other", "genre": "Drama", "year": 2001}
    one.app.state.service.watch()
    assert one.get("/v1/items/1").json()["attributes"] == told["attributes"]


def test_an_item_that_a_version_does_not_take_leaves_the_others_in(
    serve: Callable[..., Client], store: Store
) -> None:
    store.put_item("bad", {"year": "old"})
    store.put_item("good", {"title": "Good"})
    items = serve().items(n=30)
    assert "good" in items
    assert "bad" not in items
