"""What the demo prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from crossfm.cli import demo_words as words

WIDTH = 110  # where standard output is no terminal


def loading() -> None:
    """Say on standard error what may take a moment."""
    print("loading MovieLens-100K and breast cancer", file=sys.stderr, flush=True)


def beginning(report: dict[str, Any]) -> None:
    """Print what this is and on what."""
    data, machine = report["data"]["movielens-100k"], report["machine"]
    _say(
        f"crossfm {machine['crossfm']} demo, seed {report['seed']}, {machine['cores']} cores, "
        f"{machine['instruction_set']} kernels, one thread"
    )
    _say(
        f"MovieLens-100K: {data['ratings']:,} ratings, {data['users']:,} users, {data['movies']:,} movies. "
        f"{data['licence']}",
        "dim",
    )


def ratings(part: dict[str, Any]) -> None:
    """Print part (a)."""
    _head("a", "How many stars?")
    _say(f"Split: {part['split']} ({part['n_test']:,} ratings).", "dim")
    rows = [
        (
            system["title"],
            f"{system['rmse']:.4f}",
            f"{system['rmse_low']:.3f} to {system['rmse_high']:.3f}",
            f"{system['mae']:.4f}",
            system["best_epoch"],
        )
        for system in part["systems"]
    ]
    _table(("model", "test RMSE", "95 % interval", "MAE", "epochs"), rows)
    _say(words.ratings_verdict(part))


def lists(part: dict[str, Any]) -> None:
    """Print part (b)."""
    _head("b", "What next?")
    _say(
        f"Split: {part['split']} (from {part['test_from']}, {part['n_test']:,} interactions). Every list of 20 is "
        f"ranked out of the whole catalogue. {part['n_users']} users: {part['n_warm']} known from training, "
        f"{part['n_new']} new.",
        "dim",
    )
    chosen = part["half_life"]
    tried = ", ".join(f"{one['days']}: {one[f'ndcg@{words.K}']:.3f}" for one in chosen["candidates"])
    _say(
        f"Half-life of an interaction: {chosen['chosen']} days, {chosen['rule']} (NDCG by days: {tried}).",
        "dim",
    )
    found = {(row["system"], row["segment"], row["metric"]): row for row in part["rows"]}
    rows = []
    for segment, title in words.SEGMENTS.items():
        for system, name in words.SYSTEMS.items():
            values = [words.interval(found[system, segment, f"{m}@{words.K}"]) for m in ("ndcg", "recall")]
            rows.append(
                (title if system == "popularity" else "", name, *values, words.lead(part, system, segment))
            )
    _table(
        ("users", "system", "NDCG@20", "Recall@20", "FM's lead in NDCG"),
        rows,
        left=2,
        groups=len(words.SYSTEMS),
    )
    for line in words.lists_verdict(part):
        _say(line)
    for note in part["notes"]:
        _say(f"Note: {note}.", "dim")


def person(part: dict[str, Any]) -> None:
    """Print part (c)."""
    user = part["user"]
    _head(
        "c", f"Why these? User {user['user_id']}: {user['age']} years, {user['gender']}, {user['occupation']}"
    )
    _say(f"Chosen by rule: {part['chosen_by']} ({part['n_history']} ratings).", "dim")
    rows: list[Any] = [
        (row["day"], "*" * round(row["rating"]), words.movie(row), row["genres"].replace("|", ", "))
        for row in part["history"]
    ]
    _table(("day", "stars", "last rated", "genres"), rows, left=4)
    rows = [
        (
            row["rank"],
            words.movie(row) + (" (rated later)" if row["rated_later"] else ""),
            f"{row['score']:.3f}",
            f"{words.single(row):.1%}",
            ", ".join(words.signed(pair) for pair in words.pairs(row, 2)),
        )
        for row in part["recommended"]
    ]
    header = ("", "recommended", "score", "alone", "largest pairs of columns")
    _table(header, rows, justify=("right", "left", "right", "right", "left"))
    same = words.constant(part["recommended"][0])
    _say(
        f'Percentages are shares of the score; "alone" is what single columns gave, nearly all of it the movie\'s. '
        f"Pairs of the user's own columns give every movie the same ({same:.1%} of the first score)."
    )
    _say(f"{words.parts_verdict(part)} {words.EXACT}")


def cancer(part: dict[str, Any]) -> None:
    """Print part (d)."""
    _head("d", "Benign or malignant?")
    _say(f"{part['n_rows']} rows, {part['n_columns']} measurements. {part['split']}.", "dim")
    rows = [
        (
            system["title"],
            f"{system['auc']:.4f} ± {system['auc_std']:.4f}",
            f"{system['log_loss']:.4f} ± {system['log_loss_std']:.4f}",
        )
        for system in part["systems"]
    ]
    _table(("model", "AUC", "log loss"), rows)
    _say(words.cancer_verdict(part))


def ending(report: dict[str, Any], written: Iterable[Path], folder: Path | None) -> None:
    """Print part (e)."""
    _head("e", "Files, and what to try next")
    rows = [(str(path), f"{path.stat().st_size / 1000:,.0f} KB") for path in written]
    if rows:
        _table(("written", "size"), rows)
    else:
        _say("Nothing was written but the cache of data sets. With --output: models, report.json and a page.")
    _say("To see films recommended live, with a page to play with: crossfm demo --serve")
    user = report["explanation"]["user"]["user_id"]
    for command in words.next_commands(user, None if folder is None else str(folder)):
        _say(f"  $ {command}", "bold", wrap=False)
    print(f"done in {report['seconds']:.0f} s", file=sys.stderr, flush=True)


def _console() -> Console:
    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(file=sys.stdout, width=fixed, highlight=False)


def _head(letter: str, title: str) -> None:
    console = _console()
    console.print()
    console.print(Rule(Text(f"({letter}) {title}", style="bold"), align="left", style="cyan"))


def _say(text: str, style: str = "", *, wrap: bool = True) -> None:
    _console().print(Text(text, style=style), soft_wrap=not wrap)


def _table(
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    left: int = 1,
    justify: Sequence[str] = (),
    groups: int = 0,
) -> None:
    """Print a table: the first ``left`` columns to the left, a line after every ``groups`` rows."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for at, name in enumerate(header):
        side: Any = justify[at] if justify else "left" if at < left else "right"
        table.add_column(name, justify=side)
    for number, row in enumerate(rows, 1):
        table.add_row(*(Text(str(cell)) for cell in row), end_section=bool(groups) and number % groups == 0)
    _console().print(Padding(table, (0, 0, 0, 1), expand=False))
