"""The page in a headless Chromium, end to end, against a server on loopback.

With CROSSFM_PAGE_URL=http://127.0.0.1:8000/ the tests that do not break the server run against a real one.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import pytest

from serving.page.fake_model import HACK
from serving.page.looks import after, items, number, slide, titles


@pytest.fixture
def expect() -> Any:
    return pytest.importorskip("playwright.sync_api").expect


def test_the_first_visit_shows_both_lists_with_titles_and_scores(visit: Any, url: str) -> None:
    page = visit()
    title = page.request.get(url + "v1/schema").json()["title"]
    answer = after(page, page.reload)
    for which, rows in (("recall", answer["recalled"]), ("final", answer["items"])):
        assert titles(page, which) == [row["attributes"][title] for row in rows]
        assert items(page, which) == [str(row["item"]) for row in rows]
    scores = [number(text) for text in page.locator("#recall-list .score").all_inner_texts()]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)


def test_lines_join_the_places_of_items_in_both_lists(visit: Any) -> None:
    page = visit()
    both = set(items(page)) & set(items(page, "recall"))
    lines = page.locator("#links path[data-item]").evaluate_all("all => all.map(path => path.dataset.item)")
    assert set(lines) == both
    assert (
        set(page.locator("#links .far").evaluate_all("all => all.map(g => g.dataset.item)"))
        == set(items(page)) - both
    )


def test_the_history_has_titles(visit: Any, url: str) -> None:
    page = visit("#/user/7")
    title = page.request.get(url + "v1/schema").json()["title"]
    past = page.request.get(url + "v1/users/7/history?limit=50").json()["history"]
    page.get_by_role("button", name="Show all").click()
    assert page.locator("#history .what b").all_inner_texts() == [row["attributes"][title] for row in past]


def test_a_user_is_found_by_what_is_known_of_him(visit: Any, fake: Any, expect: Any) -> None:
    page = visit()
    student = next(
        user for user, features in fake.answers.model.users.items() if features["occupation"] == "student"
    )
    page.get_by_role("combobox", name="User").fill("student")
    page.locator("#user-list [role=option]").first.click()
    expect(page.locator("#about")).to_contain_text("student")
    assert page.url.endswith(f"#/user/{student}")
    expect(page.locator("#user")).to_have_value(student)


def test_popularity_and_diversity_change_the_list_and_the_page_says_how(visit: Any, expect: Any) -> None:
    page = visit()
    before = items(page)
    after(page, lambda: slide(page, "popularity", 0))
    taste = items(page)
    assert taste != before
    expect(page.locator("#changes")).to_contain_text("New: ")
    after(page, lambda: slide(page, "diversity", 0.8))
    assert items(page) != taste
    after(page, lambda: page.get_by_role("button", name="Reset").click())
    assert items(page) == before


def test_a_drawn_list_is_asked_for_with_one_seed_while_the_page_is_open(visit: Any, fake: Any) -> None:
    page = visit()
    assert "temperature" not in fake.answers.asked[-1]
    after(page, lambda: slide(page, "temperature", 0.3))
    first = fake.answers.asked[-1]
    after(page, lambda: slide(page, "temperature", 0.4))
    again = fake.answers.asked[-1]
    assert (first["temperature"], again["temperature"]) == (0.3, 0.4)
    assert isinstance(first["seed"], int)
    assert first["seed"] == again["seed"]


DRAG = """() => {
  const slider = document.querySelector("#popularity");
  for (let step = 1; step <= 10; step += 1) {
    slider.value = 1 + step / 20;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""


def test_a_drag_asks_less_often_than_it_moves(visit: Any, fake: Any) -> None:
    page = visit()
    asked = len(fake.answers.asked)
    after(page, lambda: page.evaluate(DRAG))
    assert fake.answers.asked[-1]["popularity"] == 1.5
    assert len(fake.answers.asked) - asked == 1


def test_an_answer_that_comes_late_is_not_shown(visit: Any, fake: Any) -> None:
    page = visit()
    true, first = fake.answers.recommend, threading.Event()

    def slow(ask: Any) -> Any:
        if ask["popularity"] == 0:
            first.wait(5)
        return true(ask)

    fake.answers.recommend = slow
    with page.expect_request("**/v1/recommend"):
        slide(page, "popularity", 0)
    answer = after(page, lambda: slide(page, "popularity", 2))
    first.set()
    page.wait_for_timeout(300)
    assert items(page) == [row["item"] for row in answer["items"]]


def test_marks_say_how_far_items_moved_since_the_last_answer(visit: Any) -> None:
    page = visit("#/user/3")
    before = items(page)
    after(page, lambda: slide(page, "popularity", 0.6))
    for rank, item in enumerate(items(page)):
        mark = page.locator(f"#final-list li[data-item='{item}'] .move [aria-hidden]")
        gain = before.index(item) - rank if item in before else 0
        expected = f"{'▲' if gain > 0 else '▼'}{abs(gain)}" if gain else None
        assert (mark.inner_text() if mark.count() else None) == expected


def test_context_moves_the_lists(visit: Any) -> None:
    page = visit("#/user/3")
    before = page.locator("#recall-list .score").all_inner_texts(), items(page)
    box = page.locator("#context select").first
    for choice in range(1, 4):
        after(page, lambda choice=choice: box.select_option(index=choice))
        if items(page) != before[1]:
            break
    assert page.locator("#recall-list .score").all_inner_texts() != before[0]
    assert items(page) != before[1]
    after(page, lambda: box.select_option(index=0))
    assert items(page) == before[1]


def test_context_of_numbers_is_sent_as_numbers(visit: Any, fake: Any) -> None:
    page = visit("#/user/3")
    after(page, lambda: page.get_by_label("daypart").select_option("night"))
    after(page, lambda: page.get_by_label("minutes_free").fill("200"))
    assert fake.answers.asked[-1]["context"] == {"daypart": "night", "minutes_free": 200}


def test_filters_and_caps_hold(visit: Any, fake: Any) -> None:
    page = visit()
    page.get_by_text("Filters and limits").click()
    page.locator("#where-genres").click()
    after(page, lambda: page.get_by_role("checkbox", name="Mystery").check())
    after(page, lambda: page.locator("#where-year").fill("1980"))
    films = fake.answers.model.items
    assert all("Mystery" in films[item]["genres"] and films[item]["year"] >= 1980 for item in items(page))
    after(page, lambda: page.get_by_label("at most per country").fill("1"))
    countries = [films[item]["country"] for item in items(page)]
    assert len(set(countries)) == len(countries)


def test_a_model_of_ids_alone_is_shown_as_well(visit: Any, fake: Any, expect: Any) -> None:
    true = fake.answers.recommend
    plain = {
        "title": None,
        "time": None,
        "item_time": None,
        "context": [],
        "item_columns": [],
        "user_columns": [],
    }
    schema = {**fake.answers.model.schema(), **plain, "ranker": None}
    fake.answers.model.schema = lambda: schema

    def bare(ask: Any) -> Any:
        answer = true({**ask, "explain": False})
        few = [
            {**row, "attributes": None, "recall_rank": None, "source": "popularity"}
            for row in answer["items"][:3]
        ]
        return {**answer, "items": few, "note": "Only 3 items are left."}

    fake.answers.recommend = bare
    page = visit()
    assert titles(page) == items(page)
    assert len(items(page)) == 3
    expect(page.locator("#changes")).to_contain_text("Only 3 items are left.")
    assert page.locator("#freshness").count() == page.locator("#context").count() == 0
    page.get_by_role("link", name="Dashboard").click()
    expect(page.locator("#models table")).to_be_visible()


def test_an_empty_answer_says_what_to_do(visit: Any, expect: Any) -> None:
    page = visit()
    page.get_by_text("Filters and limits").click()
    after(page, lambda: page.locator("#where-year").fill("2999"))
    expect(page.locator("#final-list")).to_contain_text("Loosen the filters")


def test_a_click_is_stored_and_changes_the_next_answer(visit: Any, url: str, expect: Any) -> None:
    page = visit("#/user/2")
    before, title = items(page), titles(page)[2]
    after(page, page.locator("#final-list .pick").nth(2).click)
    assert before[2] not in items(page)
    assert set(items(page)) - set(before)
    assert page.locator("#final-list .move.new").count() == len(set(items(page)) - set(before))
    expect(page.locator("#changes")).to_contain_text(f"Stored a click on {title}. New: ")
    expect(page.locator("#history li").first).to_contain_text(title)
    expect(page.locator("#pick-note")).to_contain_text("no undo")
    latest = page.request.get(url + "v1/users/2/history?limit=1").json()["history"][0]
    assert (str(latest["item"]), latest["type"]) == (before[2], "click")


def test_a_click_brings_along_what_makes_it_safe_to_send_again(visit: Any, fake: Any) -> None:
    page = visit("#/user/2")
    after(page, lambda: page.get_by_label("daypart").select_option("night"))
    after(page, page.locator("#final-list .pick").first.click)
    (event,) = fake.answers.events
    assert len(event["key"]) == 32
    assert event["request_id"] == f"r{len(fake.answers.asked) - 1}"
    assert event["context"] == {"daypart": "night"}


def test_a_visitor_without_an_id_is_known_by_what_he_chose_and_nothing_is_stored(
    visit: Any, fake: Any
) -> None:
    page = visit()
    after(page, page.get_by_role("button", name="New visitor").click)
    before = items(page)
    after(page, page.locator("#final-list .pick").first.click)
    assert before[0] not in items(page)
    assert fake.answers.asked[-1]["history"] == [before[0]]
    assert "user" not in fake.answers.asked[-1]
    assert fake.answers.events == []
    page.get_by_text("About the visitor").click()
    after(page, lambda: page.get_by_label("occupation").select_option("baker"))
    assert fake.answers.asked[-1]["features"] == {"occupation": "baker"}


def test_a_visit_that_is_part_of_an_experiment_is_counted_under_its_own_id(visit: Any, fake: Any) -> None:
    usual = fake.answers.recommend
    fake.answers.recommend = lambda body: {**usual(body), "experiment": {"name": "pop", "variant": "b"}}
    sent: list[Any] = []
    fake.answers.feedback = lambda body: sent.extend(body["events"]) or {"accepted": 1, "numbers": [1]}
    page = visit()
    after(page, page.get_by_role("button", name="New visitor").click)
    before = items(page)
    after(page, page.locator("#final-list .pick").first.click)
    (event,) = sent
    assert event["session"] == fake.answers.asked[-1]["session"]
    assert (str(event["item"]), event["type"], "user" in event) == (before[0], "click", False)


def test_the_parts_of_a_score_add_up(visit: Any, url: str, expect: Any) -> None:
    page = visit("#/user/4")
    title = page.request.get(url + "v1/schema").json()["title"]
    why = after(page, page.locator("#final-list .why").nth(1).click, "**/v1/explain")
    expect(page.locator("#inspector-title")).to_have_text(titles(page)[1])
    expect(page.locator(".adds")).to_contain_text("add up")
    parts = [number(text) for text in page.locator(".fall li:not(.total) .n").all_inner_texts()]
    assert sum(parts) == pytest.approx(why["score"], abs=0.0006 * len(parts))
    assert number(page.locator(".fall .total .n").inner_text()) == pytest.approx(why["score"], abs=0.0006)
    shown = page.locator(".because li span:first-child").all_inner_texts()
    assert shown == [row["attributes"][title] for row in why["because"][:5]]


def test_each_bar_begins_where_the_last_one_ended(visit: Any) -> None:
    page = visit("#/user/4")
    after(page, page.locator("#final-list .why").nth(1).click, "**/v1/explain")
    page.wait_for_selector(".fall")
    bars = page.locator(".fall li:not(.total) .track i:not(.zero)")
    steps = []  # where each bar begins and ends, in the direction of its sign
    for bar in bars.all():
        box = bar.bounding_box()
        ends = (box["x"], box["x"] + box["width"])
        steps.append(ends if bar.get_attribute("class") == "plus" else ends[::-1])
    assert len(steps) > 2
    for (_, end), (begin, _) in pairwise(steps):
        assert begin == pytest.approx(end, abs=2)


def test_a_wrong_sum_is_told(visit: Any, fake: Any, expect: Any) -> None:
    true = fake.answers.explain
    fake.answers.explain = lambda ask: {**true(ask), "score": 9.0}
    page = visit()
    expect(page.locator(".adds.off")).to_contain_text("please report")


def test_similar_items_lead_on(visit: Any, expect: Any) -> None:
    page = visit()
    page.locator("#final-list .why").nth(3).click()
    page.get_by_role("tab", name="Similar").click()
    second = page.locator(".similar button").nth(1)
    title = second.locator("b").inner_text()
    second.click()
    expect(page.locator("#inspector-title")).to_have_text(title)
    expect(page.locator(".similar li")).to_have_count(10)
    page.get_by_role("tab", name="Details").click()
    expect(page.locator("#inspector-body dt").first).to_have_text("id")


def test_markup_in_titles_is_text(visit: Any, fake: Any, expect: Any) -> None:
    page = visit("#/user/7")
    assert HACK in titles(page) + titles(page, "recall")
    page.get_by_role("link", name="Items").click()
    page.get_by_role("searchbox", name="Search").fill("onerror")
    expect(page.locator("#item-list .open")).to_have_count(1)
    page.locator("#item-list .open").first.click()
    expect(page.locator("#item-panel h2")).to_have_text(HACK)
    page.get_by_role("link", name="Dashboard").click()
    expect(page.locator("#coverage")).to_contain_text(HACK)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0


def test_an_item_can_be_added_found_recommended_and_taken_out(visit: Any, fake: Any, expect: Any) -> None:
    page = visit("#/items", ready="#item-list .open")
    page.get_by_role("button", name="New item").click()
    page.get_by_label("id", exact=True).fill("new/1")
    page.locator("#edit-title").fill("Entirely New")
    page.locator("#edit-year").fill("2024")
    page.locator("#edit-genres").fill("Comedy, Drama")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#item-panel h2")).to_have_text("Entirely New")
    assert fake.answers.model.items["new/1"] == {
        "title": "Entirely New",
        "year": 2024,
        "genres": ["Comedy", "Drama"],
    }
    page.get_by_role("searchbox", name="Search").fill("entirely")
    expect(page.locator("#item-list .open")).to_have_count(1)
    page.get_by_role("button", name="Delete").click()
    assert "new/1" in fake.answers.model.items
    page.get_by_role("button", name="Really delete?").click()
    expect(page.locator("#item-panel")).to_contain_text("is deleted")
    assert "new/1" not in fake.answers.model.items


def test_the_dashboard_draws_and_swaps_versions(visit: Any, fake: Any, expect: Any) -> None:
    page = visit("#/dashboard", ready="#tiles .tile")
    expect(page.locator("#chart-load path")).to_have_count(2)
    assert page.locator("#chart-load path").first.get_attribute("d").count("L") == 59
    expect(page.locator("#stages tbody tr")).to_have_count(5)
    expect(page.locator("#funnel-mean .bars li")).to_have_count(5)
    expect(page.locator("#tiles")).to_contain_text("99.6 %")
    expect(page.locator("#index")).to_contain_text("of the true best 100")
    expect(page.locator("#coverage")).to_contain_text(fake.answers.model.items["1"]["title"])
    expect(page.locator("#experiments .interval .dot")).to_have_count(2)
    expect(page.locator("#health")).to_contain_text("takes requests")
    page.get_by_role("button", name="Activate 2024-05-01T09-00").click()
    expect(page.locator("#models tr", has_text="2024-05-01T09-00")).to_contain_text("answers")
    page.get_by_role("button", name="Roll back to 2024-05-03T09-00").click()
    expect(page.locator("#models tr", has_text="2024-05-03T09-00")).to_contain_text("answers")
    assert fake.answers.active == "2024-05-03T09-00"


def test_charts_tell_their_values_to_the_keyboard(visit: Any, expect: Any) -> None:
    page = visit("#/dashboard", ready="#chart-load svg")
    chart = page.locator("#chart-load svg")
    assert "Requests a second" in chart.get_attribute("aria-label")
    chart.focus()
    now = page.locator("#chart-load .legend .l0 b").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#chart-load .when")).not_to_have_text("now")
    assert page.locator("#chart-load .legend .l0 b").inner_text() != now
