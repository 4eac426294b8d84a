"""The command as a process: start, refusal to bind, signals, kill -9 under load, with the real engine and store."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossfm.errors import OptionError
from crossfm.serving.auth import add_key
from crossfm.serving.bundle import point, write_bundle
from crossfm.serving.memory import settle
from crossfm.serving.registry import Registry
from crossfm.serving.server import check_binding, make_app, open_registry
from crossfm.serving.settings import Settings
from crossfm.serving.store import Store
from serving.small import small_model

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, version in enumerate(("a", "b")):
        write_bundle(folder, small_model(seed), version=version, golden=10)
    return folder


@pytest.fixture
def current_a(models: Path) -> Path:
    point(models, "a")
    return models


Start = Callable[..., tuple[subprocess.Popen[str], httpx.Client]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return ``start(bundle, *options)``, which gives a process of ``crossfm serve`` and a client for it."""
    running: list[subprocess.Popen[str]] = []
    opened: list[Any] = []

    def start(bundle: Path, *options: str) -> tuple[subprocess.Popen[str], httpx.Client]:
        code = "from crossfm.cli.app import main; main()"
        state = f"sqlite:///{tmp_path}/state.db"
        command = [
            sys.executable,
            "-c",
            code,
            "serve",
            str(bundle),
            "--port",
            "0",
            "--state",
            state,
            *options,
        ]
        errors = (tmp_path / "stderr").open("a")
        opened.append(errors)
        env = {**os.environ, "CROSSFM_SERVE_WATCH_SECONDS": "60"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env)
        running.append(process)
        assert process.stdout is not None
        found = re.search(r"at (http://\S+)", process.stdout.readline())
        assert found is not None, (tmp_path / "stderr").read_text()
        client = httpx.Client(base_url=found[1], timeout=30)
        opened.append(client)
        wait(lambda: client.get("/health/live").status_code == 200)
        return process, client

    yield start
    for process in running:
        if process.poll() is None:
            process.terminate()  # killed, it would leave its workers behind
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
        process.communicate()
    for one in opened:
        one.close()


def wait(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def post(client: httpx.Client, path: str, body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json()


def test_a_server_starts_answers_changes_version_at_a_hangup_and_ends_at_a_signal(
    start: Start, current_a: Path, tmp_path: Path
) -> None:
    process, client = start(current_a)
    told = post(
        client, "/v1/recommend", {"user": 3, "n": 5, "context": {"daytime": "evening"}, "explain": True}
    )
    assert told["version"] == "a"
    assert [type(one["item"]) for one in told["items"]] == [int] * 5
    assert told["items"][0]["attributes"]["title"].startswith("Film")
    (click,) = [one["item"] for one in told["items"][:1]]
    post(client, "/v1/feedback", {"events": [{"user": 3, "item": click}]})
    assert click not in [one["item"] for one in post(client, "/v1/recommend", {"user": 3, "n": 40})["items"]]
    client.put("/v1/items/77", json={"attributes": {"title": "New", "genre": "Drama"}}).raise_for_status()
    assert {type(one["item"]) for one in post(client, "/v1/recommend", {"n": 41})["items"]} == {int}

    point(current_a, "b")
    process.send_signal(signal.SIGHUP)
    wait(lambda: post(client, "/v1/recommend", {"user": 3})["version"] == "b")
    assert client.get("/v1/items/77").json()["attributes"]["title"] == "New"

    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    with Store(f"sqlite:///{tmp_path}/state.db") as store:  # what waited was written
        assert store.counts()["impressions"] >= 4
        assert store.counts()["events"] == 1


def test_no_acknowledged_event_is_lost_by_a_kill_under_load(start: Start, current_a: Path) -> None:
    process, client = start(current_a)
    acknowledged: list[tuple[str, int]] = []

    def hammer(user: str) -> None:
        with httpx.Client(base_url=client.base_url, timeout=30) as mine:
            for at in range(10_000):
                try:
                    answer = mine.post(
                        "/v1/feedback", json={"events": [{"user": user, "item": at % 40, "value": at}]}
                    )
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    acknowledged.append((user, at))

    threads = [threading.Thread(target=hammer, args=(f"u{at}",)) for at in range(4)]
    for thread in threads:
        thread.start()
    wait(lambda: len(acknowledged) > 60)
    process.kill()
    for thread in threads:
        thread.join()
    _, again = start(current_a)
    for user in {user for user, _ in acknowledged}:
        told = again.get(f"/v1/users/{user}/history?limit=1000").json()["history"]
        there = {int(one["value"]) for one in told}
        lost = {at for who, at in acknowledged if who == user} - there
        assert lost == set()


def test_several_workers_share_state_items_and_metrics(start: Start, current_a: Path) -> None:
    process, client = start(current_a, "--workers", "2")
    put = client.put("/v1/items/88", json={"attributes": {"title": "New"}})
    assert put.status_code == 200, put.text
    post(client, "/v1/feedback", {"events": [{"user": 3, "item": 5}]})
    for _ in range(10):
        with httpx.Client(
            base_url=client.base_url, timeout=30
        ) as one:  # another connection, perhaps another worker
            found = post(one, "/v1/recommend", {"user": 3, "n": 40})["items"]
            assert 5 not in [each["item"] for each in found]
    assert (
        'crossfm_requests_total{route="POST /v1/recommend",status="200"} 10.0' in client.get("/metrics").text
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_what_the_dashboard_shows_is_of_all_workers(start: Start, current_a: Path) -> None:
    process, client = start(current_a, "--workers", "2")

    def stats() -> dict[str, Any]:
        with httpx.Client(
            base_url=client.base_url, timeout=30
        ) as one:  # another connection, perhaps another worker
            return one.get("/v1/stats").json()

    wait(lambda: len(stats()["workers"]) == 2)
    for _ in range(20):
        with httpx.Client(base_url=client.base_url, timeout=30) as one:
            post(one, "/v1/recommend", {"user": 3})

    def answers() -> int:
        told = stats()
        assert told["funnel"]["answers"] == sum(told["answers_by_version"].values())
        return sum(row["count"] for row in told["routes"] if row["route"] == "POST /v1/recommend")

    wait(lambda: [answers() for _ in range(6)] == [20] * 6)  # whoever is asked
    told = stats()
    assert told["worker"] == told["workers"][0]["pid"]
    assert told["memory_bytes"] == sum(one["memory_bytes"] for one in told["workers"])
    dead = told["workers"][1]["pid"]
    os.kill(dead, signal.SIGKILL)
    wait(lambda: len({one["pid"] for one in stats()["workers"]} - {dead}) == 2)
    wait(lambda: dead not in [one["pid"] for _ in range(4) for one in stats()["workers"]])
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_hangup_makes_all_workers_look_at_once(start: Start, current_a: Path) -> None:
    process, client = start(current_a, "--workers", "2")

    def workers() -> list[dict[str, Any]]:
        return client.get("/v1/stats").json()["workers"]

    wait(lambda: len(workers()) == 2)
    before = {one["pid"] for one in workers()}
    point(current_a, "b")
    process.send_signal(signal.SIGHUP)
    wait(
        lambda: [one["version"] for one in workers()] == ["b", "b"], 20
    )  # they would look by themselves after 60 s
    assert {one["pid"] for one in workers()} == before
    process.send_signal(signal.SIGTERM)  # killed, it would leave its workers behind
    assert process.wait(60) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_ends_says_so_first_and_goes_on_answering(
    start: Start, current_a: Path, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "s.toml").write_text("drain_seconds = 4")
    process, client = start(current_a, "--workers", str(workers), "--settings", str(tmp_path / "s.toml"))

    def ready() -> int:
        with httpx.Client(base_url=client.base_url, timeout=30) as one:
            assert one.post("/v1/recommend", json={"user": 3}).status_code == 200
            return one.get("/health/ready").status_code

    assert ready() == 200
    wait(lambda: len(client.get("/v1/stats").json()["workers"]) == workers)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    wait(lambda: [ready() for _ in range(6)] == [503] * 6, 3)
    assert time.monotonic() - began < 3.5
    process.send_signal(signal.SIGTERM)  # again: the end is neither sooner nor later
    time.sleep(max(0.0, 3.3 - (time.monotonic() - began)))
    assert ready() == 503
    assert process.wait(30) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_an_address_that_others_reach_needs_keys(tmp_path: Path, host: str) -> None:
    with pytest.raises(OptionError, match="crossfm keys add"):
        check_binding(Settings(host=host))
    add_key(tmp_path / "keys.json", "me", "admin")
    check_binding(Settings(host=host, keys=tmp_path / "keys.json"))
    (tmp_path / "none.json").write_text('{"keys": []}')
    with pytest.raises(OptionError, match="has no keys"):
        check_binding(Settings(host=host, keys=tmp_path / "none.json"))


def test_the_command_refuses_to_bind_without_keys(current_a: Path) -> None:
    from typer.testing import CliRunner

    from crossfm.cli.app import app

    done = CliRunner().invoke(app, ["serve", str(current_a), "--host", "0.0.0.0"])
    assert done.exit_code == 2
    assert "can be reached from other machines" in done.stderr


def test_the_collector_leaves_models_alone_and_frees_those_that_are_gone(
    current_a: Path, tmp_path: Path
) -> None:
    registry = Registry(current_a)
    make_app(Settings(bundle=current_a, state=f"sqlite:///{tmp_path}/s.db"), registry)
    try:
        assert gc.get_freeze_count() > 10_000
        first = weakref.ref(registry.current.engine)
        for version in "bab":  # a bundle is loaded anew where it is no longer in memory
            registry.activate(version)
            registry.previous = None
            settle()
            if version == "b":
                assert first() is None
    finally:
        gc.unfreeze()


def test_one_model_file_is_served_too(tmp_path: Path) -> None:
    small_model(0).save(tmp_path / "m.crossfm")
    registry = open_registry(Settings(bundle=tmp_path / "m.crossfm"))
    assert len(registry.current.version) == 12


def test_commands_for_bundles_and_keys(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from crossfm.cli.app import app

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.stdout

    model, folder, keys = tmp_path / "m.crossfm", tmp_path / "models", tmp_path / "keys.json"
    small_model(0).save(model)
    run("bundle", "add", folder, model, "--version", "one", "--notes", "first", "--golden", "3")
    run("bundle", "add", folder, model, "--version", "two", "--no-use")
    listed = run("bundle", "list", folder)
    assert "current" in listed
    assert "first" in listed
    assert "two is whole" in run("bundle", "check", folder, "two")
    run("bundle", "use", folder, "two")
    assert (folder / "CURRENT").read_text() == "two\n"
    assert run("keys", "add", keys, "shop", "--scope", "write").startswith("cfm_")
    assert "shop" in run("keys", "list", keys)
    run("keys", "revoke", keys, "shop")
    assert "shop" not in run("keys", "list", keys)
