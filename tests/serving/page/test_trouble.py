"""What the page does when the server is gone, busy, not ready, or wants a key."""

from __future__ import annotations

from typing import Any

import pytest

from serving.page.looks import after, items, slide

FAILED = "Failed to load resource"


@pytest.fixture
def expect() -> Any:
    return pytest.importorskip("playwright.sync_api").expect


def test_the_page_outlives_the_server_and_goes_on_when_it_is_back(
    visit: Any, fake: Any, allowed: Any, expect: Any
) -> None:
    allowed.append(FAILED)
    page = visit()
    before = items(page)
    fake.stop()
    slide(page, "popularity", 0)
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    expect(page.locator("#state")).to_have_text("offline")
    assert items(page) == before
    fake.start()
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.locator("#state")).to_have_text("live")
    assert items(page) != before


def test_a_click_during_trouble_is_sent_again_and_stored_once(
    visit: Any, fake: Any, allowed: Any, expect: Any
) -> None:
    allowed.append(FAILED)
    page = visit("#/user/2")
    fake.trouble = 503, "the database is locked", 1
    chosen = items(page)[0]
    page.locator("#final-list .pick").first.click()
    expect(page.get_by_role("alert")).to_contain_text("the database is locked")
    fake.trouble = None
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#changes")).to_contain_text("Stored a click")
    assert [event["item"] for event in fake.answers.events] == [chosen]


@pytest.mark.parametrize(("status", "said"), [(429, "Too many requests"), (503, "not ready")])
def test_what_passes_is_tried_again_after_the_time_the_server_names(
    visit: Any, fake: Any, allowed: Any, expect: Any, status: int, said: str
) -> None:
    allowed.append(FAILED)
    page = visit()
    before = items(page)
    fake.trouble = status, "come back later", 2
    slide(page, "diversity", 1)
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("alert")).to_contain_text("Trying again in 2 s")
    fake.trouble = None
    expect(page.get_by_role("alert")).to_be_empty()
    assert items(page) != before


def test_a_refusal_stays_until_a_request_is_answered(
    visit: Any, fake: Any, allowed: Any, expect: Any
) -> None:
    allowed.append(FAILED)
    page = visit()
    fake.trouble = 422, "diversity must be from 0 to 1", 0
    slide(page, "diversity", 1)
    expect(page.get_by_role("alert")).to_contain_text(
        "The request was refused. diversity must be from 0 to 1"
    )
    fake.trouble = None
    after(page, lambda: slide(page, "diversity", 0.5))
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_key_is_asked_for_and_kept_in_this_tab_alone(
    visit: Any, fake: Any, allowed: Any, expect: Any
) -> None:
    allowed.append(FAILED)
    fake.key = "right"
    page = visit(ready="#key-dialog[open]")
    page.get_by_label("Key", exact=True).fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-reason")).to_contain_text("did not accept")
    page.get_by_label("Key", exact=True).fill("right")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#final-list li[data-item]")).to_have_count(10)
    expect(page.get_by_role("alert")).to_be_empty()
    assert (
        page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        == '[{},{"crossfm-key":"right"}]'
    )
    assert "right" not in page.content()
    page.get_by_role("button", name="API key").click()
    page.get_by_role("button", name="Forget the key").click()
    expect(page.locator("#key-dialog")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_user_nobody_knows_gets_an_answer(visit: Any, fake: Any, allowed: Any, expect: Any) -> None:
    allowed.append(FAILED)
    page = visit("#/user/nobody%20yet")
    expect(page.locator("#about")).to_contain_text("Nothing is stored")
    expect(page.locator("#changes")).to_contain_text("Nothing is known about this user")
    after(page, page.locator("#final-list .pick").first.click)
    assert fake.answers.events[0]["user"] == "nobody yet"
    expect(page.locator("#history li")).to_have_count(1)
