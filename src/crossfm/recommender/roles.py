"""Which column is the user, the item, the time, the label: guessed from names, types and values, with reasons."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfm.errors import ColumnError


def _words(text: str) -> list[str]:
    return text.split()


USERS = _words(
    "user customer client member visitor account reader viewer listener player shopper buyer subscriber person"
    " passenger patient student uid userid"
)
ITEMS = _words(
    "item product article movie film show video song track album book isbn asin sku news game app offer ad creative"
    " restaurant place venue hotel recipe course job listing iid itemid movieid content document page"
)
TIMES = _words("timestamp time datetime date ts when at day clicked_at created_at event_time")
LABELS = _words(
    "label target click clicked is_click rating score stars like liked purchase purchased bought converted"
)
COUNTS = _words(
    "cnt count counts times plays views quantity qty n dwell seconds duration"
)  # of the event itself
TITLES = _words("title name headline item_name product_name movie_title")
BIRTHS = _words(
    "released release_date published published_at created_at date available_from first_seen added"
)
MARKS = {"id", "code", "key", "nr", "no", "number"}  # beside a word: an id
FEW = 10  # different values: no catalogue, where another column has more
MANY = 1_000  # values of a context column at most
ASKED = "as asked for"
EARLIEST, LATEST = 1e8, 2e10  # seconds since 1970 that look like a time: 1973 to 2603
TEXT_LENGTH = 60.0  # characters on average: more is prose, no category


@dataclass
class Roles:
    """Columns of the log by what they are.

    Attributes
    ----------
    user, item : str
    time, label : str or None
    context : list of str
        Known at the moment of asking.
    user_columns, item_columns : list of str
        Columns of the log that say one thing of each user, of each item: features that stand in the log.
    title, item_time : str or None
        Of the items.
    reasons : dict of role or column to str
    """

    user: str
    item: str
    time: str | None = None
    label: str | None = None
    context: list[str] = field(default_factory=list)
    user_columns: list[str] = field(default_factory=list)
    item_columns: list[str] = field(default_factory=list)
    title: str | None = None
    item_time: str | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def guess_roles(
    log: Any,
    users: Any = None,
    items: Any = None,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    label: str | None = None,
) -> Roles:
    """Guess the roles of the columns of Arrow tables: interactions, and one row for each user and item if any.

    Roles that are given stay. Raises ``ColumnError`` where no column looks like a user or an item.
    """
    given = {"user": user, "item": item, "time": time, "label": label}
    reasons = {role: ASKED for role, name in given.items() if name is not None}
    user = user or _id_of(log, users, USERS, "user", reasons, taken={item, time, label})
    item = item or _id_of(log, items, ITEMS, "item", reasons, taken={user, time, label})
    roles = Roles(user, item, reasons=reasons)
    rest = [name for name in log.column_names if name not in (user, item)]
    roles.time = time or _first([n for n in rest if n != label], TIMES, lambda name: _is_time(log[name]))
    dates = [name for name in rest if name != label and _is_date(log[name])]
    if roles.time is None and len(dates) == 1:
        roles.time = dates[0]
    if roles.time is not None:
        reasons["time"] = _span(log[roles.time])
        rest.remove(roles.time)
    roles.label = label or _first(rest, LABELS, lambda name: _is_number(log[name]))
    if roles.label is not None:
        values = pc.unique(log[roles.label].drop_null())
        low, high = (pc.min_max(values)[end].as_py() for end in ("min", "max"))
        reasons["label"] = f"numbers from {low} to {high}, {len(values)} different ones"
        rest.remove(roles.label)
    for name in rest:
        _place(log, name, roles)
    columns = roles.item_columns if items is None else [n for n in items.column_names if n != item]
    table = log if items is None else items
    roles.title = _first(columns, TITLES, lambda name: _is_text(table[name]))
    roles.item_time = _first(columns, BIRTHS, lambda name: _is_time(table[name]))
    return roles


def feature_tables(log: Any, roles: Roles, users: Any = None, items: Any = None) -> tuple[Any, Any]:
    """Return the tables of users and items, with the columns of the log that belong to them.

    A table that is given stays as it is. None where nothing is known.
    """
    found = []
    for given, key, names in (
        (users, roles.user, roles.user_columns),
        (items, roles.item, roles.item_columns),
    ):
        if given is None and names:
            given = _one_row_each(log, key, names)
        found.append(given)
    return found[0], found[1]


def _one_row_each(log: Any, key: str, names: list[str]) -> Any:
    """Return the first value that is there of each column for each id."""
    kept = log.select([key, *names]).filter(log[key].is_valid())
    found = kept.group_by(key, use_threads=False).aggregate(
        [(name, "first", pc.ScalarAggregateOptions(skip_nulls=True)) for name in names]
    )
    return found.rename_columns({f"{name}_first": name for name in names})


def _id_of(
    log: Any, table: Any, words: list[str], what: str, reasons: dict[str, str], taken: set[str | None]
) -> str:
    names: list[str] = [name for name in log.column_names if name not in taken and not _is_float(log[name])]
    shared: list[str] = [] if table is None else [name for name in names if name in table.column_names]
    if len(shared) == 1:
        reasons[what] = f"also in the table of {what}s"
        return shared[0]
    ranked = sorted(shared or names, key=lambda name: _rank(name, words))
    told = [name for name in ranked if _rank(name, words) < len(words) * 4]
    many = [name for name in told if _n_values(log[name]) >= FEW]
    best: str | None = next(iter([*many, *told, *ranked]), None)
    if best is None or _rank(best, words) >= len(words) * 4:
        raise ColumnError(
            f"no column looks like the {what}: there are {', '.join(log.column_names)}. Name it with --{what}."
        )
    n = _n_values(log[best])
    reasons[what] = f"by its name; {n:,} different ones in {log.num_rows:,} rows"
    return best


def _n_values(column: Any) -> int:
    return len(pc.unique(column.combine_chunks()))


def _rank(name: str, words: list[str]) -> int:
    """Return how little a name says that it is one of ``words``: exact names, then names with "id", then parts."""
    parts = [part for part in re.split(r"[^a-z0-9]+", _snake(name)) if part]
    plain = "".join(parts)
    for at, word in enumerate(words):
        if plain in (f"{word}id", word) or (
            parts[:1] == [word] and set(parts[1:]) & MARKS and len(parts) == 2
        ):
            return at
    for at, word in enumerate(words):
        if word in parts and MARKS & set(parts):
            return len(words) + at
    for at, word in enumerate(words):
        if word in parts:
            return 2 * len(words) + at
    return 4 * len(words)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).casefold()


def _first(names: list[str], words: list[str], fits: Any) -> str | None:
    ranked = sorted((_rank(name, words), at, name) for at, name in enumerate(names))
    return next((name for rank, _, name in ranked if rank < 4 * len(words) and fits(name)), None)


def _place(log: Any, name: str, roles: Roles) -> None:
    """Say whether a column belongs to the items, the users or the context, or is left out."""
    column = log[name].combine_chunks()
    n_values = len(pc.unique(column.drop_null())) if not pa.types.is_nested(column.type) else 0
    if n_values == 0 and not pa.types.is_nested(column.type):
        roles.reasons[name] = "left out: no values"
    elif _of_one(log, roles.item, name):
        roles.item_columns.append(name)
        roles.reasons[name] = "of the item: the same in all of its rows"
    elif _of_one(log, roles.user, name):
        roles.user_columns.append(name)
        roles.reasons[name] = "of the user: the same in all of its rows"
    elif _is_number(column) and name.casefold() in COUNTS:
        roles.reasons[name] = "left out: how much of it there was is known afterwards"
    elif _is_number(column) and name.casefold() in ("id", "index", "row"):
        roles.reasons[name] = "left out: numbers the rows"
    elif _is_text(column) and float(pc.mean(pc.utf8_length(column)).as_py() or 0) > TEXT_LENGTH:
        roles.reasons[name] = "left out: prose"
    elif not _is_number(column) and n_values > MANY:
        roles.reasons[name] = f"left out: {n_values:,} different values are too many to be asked with"
    else:
        roles.context.append(name)
        roles.reasons[name] = f"differs from row to row; {n_values:,} different ones"


def _of_one(log: Any, key: str, name: str) -> bool:
    """Whether every id of ``key`` has one value of a column, and ids come more than once."""
    if pa.types.is_nested(log[name].type):
        return False
    pairs = log.select([key, name]).filter(pc.and_(log[key].is_valid(), log[name].is_valid()))
    n_ids = len(pc.unique(pairs[key].combine_chunks()))
    n_pairs = pairs.group_by([key, name]).aggregate([]).num_rows
    return bool(0 < n_pairs == n_ids < 0.9 * pairs.num_rows)


def _is_number(column: Any) -> bool:
    kind = column.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_float(column: Any) -> bool:
    return bool(pa.types.is_floating(column.type) or pa.types.is_temporal(column.type))


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _is_date(column: Any) -> bool:
    return bool(pa.types.is_timestamp(column.type) or pa.types.is_date(column.type))


def _is_time(column: Any) -> bool:
    if _is_date(column):
        return True
    if not _is_number(column) or pa.types.is_boolean(column.type):
        return False
    middle = pc.approximate_median(column).as_py()
    return middle is not None and EARLIEST < float(middle) < LATEST


def _span(column: Any) -> str:
    low, high = (pc.min_max(column)[end].as_py() for end in ("min", "max"))
    if _is_number(column):
        low, high = (np.datetime64(int(x), "s").astype("datetime64[D]") for x in (low, high))
    return f"from {str(low)[:10]} to {str(high)[:10]}"
