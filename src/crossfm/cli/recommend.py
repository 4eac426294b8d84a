"""``crossfm recommend``: lists for users."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.reading import Reading, check_out, names, read_table
from crossfm.cli.show import examples, number, print_table, say
from crossfm.errors import ColumnError, DataError, OptionError

EXAMPLES = examples(
    "crossfm recommend movies.crossfm --user 196 --items items.tsv --explain",
    "crossfm recommend movies.crossfm --user 196 --user 22 -n 5 --exclude 50,100",
    "crossfm recommend apps.crossfm --user 7 --context daytime=evening --context isweekend=weekend",
    "crossfm recommend movies.crossfm --users new-users.csv --out lists.csv",
)
PARTS = 4  # of a score that --explain shows
WIDE = 60  # characters of a cell that are shown
Texts = Optional[list[str]]  # noqa: UP045
File = Optional[Path]  # noqa: UP045


@verb
def recommend(
    model: Annotated[Path, typer.Argument(help="A .crossfm file with a recommender.")],
    user: Annotated[Texts, typer.Option("--user", "-u", help="User id; may be given again.")] = None,
    n: Annotated[int, typer.Option("-n", help="Items a user.")] = 10,
    context: Annotated[
        Texts, typer.Option("--context", help="name=value of a context column; again for more.")
    ] = None,
    users: Annotated[
        File, typer.Option("--users", help="Table of users and their features; needed for new users.")
    ] = None,
    items: Annotated[
        File, typer.Option("--items", help="Table of items: its columns are shown beside the ids.")
    ] = None,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also what the user has seen.")
    ] = False,
    exclude: Annotated[Optional[str], typer.Option("--exclude", help="Item ids a,b to leave out.")] = None,  # noqa: UP045
    explain: Annotated[bool, typer.Option("--explain", help="Show what each score is made of.")] = False,
    out: Annotated[
        File, typer.Option("--out", "-o", help="Write csv, tsv, parquet or arrow instead of printing.")
    ] = None,
) -> None:
    """Recommend items to users.

    Users without any known feature get the popular items; the column source says so.
    """
    from crossfm.models import load

    if out is not None:
        check_out(out, [model, users, items])
        if explain:
            raise OptionError("--explain is printed, not written: leave --out away")
    fitted = load(model)
    if type(fitted).__name__ != "Recommender":
        raise OptionError(
            f"{model} holds a {type(fitted).__name__}: use crossfm predict, or train with --task recommendation"
        )
    asked = _asked(fitted, user, users)
    known = dict(_pair(text, fitted.context) for text in context or ())
    found = fitted.recommend(asked, n, context=known, exclude_seen=not include_seen, exclude=names(exclude))
    shown = _with_items(found, fitted, items)
    if out is not None:
        from crossfm.data.writers import write_table

        write_table(out, shown)
        say(f"wrote {out}: {shown.num_rows:,} rows")
        return
    for at, key in enumerate(_keys(asked, fitted.user)):
        mine = [row for row in shown.to_pylist() if str(row[fitted.user]) == key]
        _show(fitted, key, mine)
        if explain:
            _explain(fitted, asked.slice(at, 1), known, mine)


def _asked(model: Any, user: Sequence[str] | None, users: Path | None) -> Any:
    """Return a table of the users that lists are wanted for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = list(dict.fromkeys(user or ()))
    if users is None:
        if not wanted:
            raise OptionError("for whom? Pass --user ID, or --users FILE")
        return pa.table({model.user: wanted})
    table = read_table(users, Reading())
    if model.user not in table.column_names:
        raise ColumnError(
            f"{users} has columns {', '.join(table.column_names)}, but {model.user!r} is needed"
        )
    if wanted:
        keys = pc.cast(table[model.user], pa.string())
        missing = sorted(set(wanted) - set(keys.to_pylist()))
        if missing:
            raise DataError(f"user {missing[0]} is not in {users}")
        table = table.filter(pc.is_in(keys, pa.array(wanted)))
    return table


def _keys(asked: Any, name: str) -> list[str]:
    return [str(key) for key in asked[name].to_pylist()]


def _pair(text: str, columns: Sequence[str]) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise OptionError(f"--context {text!r} is not name=value")
    if name not in columns:
        there = (
            f"the context columns are {', '.join(columns)}" if columns else "the model has no context columns"
        )
        raise ColumnError(f"--context names {name!r}, but {there}")
    return name, value


def _with_items(found: Any, model: Any, items: Path | None) -> Any:
    """Put the columns of the table of items behind the recommendations."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if items is None:
        return found
    table = read_table(items, Reading())
    if model.item not in table.column_names:
        raise ColumnError(
            f"{items} has columns {', '.join(table.column_names)}, but {model.item!r} is needed"
        )
    where = pc.index_in(
        pc.cast(found[model.item], pa.string()),
        value_set=pc.cast(table[model.item], pa.string()).combine_chunks(),
    )
    for name in table.column_names:
        if name not in found.column_names:
            found = found.append_column(name, table[name].take(where))
    return found


def _show(model: Any, user: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        say(f"{model.user} {user}: nothing is left to recommend")
        return
    more = [name for name in rows[0] if name not in (model.user, "rank", model.item, "score", "source")]
    header = ("rank", model.item, *more, "score")
    lines = [
        (str(row["rank"]), str(row[model.item]), *(_short(row[name]) for name in more), number(row["score"]))
        for row in rows
    ]
    title = f"for {model.user} {user}"
    if rows[0]["source"] == "popularity":
        title += ": nothing is known about this user, so these are the popular ones (the score is popularity)"
    print_table(title, header, lines, left=len(header) - 1)


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= WIDE else text[: WIDE - 3] + "..."


def _explain(model: Any, user: Any, context: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Print the largest parts of each score that depend on the item."""
    import numpy as np

    if not rows or rows[0]["source"] == "popularity":
        return
    parts = model.explain(user, [row[model.item] for row in rows], context=context)
    of_item = set(model.items_.encoder.fields)
    first = len(parts.names) - len(model.items_.encoder.fields)
    labels = [*parts.names, *(f"{a} x {b}" for a, b in parts.pair_names)]
    depends = [*(at >= first for at in range(len(parts.names))), *(b >= first for _, b in parts.pair_of)]
    values = np.hstack([parts.columns, parts.pairs])
    say(f"what the scores are made of (exact; parts with {', '.join(sorted(of_item))} tell items apart):")
    for row, value in zip(rows, values, strict=True):
        order = [int(at) for at in np.argsort(-np.abs(value)) if depends[at]]
        shown = ", ".join(f"{labels[at]} {value[at]:+.3f}" for at in order[:PARTS])
        rest = float(row["score"]) - float(sum(value[at] for at in order[:PARTS]))
        say(f"  {row[model.item]}: {row['score']:.3f} = {shown}, the rest {rest:+.3f}")
    say()
