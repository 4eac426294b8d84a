"""``crossfm init``: guess what the columns are, and write it down for a person to change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.reading import (
    EncodingOption,
    Reading,
    SeparatorOption,
    check_column,
    check_out,
    names,
    read_table,
)
from crossfm.cli.show import examples, say
from crossfm.errors import OptionError

EXAMPLES = examples(
    "crossfm init clicks.csv",
    "crossfm init ratings.csv --users users.csv --items movies.csv",
    "crossfm init log.parquet --user reader --item article --context device,hour --out news.toml",
)
File = Optional[Path]  # noqa: UP045
Text = Optional[str]  # noqa: UP045


@verb
def init(
    interactions: Annotated[
        Path, typer.Argument(help="Table with one row for each thing a user did with an item.")
    ],
    users: Annotated[File, typer.Option("--users", help="Table with one row a user.")] = None,
    items: Annotated[File, typer.Option("--items", help="Table with one row an item.")] = None,
    user: Annotated[Text, typer.Option("--user", help="The user's column; else guessed.")] = None,
    item: Annotated[Text, typer.Option("--item", help="The item's column; else guessed.")] = None,
    time: Annotated[Text, typer.Option("--time", help="The time's column; else guessed.")] = None,
    label: Annotated[Text, typer.Option("--label", help="The label's column; else guessed.")] = None,
    context: Annotated[Text, typer.Option("--context", help="Context columns a,b; else guessed.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("recommender.toml"),
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    separator: SeparatorOption = None,
    encoding: EncodingOption = None,
) -> None:
    """Guess the roles of the columns and write a commented configuration for crossfm fit-recommender."""
    from crossfm.atomic import atomic_write
    from crossfm.recommender.write_config import config_text

    check_out(out, [interactions, users, items])
    if out.exists() and not force:
        raise OptionError(f"{out} is there already; pass --force to write over it, or --out ANOTHER")
    reading = Reading(separator=separator, encoding=encoding)
    log = read_table(interactions, reading)
    sides = [None if path is None else read_table(path, reading) for path in (users, items)]
    asked = {"--user": user, "--item": item, "--time": time, "--label": label}
    for option, name in asked.items():
        if name is not None:
            check_column(log, name, option)
    roles = _guess(log, sides, user, item, time, label, context)
    base = out.resolve().parent
    files = {"interactions": _relative(interactions, base)}
    files |= {
        name: _relative(path, base) for name, path in (("users", users), ("items", items)) if path is not None
    }
    files |= {"separator": separator or "", "encoding": encoding or ""}
    columns = _columns(log, roles, sides)
    with atomic_write(out, "w") as file:
        file.write(config_text(files, roles, columns, _is_binary(log, roles), n_rows=log.num_rows))
    _show(log, roles, out)


def _guess(log: Any, sides: list[Any], user: Any, item: Any, time: Any, label: Any, context: Any) -> Any:
    """Guess roles, those that were asked for first."""
    from crossfm.recommender.roles import guess_roles

    roles = guess_roles(log, sides[0], sides[1], user=user, item=item, time=time, label=label)
    if context is not None:
        wanted = names(context)
        for name in wanted:
            check_column(log, name, "--context")
        roles.context = wanted
        roles.user_columns = [name for name in roles.user_columns if name not in wanted]
        roles.item_columns = [name for name in roles.item_columns if name not in wanted]
    return roles


def _columns(log: Any, roles: Any, sides: list[Any]) -> dict[str, tuple[str, str]]:
    """Return kind and reason of each feature column."""
    from crossfm.data.infer import infer_columns
    from crossfm.recommender.roles import feature_tables

    found: dict[str, tuple[str, str]] = {}
    tables = [*feature_tables(log, roles, *sides), log.select(roles.context) if roles.context else None]
    for table, key in zip(tables, (roles.user, roles.item, None), strict=True):
        if table is None:
            continue
        guessed = infer_columns(table, exclude=[key] if key else [])
        kinds = {column.name: column for column in guessed}
        for name in table.column_names:
            if name == key:
                continue
            shown_only = name in (roles.title, roles.item_time)
            kind = "drop" if shown_only or name not in kinds else _kind(kinds[name])
            found[name] = kind, "shown, no feature" if shown_only else guessed.reasons.get(name, "")
    return found


def _kind(column: Any) -> str:
    separator = getattr(column, "separator", None)
    return f"{column.kind}:{separator}" if separator else str(column.kind)


def _is_binary(log: Any, roles: Any) -> bool:
    import pyarrow.compute as pc

    if roles.label is None:
        return False
    values = {float(value) for value in pc.unique(log[roles.label].drop_null()).to_pylist()[:3]}
    return values == {0.0, 1.0}


def _relative(path: Path, base: Path) -> str:
    """Return a path as seen from the folder of the configuration, where it lies below it."""
    whole = path.resolve()
    return whole.relative_to(base).as_posix() if whole.is_relative_to(base) else str(whole)


def _show(log: Any, roles: Any, out: Path) -> None:
    say(f"{log.num_rows:,} interactions")
    for role in ("user", "item", "time", "label", "title", "item_time"):
        name = getattr(roles, role)
        why = roles.reasons.get(role, "")
        say(f"  {role:<10}{'-' if name is None else name}" + (f"  ({why})" if why else ""))
    for role in ("context", "user_columns", "item_columns"):
        if listed := getattr(roles, role):
            say(f"  {role.partition('_')[0]:<10}{', '.join(listed)}")
    say(f"wrote {out}: look at it, change what is wrong, then")
    say(f"next: crossfm fit-recommender {out}")
