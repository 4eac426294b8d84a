"""The dashboard's questions: how it went, what goes out, what comes in, where items lie, which version is better."""

from __future__ import annotations

from typing import Any

import pytest

from serving.page.looks import after, items

FAILED = "Failed to load resource"


@pytest.fixture
def expect() -> Any:
    return pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def dashboard(visit: Any, fake: Any) -> Any:
    return visit("#/dashboard", ready="#map-canvas")


def test_charts_begin_with_what_the_server_remembers(dashboard: Any, expect: Any) -> None:
    line = dashboard.locator("#chart-rank path.l0")
    assert line.get_attribute("d").count("M") == 2  # a gap where nothing was asked
    assert line.get_attribute("d").count("L") == 7
    expect(dashboard.locator("#chart-coverage .legend")).to_contain_text("coverage 68.0 %")
    expect(dashboard.locator("#chart-coverage .legend")).to_contain_text("Gini 0.36")


def test_scores_and_the_own_part_are_drawn(dashboard: Any, expect: Any) -> None:
    scores = dashboard.locator("#scores")
    expect(scores.locator(".histogram")).to_have_count(3)
    expect(scores.locator(".histogram").first.locator("rect")).to_have_count(30)
    expect(scores).to_contain_text("median 1.20")
    expect(scores).to_contain_text("Mean 42 %")


def test_checks_that_ask_for_a_look_come_first(dashboard: Any, expect: Any) -> None:
    expect(dashboard.locator("#checks .verdict")).to_have_text("1 of 4 checks ask for a look.")
    rows = dashboard.locator("#checks tbody tr")
    expect(rows.first).to_contain_text("device: a value that training never met")
    expect(rows.first).to_contain_text("look at this")
    expect(rows.last).to_contain_text("too few to tell")


def test_the_map_is_read_by_keyboard_and_opens_items(dashboard: Any, fake: Any, expect: Any) -> None:
    page, told = dashboard, fake.answers.map(2000)
    page.locator("#map-canvas").focus()
    page.keyboard.press("ArrowRight")
    readout = page.locator("#map-readout")
    expect(readout).to_contain_text(told["titles"][0])
    before = told["x"][0]
    page.keyboard.press("ArrowLeft")
    expect(readout).not_to_contain_text(told["titles"][0])
    title = readout.locator("a").inner_text()
    assert told["x"][told["titles"].index(title)] < before
    page.keyboard.press("Enter")
    expect(page.locator("#item-panel h2")).to_have_text(title)
    assert page.url.endswith("#/items/" + told["items"][told["titles"].index(title)])


def test_the_map_tells_what_the_pointer_is_on(dashboard: Any, fake: Any, expect: Any) -> None:
    page, told = dashboard, fake.answers.map(2000)
    page.locator("#map-canvas").evaluate("canvas => canvas.scrollIntoView({ block: 'center' })")
    box = page.locator("#map-canvas").bounding_box()
    at = max(range(len(told["items"])), key=lambda i: told["y"][i])  # the highest is at the top edge
    x = [told["x"][i] for i in range(len(told["items"]))]
    y = told["y"]
    scale = min((box["width"] - 28) / (max(x) - min(x)), (box["height"] - 28) / (max(y) - min(y)))
    left = box["width"] / 2 + (x[at] - (max(x) + min(x)) / 2) * scale
    page.mouse.move(box["x"] + left, box["y"] + 14)
    expect(page.locator("#map-readout a")).to_have_text(told["titles"][at])


def test_colours_and_one_value_alone_change_the_picture(dashboard: Any, expect: Any) -> None:
    page = dashboard
    pixels = "document.querySelector('#map-canvas').toDataURL()"
    before = page.evaluate(pixels)
    page.get_by_label("Colour by").select_option(label="country")
    country = page.evaluate(pixels)
    assert country != before
    swatch = page.locator("#map .swatches button", has_text="Japan")
    swatch.click()
    expect(swatch).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(pixels) != country
    swatch.click()
    assert page.evaluate(pixels) == country


def test_a_users_query_is_shown_on_the_map_and_not_logged(dashboard: Any, fake: Any, expect: Any) -> None:
    page, asked = dashboard, len(fake.answers.asked)
    pixels = "document.querySelector('#map-canvas').toDataURL()"
    before = page.evaluate(pixels)
    page.get_by_label("Where this user's query points").fill("7")
    page.keyboard.press("Enter")
    expect(page.locator("#map-readout")).to_contain_text("50 % of the query's length")
    expect(page.locator("#map-readout")).to_contain_text("Rings: 20 of the 20")
    assert page.evaluate(pixels) != before
    assert len(fake.answers.asked) == asked
    page.get_by_label("Where this user's query points").fill("nobody")
    page.keyboard.press("Enter")
    expect(page.locator("#map-readout")).to_contain_text("Nothing is known about nobody")


def test_two_versions_are_compared_by_numbers_and_by_what_they_answer(dashboard: Any, expect: Any) -> None:
    page = dashboard
    facts = page.locator("#compare-body table")
    expect(facts.locator("tr", has_text="ndcg@20")).to_contain_text("0.3200")
    expect(facts.locator("tr", has_text="ndcg@20")).to_contain_text("+0.0100")
    expect(facts.locator("tr", has_text="segments new users recall@20")).to_contain_text("same")
    page.get_by_label("The same request to both").fill("7")
    page.keyboard.press("Enter")
    expect(page.locator("#compare-lists .overlap")).to_contain_text("of 10 in both")
    expect(page.locator("#compare-lists li[data-item]")).to_have_count(20)
    page.get_by_label("From", exact=True).select_option("2024-05-01T09-00")
    expect(page.locator("#compare-lists")).to_contain_text("Only versions in memory")
    expect(page.locator("#compare-body .ask")).to_be_hidden()


def test_another_version_answers_beside_the_lists(visit: Any, fake: Any, expect: Any) -> None:
    page = visit("#/user/7")
    page.get_by_label("Beside it, version").select_option("2024-05-02T09-00")
    box = page.locator("#beside-lists")
    expect(box.locator("section").last.locator("li[data-item]")).to_have_count(10)
    shown = box.locator("section").last.locator("li").evaluate_all("all => all.map(li => li.dataset.item)")
    answer = page.request.post(
        fake.url + "v1/recommend", data={"user": "7", "n": 10, "version": "2024-05-02T09-00"}
    ).json()
    assert shown == [row["item"] for row in answer["items"]]
    kept = set(shown) & set(items(page))
    expect(box.locator(".overlap")).to_contain_text(f"{len(kept)} of 10 in both")
    assert box.locator("section").last.locator(".move.new").count() == 10 - len(kept)
    assert "explain" in fake.answers.asked[-1]
    after(page, lambda: page.locator("#diversity").fill("0.9"))
    expect(box.locator("section").first.locator("li").first).to_have_attribute("data-item", items(page)[0])


def test_a_version_that_is_gone_is_told(visit: Any, fake: Any, allowed: Any, expect: Any) -> None:
    allowed.append(FAILED)
    page = visit("#/user/7")
    fake.answers.previous = "2024-05-01T09-00"
    page.get_by_label("Beside it, version").select_option("2024-05-02T09-00")
    expect(page.locator("#beside-lists")).to_contain_text("is not in memory")


def test_an_item_has_a_page_with_parts_and_what_happened_to_it(visit: Any, fake: Any, expect: Any) -> None:
    page = visit("#/items/9", ready="#item-panel h2")
    panel = page.locator("#item-panel")
    expect(panel.locator("h2")).to_have_text(fake.answers.model.items["9"]["title"])
    expect(panel).to_contain_text("in 31 of the latest 900 answers")
    page.get_by_label("For user", exact=True).fill("4")
    page.keyboard.press("Enter")
    expect(panel.locator(".adds")).to_contain_text("add up")


def test_an_item_of_the_history_can_be_looked_at(visit: Any, expect: Any) -> None:
    page = visit("#/user/7")
    first = page.locator("#history .open").first
    title = first.locator("b").inner_text()
    first.click()
    expect(page.locator("#inspector-title")).to_have_text(title)
    expect(page.locator(".similar li")).to_have_count(10)
