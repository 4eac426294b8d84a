"""Limits, and callers who do not mean well."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfm.serving.hosts import Hosts, is_loopback
from crossfm.serving.json_text import depth, dumps
from crossfm.serving.limits import Buckets
from crossfm.serving.registry import Registry
from serving.client import Client
from serving.fakes import FakeEngine

JSON = {"Content-Type": "application/json"}


def test_a_body_over_the_limit_is_refused(serve: Callable[..., Client]) -> None:
    client = serve(max_body=100)
    answer = client.request("POST", "/v1/recommend", content=b'{"user": "%s"}' % (b"x" * 200), headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "too_large"


def test_bytes_are_counted_where_no_header_tells_their_number(serve: Callable[..., Client]) -> None:
    client, sent = serve(max_body=100), 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 50
            yield b" " * 50

    assert client.request("POST", "/v1/recommend", content=endless(), headers=JSON).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"n": NaN}',
        b'{"n": Infinity}',
        b'{"user": "\\ud800"}',
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 500,
    ],
)
def test_what_is_no_json_is_400(client: Client, body: bytes) -> None:
    answer = client.request("POST", "/v1/recommend", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "bad_request"


def test_json_that_is_nested_too_deep_is_refused(serve: Callable[..., Client]) -> None:
    client = serve(max_depth=5)
    deep: Any = "x"
    for _ in range(5):
        deep = {"a": deep}
    assert client.post("/v1/recommend", {"where": deep}).status_code == 400
    assert client.post("/v1/recommend", {"where": {"genre": ["[[[[[[", "Drama"]}}).status_code == 200


@settings(max_examples=30)
@given(st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_depth_is_that_of_the_nesting(value: Any) -> None:
    def naive(value: Any) -> int:
        if isinstance(value, dict):
            return 1 + max(map(naive, value.values()), default=0)
        return 1 + max(map(naive, value), default=0) if isinstance(value, list) else 0

    assert depth(dumps(value)) == naive(value)


@pytest.mark.parametrize("tail", [b'"', b'\\"', b"\\", b'a"'])
def test_depth_takes_linear_time_on_hostile_input(tail: bytes) -> None:
    depth(b'"' + tail * 300_000)  # minutes, were it quadratic


@pytest.mark.parametrize("body", [b"n=3", b'{"n": 3}'])
def test_a_form_of_a_foreign_page_is_no_json(client: Client, body: bytes) -> None:
    answer = client.request("POST", "/v1/recommend", content=body, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422


def test_no_list_and_no_number_goes_past_the_limits(serve: Callable[..., Client]) -> None:
    client = serve(max_n=5, max_candidates=50)
    for body in ({"n": 6}, {"candidates": 51}, {"deny": ["x"] * 10_001}, {"history": ["x"] * 1_001}):
        assert client.post("/v1/recommend", body).status_code == 422


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    now = [0.0]
    buckets = Buckets(2.0, 3, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0  # another's
    now[0] = 0.5
    assert [buckets.take("a"), buckets.take("a")] == [0, 0.5]
    now[0] = 100.0
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_too_many_requests_are_told_when_to_come_back(serve: Callable[..., Client]) -> None:
    client = serve(rate=0.5, burst=2)
    answers = [client.get("/v1/schema") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "2"
    assert client.get("/health/ready").status_code == 200


def test_one_request_too_many_at_once_is_told_to_come_back(serve: Callable[..., Client]) -> None:
    client = serve(registry=Registry(engine=FakeEngine(slow=0.5)), max_in_flight=1)
    first: list[int] = []
    waiting = threading.Thread(target=lambda: first.append(client.post("/v1/recommend", {}).status_code))
    waiting.start()
    slots = client.app.state.service.slots
    while not slots.taken:
        pass
    answer = client.post("/v1/recommend", {})
    waiting.join()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert first == [200]
    assert slots.taken == 0


def test_an_answer_that_takes_too_long_is_503(serve: Callable[..., Client]) -> None:
    client = serve(registry=Registry(engine=FakeEngine(slow=0.3)), timeout=0.05)
    answer = client.post("/v1/recommend", {})
    assert answer.status_code == 503
    assert "longer than" in answer.json()["error"]["message"]


def test_a_foreign_name_or_page_cannot_reach_a_server_on_a_laptop(client: Client) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1"):
        assert client.get("/v1/users", headers={"Host": host}).status_code == 421
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert client.get("/v1/users", headers={"Host": host}).status_code == 200
    assert client.get("/v1/users", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/v1/users", headers={"Origin": "null"}).status_code == 403
    assert client.get("/v1/users", headers={"Origin": "http://localhost"}).status_code == 200


def test_only_named_origins_are_told_that_they_may(serve: Callable[..., Client]) -> None:
    client = serve(cors_origins=("https://shop.example",))
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    allowed = client.request("OPTIONS", "/v1/recommend", headers=asked)
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    other = client.get("/v1/users", headers={"Origin": "https://other.example"})
    assert other.status_code == 403
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *((host, True) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.1.2", "example.com", "")),
    ],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


def test_any_host_may_call_where_a_key_is_asked_for_unless_names_are_given() -> None:
    assert Hosts("0.0.0.0", (), ()).allows("anything.example")
    named = Hosts("0.0.0.0", ("api.example",), ())
    assert named.allows("API.example:443")
    assert not named.allows("other.example")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_answer_has_numbers_that_json_lacks(serve: Callable[..., Client], value: float) -> None:
    client = serve(registry=Registry(engine=FakeEngine(shift=value)))
    answer = client.post("/v1/recommend", {"n": 1})
    assert answer.json()["items"][0]["score"] is None
    assert "NaN" not in answer.text
    assert "Infinity" not in answer.text


def test_a_fault_of_ours_tells_no_details(
    serve: Callable[..., Client], engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret path /etc/x")

    monkeypatch.setattr(engine, "recommend", fail)
    answer = serve(log_level="error").post("/v1/recommend", {})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["request_id"] == answer.headers["X-Request-ID"]
