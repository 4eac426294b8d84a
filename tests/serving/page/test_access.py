"""The page for everybody: by keyboard alone, on a phone, in both themes, without motion, with a screen reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serving.page.fake_api import PAGE
from serving.page.looks import LOW_CONTRAST, NAMELESS, after, fits, items, titles

VIEWS = [
    ("#/user/7", "#final-list li[data-item]"),
    ("#/items", "#item-list .open"),
    ("#/items/9", "#item-panel h2"),
    ("#/dashboard", "#map-canvas"),
]
COUNT_ANIMATIONS = """() => {
  window.moved = 0;
  const animate = Element.prototype.animate;
  Element.prototype.animate = function (...args) {
    window.moved += 1;
    return animate.apply(this, args);
  };
}"""
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}


@pytest.fixture
def expect() -> Any:
    return pytest.importorskip("playwright.sync_api").expect


def focused(page: Any, selector: str) -> bool:
    return page.evaluate("selector => document.activeElement.matches(selector)", selector)


def press(page: Any, key: str, until: str, most: int = 60) -> None:
    """Press a key until the focus is on ``until``, as somebody without a mouse does."""
    for _ in range(most):
        page.keyboard.press(key)
        if focused(page, until):
            return
    pytest.fail(f"{key} never reached {until}")


def test_everything_is_reached_by_keyboard_alone(visit: Any, fake: Any, expect: Any) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert focused(page, ".skip")
    page.keyboard.press("Enter")
    assert focused(page, "#main")
    press(page, "Tab", "#user")
    page.keyboard.type("5")
    expect(page.locator("#user-list [role=option]").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.locator("#user").get_attribute("aria-activedescendant") == "user-list-0"
    after(page, lambda: page.keyboard.press("Enter"))
    assert page.url.endswith("#/user/5")
    press(page, "Tab", "#diversity")
    after(page, lambda: page.keyboard.press("End"))
    assert fake.answers.asked[-1]["diversity"] == 1
    press(page, "Tab", "#final-list .pick")
    page.keyboard.press("ArrowDown")
    chosen = items(page)[1]
    after(page, lambda: page.keyboard.press("Enter"))
    assert [event["item"] for event in fake.answers.events] == [chosen]
    assert focused(page, "#final-list .pick")  # the focus is not lost with the row
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert focused(page, "#tab-why")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".similar li")).to_have_count(10)


def test_the_focus_is_always_seen(visit: Any) -> None:
    page = visit()
    for _ in range(25):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "(s => [s.outlineStyle, parseFloat(s.outlineWidth)])(getComputedStyle(document.activeElement))"
        )
        assert style[0] != "none", page.evaluate("document.activeElement.outerHTML")
        assert style[1] >= 2


def test_the_sheet_about_an_item_gives_the_focus_back(visit: Any, expect: Any) -> None:
    page = visit("#/user/7", **PHONE)
    page.locator("#final-list .why").nth(2).click()
    expect(page.locator("#inspector:modal")).to_be_visible()
    assert focused(page, "#tab-why")
    page.keyboard.press("Escape")
    expect(page.locator("#inspector")).to_be_hidden()
    assert focused(page, "#final-list li:nth-child(3) .why")


def test_the_panel_about_an_item_gives_the_focus_back(visit: Any, expect: Any) -> None:
    page = visit("#/user/7")
    page.locator("#final-list .why").nth(2).click()
    after(page, lambda: page.locator("#diversity").fill("0.05"))  # the rows are new
    shown = page.locator("#final-list .why[aria-expanded=true]")
    expect(shown).to_have_count(1)
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#inspector")).to_be_hidden()
    assert focused(page, "#final-list .why")


@pytest.mark.parametrize(("path", "ready"), VIEWS)
def test_a_phone_shows_everything_without_scrolling_sideways(visit: Any, path: str, ready: str) -> None:
    page = visit(path, ready=ready, **PHONE)
    assert fits(page)
    if path == "#/user/7":
        page.locator("#adjust > summary").click()
        page.get_by_text("Filters and limits").click()
        assert fits(page)
        assert not page.locator("#recall-list").is_visible()
        assert page.locator("#final-list").bounding_box()["width"] > 280
        page.get_by_role("button", name="Recall list").click()
        assert page.locator("#recall-list").is_visible()
        page.get_by_role("button", name="Final list").click()
        page.locator("#final-list .why").first.click()
        assert fits(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_have_contrast(visit: Any, scheme: str) -> None:
    page = visit("#/user/7", color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_selector(".fall")
    after(page, page.locator("#final-list .pick").nth(1).click)
    page.mouse.move(0, 0)
    assert page.evaluate(LOW_CONTRAST) == []
    for view, ready in VIEWS[1:]:
        page.evaluate("address => { location.hash = address; }", view)
        page.wait_for_selector(ready)
        assert page.evaluate(LOW_CONTRAST) == []


def test_the_theme_follows_the_system_until_it_is_chosen(visit: Any) -> None:
    page = visit(color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Dark theme").click()
    light = page.evaluate(paper)
    assert light != dark
    page.reload()
    assert page.evaluate(paper) == light
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(paper) == dark


@pytest.mark.parametrize(("motion", "moving"), [("no-preference", True), ("reduce", False)])
def test_movement_is_animated_unless_it_is_not_wanted(visit: Any, motion: str, moving: bool) -> None:
    page = visit("#/user/2", reduced_motion=motion)
    page.evaluate(COUNT_ANIMATIONS)
    after(page, page.locator("#final-list .pick").nth(1).click)
    assert (page.evaluate("window.moved") > 0) is moving


def test_screen_readers_hear_what_changed_and_every_control_has_a_name(visit: Any, expect: Any) -> None:
    page = visit("#/user/2")
    title = titles(page)[0]
    after(page, page.locator("#final-list .pick").first.click)
    expect(page.locator("#live")).to_contain_text(f"Stored a click on {title}")
    page.get_by_text("Filters and limits").click()
    assert page.evaluate(NAMELESS) == []
    for view, ready in VIEWS[1:]:
        page.evaluate("address => { location.hash = address; }", view)
        page.wait_for_selector(ready)
        assert page.evaluate(NAMELESS) == []


def test_nothing_jumps_while_the_page_loads(visit: Any) -> None:
    page = visit("#/user/7")
    page.wait_for_selector(".fall")
    shift = page.evaluate("""() => new Promise(done => {
      let sum = 0;
      new PerformanceObserver(list => { for (const entry of list.getEntries()) sum += entry.value; })
        .observe({ type: "layout-shift", buffered: true });
      setTimeout(() => done(sum), 200);
    })""")
    assert shift < 0.05


def test_the_page_is_small_and_names_no_other_host() -> None:
    files = [path for path in Path(PAGE).iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 160_000
    for path in files:
        text = path.read_text(encoding="utf8").replace("http://www.w3.org/2000/svg", "")
        assert "http" + "://" not in text
        assert "https://" not in text
        assert "innerHTML" not in text
