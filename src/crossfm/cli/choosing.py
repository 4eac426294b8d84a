"""Which columns become features, and how: inferred, or as the options say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crossfm.cli.reading import check_column
from crossfm.cli.show import say
from crossfm.errors import OptionError

ASKED = "as asked for"


@dataclass(frozen=True)
class Overrides:
    """What the options say about columns.

    Attributes
    ----------
    categorical, numeric, drop : tuple of names
    multi : dict of name to separator
    """

    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    multi: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.categorical or self.numeric or self.multi or self.drop)

    def named(self) -> list[tuple[str, str]]:
        """Return (name, option) of every column named."""
        parts = {"--categorical": self.categorical, "--numeric": self.numeric, "--drop": self.drop}
        pairs = [(name, option) for option, listed in parts.items() for name in listed]
        return [*pairs, *((name, "--multi") for name, _ in self.multi)]

    def check(self, *tables: Any) -> None:
        """Raise for a column that no table has, or that is named twice."""
        import pyarrow as pa

        union = list(dict.fromkeys(name for table in tables for name in table.column_names))
        everything = pa.table({name: pa.nulls(0) for name in union})
        seen: dict[str, str] = {}
        for name, option in self.named():
            check_column(everything, name, option)
            if name in seen:
                raise OptionError(f"{name!r} is in {seen[name]} and in {option}; say one thing about it")
            seen[name] = option


def parse_multi(options: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Read ``genres:|``; a name alone has the separator ``|``."""
    pairs = []
    for option in options:
        name, colon, separator = option.partition(":")
        pairs.append((name, separator if colon and separator else "|"))
    return tuple(pairs)


def choose(table: Any, overrides: Overrides, *, exclude: Iterable[str] = ()) -> Any:
    """Return ``InferredColumns`` of a table: inferred, except for the columns that ``overrides`` names."""
    from crossfm.data.columns import Categorical, MultiCategorical, Numeric
    from crossfm.data.infer import InferredColumns, infer_columns

    asked: dict[str, Any] = {name: Categorical(name) for name in overrides.categorical}
    asked |= {name: Numeric(name) for name in overrides.numeric}
    asked |= {name: MultiCategorical(name, separator=separator) for name, separator in overrides.multi}
    named = [*asked, *overrides.drop]
    left = [name for name in table.column_names if name not in {*exclude, *named}]
    guessed = infer_columns(table.select(left)) if left else InferredColumns([], {})
    kinds = {column.name: column for column in guessed} | asked
    order = [name for name in table.column_names if name in kinds]
    reasons = {
        name: ASKED if name in named else guessed.reasons[name]
        for name in table.column_names
        if name in guessed.reasons or name in named
    }
    return InferredColumns([kinds[name] for name in order], reasons)


def show_columns(title: str, columns: Any) -> None:
    """Print columns with reasons."""
    say(title)
    for line in columns.explain().splitlines():
        say(f"  {line}")
    say()
