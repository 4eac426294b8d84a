"""What the commands print: notes, tables, numbers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer

WIDTH = 120  # of tables where standard output is no terminal


def examples(*lines: str) -> str:
    """Return the epilog of a command's help: examples, one a line."""
    return "\n\n".join(["Examples:", *(f"$ {line}" for line in lines)])


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line."""
    typer.echo(text, err=err)


def print_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[Any]], *, left: int = 1, err: bool = False
) -> None:
    """Print a table; the first ``left`` columns are aligned left, the others right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = sys.stderr if err else sys.stdout
    console = Console(file=stream, width=None if stream.isatty() or "COLUMNS" in os.environ else WIDTH)
    table = Table(box=box.SIMPLE_HEAD)
    for at, name in enumerate(header):
        table.add_column(name, justify="left" if at < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    if title:
        console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(table)


def number(value: Any, digits: int = 4) -> str:
    """Write a number with ``digits`` decimals, "-" where there is none."""
    if value is None or value != value:
        return "-"
    if isinstance(value, float) and abs(value) < 1e-9:
        value = 0.0  # rounding
    if isinstance(value, float) and value and not 10**-digits <= abs(value) < 1e6:
        return f"{value:.{digits}g}"
    return f"{value:.{digits}f}" if isinstance(value, float) else f"{value:,}"


def _cell(value: Any) -> Any:
    from rich.text import Text

    return Text(value if isinstance(value, str) else number(value))  # Text: no markup in people's data


def size(n_bytes: int) -> str:
    """Write a file's size."""
    amount = float(n_bytes)
    for unit in ("bytes", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"
