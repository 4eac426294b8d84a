"""What the server remembers of the last hours: times and coverage by the minute, scores, checks of what came in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crossfm.recommender.ask import Answer, Found, Funnel
from crossfm.serving import quality
from crossfm.serving.course import Course, own_share
from crossfm.serving.series import Tally
from serving.client import Client
from serving.fakes import FakeEngine

FUNNEL = Funnel(10, 10, 5, 5, 2)


def answer(ms: float = 2.0, *, scores: tuple[float, ...] = (1.0, 0.5), lift: Any = (3.0, 1.0)) -> Answer:
    found = [Found(str(at), at, score, 0.25) for at, score in enumerate(scores, 1)]
    return Answer(found, [], FUNNEL, {"total": ms}, "one", True, None, lift)


def course_at(now: list[float], looks: list[tuple[int, float]] | None = None) -> Course:
    return Course(lambda: looks.pop(0) if looks else (4, 0.5), clock=lambda: now[0])


def ask(course: Course, one: Answer, times: int = 1, **names: str) -> None:
    for _ in range(times):
        course.answer(one, names, user=True, stranger=False)


def test_times_are_told_by_the_minute_with_gaps() -> None:
    now = [600.0]
    course = course_at(now)
    ask(course, answer(2.0), 50)
    now[0] = 725.0
    ask(course, answer(8.0), 50)
    told = course.report(FakeEngine())["course"]
    assert (told["begin"], told["step_seconds"], told["answers"]) == (600, 60, [50, 0, 50])
    p50 = told["stages"]["total"]["p50"]
    assert p50[1] is None
    assert [p50[0], p50[2]] == pytest.approx([2.0, 8.0], rel=0.06)


def test_coverage_of_a_minute_is_looked_at_when_it_has_ended() -> None:
    now = [600.0]
    course = course_at(now, [(5, 0.25), (10, 0.75)])
    ask(course, answer(), 3)
    now[0] = 660.0
    ask(course, answer(), 3)
    now[0] = 720.0
    ask(course, answer())
    told = course.report(FakeEngine())["course"]
    assert told["coverage"] == [5 / 20, 10 / 20, None]
    assert told["gini"] == [0.25, 0.75, None]


def test_memory_is_bounded_in_time() -> None:
    now = [0.0]
    course = course_at(now)
    for minute in range(400):
        now[0] = 60.0 * minute
        ask(course, answer())
    told = course.report(FakeEngine())
    assert len(told["course"]["answers"]) == 240
    assert told["quality"]["requests"] == 60


def test_scores_chances_and_the_own_part_are_summed_up() -> None:
    course = course_at([600.0])
    ask(course, answer(scores=tuple(np.linspace(0, 4, 101).tolist()), lift=(3.0, 1.0)), 3)
    ask(course, answer(scores=(), lift=(1.0, 3.0)))
    ask(course, answer(scores=(), lift=None))
    told = course.report(FakeEngine())["scores"]
    assert told["score"]["count"] == 303
    assert told["score"]["p50"] == pytest.approx(2.0, rel=0.03)
    assert sum(told["score"]["bars"]["counts"]) == pytest.approx(303, abs=10)
    assert told["probability"]["p50"] == pytest.approx(0.25, rel=0.03)
    assert told["own_share"]["count"] == 4
    assert told["own_share"]["mean"] == pytest.approx((3 * 0.75 + 0.25) / 4)


@pytest.mark.parametrize(
    ("lift", "share"),
    [((3.0, 1.0), 0.75), ((-1.0, 2.0), 0.0), ((2.0, -5.0), 1.0), ((-1.0, -1.0), None), (None, None)],
)
def test_the_share_of_the_own_part_is_of_what_lifts(lift: Any, share: float | None) -> None:
    assert own_share(lift) == share


def test_workers_add_up_as_if_one_had_answered_everything() -> None:
    now = [600.0]
    workers, whole = [course_at(now), course_at(now)], course_at(now)
    for at in range(40):
        for course in (workers[at % 2], whole):
            ask(course, answer(1.0 + at), day=f"={at % 3}")
            course.events([600.0, 5_000.0], 1)
    states = json.loads(json.dumps([course.state() for course in workers]))
    merged = Course.merged(states, clock=lambda: now[0])
    assert merged.report(FakeEngine()) == whole.report(FakeEngine())


def lines(tally: Tally, trained: Any = None, n_items: int = 100, n_bare: int = 0) -> dict[Any, Any]:
    told = quality.checks(tally, trained or {}, n_items, n_bare)
    return {(line["check"], line["column"]): line for line in told}


def test_each_check_has_a_share_and_a_verdict() -> None:
    tally = Tally()
    for at in range(40):
        names = {"day": "missing" if at % 2 else "never met" if at % 8 == 0 else "=Monday"}
        quality.note_request(tally, names, user=at < 30, stranger=at < 12)
    quality.note_events(tally, [1e9] * 38 + [1e9 + 400, 1e9 - 40 * 86_400], 1e9, 3)
    told = lines(tally, n_bare=2)
    assert told["unknown users", None]["share"] == 0.4
    assert told["unknown users", None]["verdict"] == "look"
    assert told["unknown items", None]["share"] == 0.075
    assert told["events in the future", None]["share"] == told["old events", None]["share"] == 0.025
    assert told["events in the future", None]["verdict"] == "look"
    assert told["old events", None]["verdict"] == "ok"
    assert told["items without attributes", None]["verdict"] == "ok"
    assert told["context missing", "day"]["share"] == 0.5
    assert told["context missing", "day"]["verdict"] == "ok"
    assert told["context never met", "day"]["share"] == 0.125
    assert told["context never met", "day"]["verdict"] == "look"


def test_of_few_there_is_no_verdict() -> None:
    tally = Tally()
    quality.note_request(tally, {"day": "missing"}, user=True, stranger=True)
    told = lines(tally, n_items=0)
    assert {line["verdict"] for line in told.values()} == {"too few"}
    assert told["unknown users", None]["share"] == 1
    assert told["unknown items", None]["share"] is None


def psi(p: Any, q: Any) -> float:
    """Population stability index of two lists of shares, Siddiqi (2006)."""
    return sum((a - b) * np.log(a / b) for a, b in zip(p, q, strict=True))


def test_drift_is_the_stability_index_of_the_known_values() -> None:
    now, then = {"=a": 90_000, "=b": 10_000, "missing": 7_000}, {"=a": 60_000, "=b": 40_000, "never met": 9}
    assert quality.drift_of(now, then) == pytest.approx(psi((0.9, 0.1), (0.6, 0.4)), abs=1e-3)


def test_few_requests_are_no_drift_by_chance() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(30))
    then = {f"={at}": int(1e5 * share) + 1 for at, share in enumerate(shares)}
    drifts = [
        quality.drift_of({f"={at}": int(n) for at, n in enumerate(rng.multinomial(150, shares))}, then)
        for _ in range(200)
    ]
    assert np.mean(np.array(drifts) > 0.25) < 0.05
    assert quality.drift_of({}, then) == 0


def test_the_stats_tell_what_requests_and_events_brought(client: Client, engine: FakeEngine) -> None:
    for user in ("1", "2", "nobody"):
        client.recommend(user=user, n=4, context={"daytime": "evening"})
    client.recommend(history=["3"])
    for item in ("1", "nowhere"):
        client.post("/v1/feedback", {"events": [{"user": "1", "item": item, "time": 5.0}]})
    told = client.get("/v1/stats").json()
    assert told["course"]["answers"] == [4] or sum(told["course"]["answers"]) == 4
    assert told["scores"]["score"]["count"] == 2 * 4 + 10
    assert told["scores"]["popularity"]["count"] == 4
    lines = {(line["check"], line["column"]): line for line in told["quality"]["checks"]}
    assert lines["unknown users", None]["share"] == pytest.approx(1 / 3, abs=1e-4)
    assert lines["unknown items", None]["share"] == 0.5
    assert lines["old events", None]["share"] == 1
    assert lines["context missing", "daytime"]["share"] == 0.25
    assert lines["items without attributes", None]["of"] == engine.n_items


def test_a_user_who_is_stored_or_has_events_is_no_stranger(client: Client) -> None:
    client.request("PUT", "/v1/users/77", json={"features": {"age": 50}})
    client.post("/v1/feedback", {"events": [{"user": "78", "item": "3"}]})
    for user in ("77", "78"):
        client.recommend(user=user)
    checks = client.get("/v1/stats").json()["quality"]["checks"]
    assert next(line for line in checks if line["check"] == "unknown users")["share"] == 0


def test_a_named_version_answers_beside_the_other_and_is_not_noted(
    serve: Callable[..., Client], store: Any, tmp_path: Any
) -> None:
    from crossfm.serving.bundle import write_bundle
    from crossfm.serving.registry import Registry
    from serving.fakes import FakeModel, open_fake

    for version, first in (("old", 1), ("new", 11)):
        write_bundle(tmp_path / "m", FakeModel(first=first), version=version, opener=open_fake, golden=2)
    registry = Registry(tmp_path / "m", opener=open_fake)
    client = serve(registry=registry)
    gone = client.post("/v1/recommend", {"version": "old"})
    assert gone.status_code == 404
    assert gone.json()["error"]["field"] == "version"
    assert "new" in gone.json()["error"]["message"]
    client.post("/v1/models/activate", {"version": "old"})
    for version, first in (("old", "1"), ("new", "11")):
        told = client.recommend(version=version)
        assert (told["version"], told["items"][0]["item"]) == (version, first)
    stats = client.get("/v1/stats").json()
    assert stats["coverage"]["answers"] == stats["quality"]["requests"] == 0
    assert client.recommend()["version"] == "old"
    sizes = {one["version"]: one["bytes"] for one in client.get("/v1/models").json()["versions"]}
    assert sizes["old"] > 100


def test_the_map_has_codes_of_attributes_and_a_direction(client: Client) -> None:
    told = client.get("/v1/map?limit=5").json()
    assert told["items"] == ["1", "2", "3", "4", "5"]
    assert [told["columns"][0]["values"][code] for (code,) in told["columns"][0]["codes"]][:2] == [
        "Drama",
        "Horror",
    ]
    assert client.post("/v1/map/query", {"user": "1"}).json()["share"] == 0.5
    assert client.post("/v1/map/query", {"user": "nobody"}).json()["x"] is None
    assert client.get("/v1/map?limit=5001").status_code == 422


def test_what_happened_to_an_item_of_late(client: Client) -> None:
    for _ in range(3):
        shown = client.items(user="5", n=2)
    client.post("/v1/feedback", {"events": [{"user": "5", "item": shown[0]}]})
    client.app.state.service.store._writer.run(lambda turn: None)
    told = client.get(f"/v1/items/{shown[0]}/lately").json()
    assert told["events"] == 1
    assert told["types"] == {"click": 1}
    assert client.get("/v1/items/none/lately").status_code == 404
