"""Keys: every route with no, a wrong, a low and the right key."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossfm.errors import DataError, MissingFileError, OptionError
from crossfm.serving import auth
from crossfm.serving.app import build_app
from crossfm.serving.guard import PUBLIC, SCOPE
from crossfm.serving.registry import Registry
from crossfm.serving.settings import Settings
from serving.client import Client

BODIES: dict[str, Any] = {
    "/v1/rank": {"items": ["1"]},
    "/v1/explain": {"item": "1"},
    "/v1/feedback": {"events": [{"user": "1", "item": "1"}]},
    "/v1/models/activate": {"version": "x"},
}


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "keys.json"
    return {"file": str(path)} | {scope: auth.add_key(path, scope, scope) for scope in auth.SCOPES}


def routes(app: Any) -> list[tuple[str, str, str]]:
    """Return (method, path, scope) of everything in the API's description."""
    return [
        (method.upper(), path, operation[SCOPE])
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]


def test_every_route_asks_for_its_scope(serve: Callable[..., Client], keys: dict[str, str]) -> None:
    client = serve(keys=Path(keys["file"]))
    told = routes(client.app)
    assert len(told) > 25
    client.app.state.service.strangers.rate = 0  # wrong keys are slowed down: see below
    for method, path, scope in told:

        def status(key: str | None, name: str = "X-API-Key", method: str = method, path: str = path) -> int:
            client.app.state.service.strangers.rate = 0  # wrong keys are slowed down: see below
            where = path.replace("{id}", "1").replace("{user}", "1")
            body = BODIES.get(path, {"features": {}, "attributes": {}} if "{id}" in path else {})
            headers = {} if key is None else {name: key}
            return client.request(method, where, json=body, headers=headers).status_code

        if scope == PUBLIC:
            assert status(None) < 400
            continue
        assert status(None) == 401, path
        assert status("cfm_wrong") == 401, path
        assert status(keys["read"][:-1]) == 401, path
        for have in auth.SCOPES:
            allowed = auth.SCOPES.index(have) >= auth.SCOPES.index(scope)
            assert (status(keys[have]) not in (401, 403)) == allowed, (path, have)
            assert (status(f"Bearer {keys[have]}", "Authorization") not in (401, 403)) == allowed


def test_a_refusal_is_the_same_whatever_was_asked(serve: Callable[..., Client], keys: dict[str, str]) -> None:
    client = serve(keys=Path(keys["file"]))
    texts = set()
    for path, body in (("/v1/items/1", None), ("/v1/items/none", None), ("/v1/users/1", {"bad": 1})):
        answer = client.request("GET", path, json=body, headers={"X-Request-ID": "same"})
        texts.add((answer.status_code, answer.text))
    assert len(texts) == 1
    broken = client.request("POST", "/v1/recommend", content=b"{", headers={"X-Request-ID": "same"})
    assert (broken.status_code, broken.text) in texts  # before the body is read


def test_wrong_keys_are_slowed_down(serve: Callable[..., Client], keys: dict[str, str]) -> None:
    client = serve(keys=Path(keys["file"]))
    answers = [client.get("/v1/users", headers={"X-API-Key": "cfm_guess"}).status_code for _ in range(25)]
    assert answers[:20] == [401] * 20
    assert answers[-1] == 429
    assert client.get("/v1/users", headers={"X-API-Key": keys["read"]}).status_code == 200


def test_health_tells_strangers_nothing_but_the_state(
    serve: Callable[..., Client], keys: dict[str, str]
) -> None:
    client = serve(keys=Path(keys["file"]))
    assert client.get("/health/ready").json() == {"status": "ready"}
    assert client.get("/health/ready", headers={"X-API-Key": keys["read"]}).json()["version"] == "one"


def test_a_key_is_compared_with_all_in_constant_time(
    keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    ring = auth.KeyRing(Path(keys["file"]))
    assert ring.find(keys["read"]).name == "read"  # the first one, and yet all are compared
    assert len(compared) == 3
    assert ring.find("nonsense") is None
    assert ring.find("") is None
    assert ring.find(None) is None


def test_the_file_has_digests_only_and_is_its_owners(keys: dict[str, str]) -> None:
    path = Path(keys["file"])
    assert not any(keys[scope] in path.read_text() for scope in auth.SCOPES)
    assert path.stat().st_mode & 0o077 == 0
    assert len(keys["read"]) > 40


def test_a_revoked_key_stops_working_without_a_restart(
    serve: Callable[..., Client], keys: dict[str, str]
) -> None:
    client = serve(keys=Path(keys["file"]), key=keys["read"])
    assert client.get("/v1/users").status_code == 200
    auth.revoke_key(Path(keys["file"]), "read")
    client.app.state.service.watch()
    assert client.get("/v1/users").status_code == 401


def test_a_damaged_file_leaves_the_keys_as_they_were(
    serve: Callable[..., Client], keys: dict[str, str]
) -> None:
    client = serve(keys=Path(keys["file"]), key=keys["read"])
    Path(keys["file"]).write_text("{")
    client.app.state.service.watch()
    assert client.get("/v1/users").status_code == 200


def of_one(**changed: Any) -> str:
    return json.dumps(
        {"keys": [{"name": "a", "scope": "read", "sha256": "0" * 64, "created": "", **changed}]}
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"keys": 3}',
        '{"keys": [{"name": "a"}]}',
        of_one(scope="root"),
        of_one(sha256="é" * 64),
        of_one(name=3),
        of_one(more=1),
    ],
)
def test_a_file_that_holds_something_else_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(DataError, match=r"keys\.json"):
        auth.read_keys(tmp_path / "keys.json")


def test_names_are_taken_once_and_must_be_there(tmp_path: Path, keys: dict[str, str]) -> None:
    path = Path(keys["file"])
    with pytest.raises(OptionError, match="taken"):
        auth.add_key(path, "read", "write")
    with pytest.raises(OptionError, match="one of read, write, admin"):
        auth.add_key(path, "x", "root")
    with pytest.raises(OptionError, match="has no key 'nobody'; it has read, write, admin"):
        auth.revoke_key(path, "nobody")
    with pytest.raises(MissingFileError, match="crossfm keys add"):
        auth.KeyRing(tmp_path / "none.json")


def test_a_route_without_a_scope_is_a_mistake_at_import(engine: Any, store: Any) -> None:
    from crossfm.serving.guard import router

    with pytest.raises(KeyError, match=SCOPE):
        router("x").get("/open")(lambda: None)
    build_app(Registry(engine=engine), store, Settings())
