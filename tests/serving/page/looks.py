"""What tests read off the page."""

from __future__ import annotations

from typing import Any

# The contrast of every text that is seen with what lies behind it, as WCAG 2.2 counts it: [text, ratio] below 4.5.
LOW_CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const behind = (el) => {
    for (; el; el = el.parentElement) {
      const color = rgba(getComputedStyle(el).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const light = (color) => {
    const [r, g, b] = color.map((x) => x / 255).map((x) => (x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || el.closest(":disabled, .sr, option")) continue;
    if (!el.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(el);
    const color = rgba(el instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(color), light(behind(el))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push([walker.currentNode.data.trim(), Math.round(ratio * 100) / 100]);
  }
  return bad;
}"""

# Controls without a name for screen readers, and ids that stand twice.
NAMELESS = """() => {
  const named = (el) => el.getAttribute("aria-label") || el.labels?.length || el.textContent.trim() || el.title;
  const controls = document.querySelectorAll("button, input, select, summary, a, [role=tab], [tabindex='0']");
  const ids = [...document.querySelectorAll("[id]")].map((el) => el.id);
  const nameless = [...controls].filter((el) => !named(el)).map((el) => el.outerHTML);
  return [...nameless, ...ids.filter((id, i) => ids.indexOf(id) !== i)];
}"""


def items(page: Any, which: str = "final") -> list[str]:
    """Return the ids of a list, best first."""
    return page.locator(f"#{which}-list li[data-item]").evaluate_all(
        "rows => rows.map(row => row.dataset.item)"
    )


def titles(page: Any, which: str = "final") -> list[str]:
    """Return the titles of a list, best first."""
    return page.locator(f"#{which}-list .what b").all_inner_texts()


def number(text: str) -> float:
    """Return a number as the page writes it."""
    return float(text.replace("−", "-").replace("+", "").split()[0])


def slide(page: Any, name: str, value: float) -> None:
    """Move a slider."""
    page.locator(f"#{name}").fill(str(value))


def after(page: Any, act: Any, what: str = "**/v1/recommend") -> Any:
    """Do something and wait for the answer that it brings."""
    with page.expect_response(what) as answer:
        act()
    answer.value.finished()
    page.wait_for_selector(
        "#lists:not([aria-busy])", state="attached"
    )  # the page's policy allows no polling script
    return answer.value.json()


def fits(page: Any) -> bool:
    """Return whether nothing sticks out to the right."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")
