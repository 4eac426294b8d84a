"""What the server tells about itself, and what it keeps to itself."""

from __future__ import annotations

import io
import json
import logging.config
from collections.abc import Callable
from pathlib import Path

from crossfm.serving.auth import add_key
from crossfm.serving.logs import logging_config, make_log
from crossfm.serving.window import SECONDS, Window, _gini
from serving.client import Client


def test_a_line_for_each_request_without_secrets(serve: Callable[..., Client], tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", "shop", "write")
    client = serve(keys=tmp_path / "keys.json", key=key)
    file = io.StringIO()
    client.app.state.service.log = make_log("info", file)
    client.recommend(user="secret-user", features={"age": 471147114711})
    client.post("/v1/feedback", {"events": [{"user": "secret-user", "item": "secret-item"}]})
    client.get("/v1/users/secret-user?search=secret")
    client.get("/health/live")
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["route"] for line in lines] == [
        "POST /v1/recommend",
        "POST /v1/feedback",
        "GET /v1/users/{id}",
    ]
    assert {line["key"] for line in lines} == {"shop"}
    assert lines[0]["version"] == "one"
    assert lines[0]["status"] == 200
    assert lines[0]["ms"] > 0
    assert len({line["request_id"] for line in lines}) == 3
    for secret in ("secret", "471147114711", key):
        assert secret not in file.getvalue()


def test_libraries_log_json_too(capsys: object) -> None:
    told = logging_config("info")
    assert told["loggers"]["uvicorn.access"]["level"] == "ERROR"
    formatter = logging.config.DictConfigurator(told).configure_formatter(dict(told["formatters"]["json"]))
    record = logging.LogRecord("uvicorn.error", 20, "", 0, "port %d", (80,), None)
    line = json.loads(formatter.format(record))
    assert (line["event"], line["level"]) == ("port 80", "info")


def test_metrics_name_routes_not_paths(client: Client) -> None:
    client.recommend(user="1")
    client.get("/v1/items/3")
    client.get("/nowhere/secret")
    text = client.get("/metrics").text
    assert 'crossfm_requests_total{route="GET /v1/items/{id}",status="200"} 1.0' in text
    assert 'crossfm_requests_total{route="other",status="404"} 1.0' in text
    assert 'crossfm_request_seconds_count{route="POST /v1/recommend"} 1.0' in text
    assert 'crossfm_stage_seconds_count{stage="recall"} 1.0' in text
    assert 'crossfm_model_info{version="one"} 1.0' in text
    assert "crossfm_in_flight 1.0" in text  # this request
    assert "secret" not in text
    assert "process_resident_memory_bytes" in text


def test_the_dashboard_has_its_numbers(client: Client) -> None:
    for user in "123":
        client.recommend(user=user, n=4)
    client.get("/nowhere")
    told = client.get("/v1/stats").json()
    routes = {one["route"]: one for one in told["routes"]}
    assert routes["POST /v1/recommend"]["count"] == 3
    assert routes["POST /v1/recommend"]["p50"] > 0
    assert {one["stage"]: one["p50"] for one in told["stages"]}["recall"] == 0.2
    assert told["funnel"]["answers"] == 3
    assert told["funnel"]["returned"] == 4
    assert told["coverage"]["distinct_items"] >= 4
    assert told["counts"]["model_items"] == 20
    assert told["index"]["kind"] == "exact"
    assert told["version"] == told["models"]["current"] == "one"
    assert told["memory_bytes"] > 1e6
    assert len(told["qps"]["series"]) == SECONDS // 5


def test_rates_and_quantiles_are_of_the_last_minutes() -> None:
    now = [1_000.0]
    window = Window(clock=lambda: now[0])
    for ms in range(1, 101):
        window.request("GET /x", float(ms), 200 if ms > 10 else 500)
    now[0] = 1_006.0
    told = window.report(10)
    assert told["qps"]["series"][-1] == 20.0
    assert told["qps"]["errors"][-1] == 2.0
    (route,) = told["routes"]
    assert (route["count"], route["errors"], route["p50"], route["p99"]) == (100, 10, 50.5, 99.01)
    now[0] += 2 * SECONDS
    told = window.report(10)
    assert sum(told["qps"]["series"]) == 0
    assert told["routes"][0]["p50"] is None


def test_gini_is_0_for_equal_shares_and_near_1_for_one_item() -> None:
    assert _gini([3, 3, 3]) == 0
    assert _gini([1] * 99 + [10_000]) > 0.95
