"""Pieces of HTML; text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from crossfm.cli.report_style import STYLE


def document(title: str, *parts: str) -> str:
    """Return a whole page that needs nothing else; empty parts are left out."""
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def head(title: str, lead: str, cards: Iterable[tuple[str, str]]) -> str:
    """Return the top of a page: its title, what it is about, and numbers with what they are."""
    inner = "".join(f"<div><b>{escape(big)}</b><span>{escape(small)}</span></div>" for big, small in cards)
    return (
        f'<header><h1>{escape(title)}</h1>{paragraph(lead, "lead")}<div class="cards">{inner}</div></header>'
    )


def section(letter: str, title: str, *parts: str) -> str:
    """Return a section with its letter and title; empty parts are left out."""
    inner = "\n".join(part for part in parts if part)
    return f'<section id="{letter}">\n<h2><i>{letter}</i> {escape(title)}</h2>\n{inner}\n</section>'


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of text, of a ``kind`` that the style knows."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def details(title: str, *parts: str) -> str:
    """Return parts that show when the title is clicked."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def row(*figures: str) -> str:
    """Return figures side by side where there is room."""
    inner = "".join(figures)
    return f'<div class="row">{inner}</div>' if inner else ""


def figure(pictures: dict[str, str], name: str, caption: str, kind: str = "") -> str:
    """Return a figure, "" when there is none of that name."""
    if name not in pictures:
        return ""
    tag = f'<figure class="{kind}">' if kind else "<figure>"
    return f"{tag}{pictures[name]}<figcaption>{escape(caption)}</figcaption></figure>"


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    left: int = 1,
    marked: str | None = None,
    main: int | None = None,
) -> str:
    """Return a table in a box that scrolls.

    The first ``left`` columns are text, the others numbers; a cell of two texts has the second below the first, small.
    A row with a cell ``marked`` is bold. With ``main``, the number of the column that matters most, narrow screens show
    the last column on a line of its own.
    """

    def line(cells: Sequence[Any], tag: str) -> str:
        kinds = ["" if at < left else ' class="n"' for at in range(len(cells))]
        if main is not None:
            kinds[main] = ' class="main"'
        inner = "".join(
            f"<{tag}{kind}>{_cell(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True)
        )
        return f'<tr class="marked">{inner}</tr>' if marked in cells and tag == "td" else f"<tr>{inner}</tr>"

    head = f"<thead>{line(header, 'th')}</thead>" if any(header) else ""
    body = "".join(line(row, "td") for row in rows)
    kind = "" if main is None else ' class="stack"'
    return f'<div class="scroll"><table{kind}>{head}<tbody>{body}</tbody></table></div>'


def _cell(cell: Any) -> str:
    if not isinstance(cell, tuple):
        return escape(str(cell))
    big, small = cell
    return f"{escape(str(big))}<small>{escape(str(small))}</small>" if small else escape(str(big))
