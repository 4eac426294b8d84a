"""Which columns become features, and how: inferred, or as the options say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossfm.cli.reading import check_column
from crossfm.cli.show import say
from crossfm.errors import OptionError

ASKED = "as asked for"
BESIDE = {("--share", "--categorical"), ("--share", "--multi")}  # may be said of one column


@dataclass(frozen=True)
class Overrides:
    """What the options say about columns.

    Attributes
    ----------
    categorical, numeric, drop : tuple of names
    multi : pairs of name and separator
    share : pairs of name and the column whose vocabulary it uses
    """

    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    multi: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    share: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.named())

    def named(self) -> list[tuple[str, str]]:
        """Return (name, option) of every column named."""
        parts = {"--categorical": self.categorical, "--numeric": self.numeric, "--drop": self.drop}
        pairs = [(name, option) for option, listed in parts.items() for name in listed]
        pairs += [(name, "--multi") for name, _ in self.multi]
        return pairs + [(name, "--share") for name, _ in self.share]

    def of(self, table: Any) -> Overrides:
        """Return what is said about the columns of ``table``."""
        known = set(table.column_names)
        return Overrides(
            tuple(name for name in self.categorical if name in known),
            tuple(name for name in self.numeric if name in known),
            tuple(pair for pair in self.multi if pair[0] in known),
            tuple(name for name in self.drop if name in known),
            tuple(pair for pair in self.share if pair[0] in known),
        )

    def check(self, *tables: Any) -> None:
        """Raise for a column that no table has, or that is named twice."""
        import pyarrow as pa

        union = list(dict.fromkeys(name for table in tables for name in table.column_names))
        everything = pa.table({name: pa.nulls(0) for name in union})
        seen: dict[str, str] = {}
        for name, option in self.named():
            check_column(everything, name, option)
            if name in seen and (option, seen[name]) not in BESIDE:
                raise OptionError(f"{name!r} is in {seen[name]} and in {option}; say one thing about it")
            seen[name] = option


def parse_multi(options: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Read ``genres:|``; a name alone has the separator ``|``."""
    pairs = []
    for option in options:
        name, colon, separator = option.partition(":")
        pairs.append((name, separator if colon and separator else "|"))
    return tuple(pairs)


def parse_share(options: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Read ``last_items=item``."""
    pairs = []
    for option in options:
        name, _, owner = option.partition("=")
        if not name or not owner:
            raise OptionError(f"--share {option}, but it must be column=other, such as last_items=item")
        pairs.append((name, owner))
    return tuple(pairs)


def parse_tables(options: Iterable[str]) -> tuple[tuple[str, Path], ...]:
    """Read ``user=users.csv``."""
    pairs: dict[str, Path] = {}
    for option in options:
        key, _, path = option.partition("=")
        if not key or not path:
            raise OptionError(f"--table {option}, but it must be column=file, such as user=users.csv")
        if key in pairs:
            raise OptionError(f"--table {key} is given twice; join {pairs[key]} and {path}")
        pairs[key] = Path(path)
    return tuple(pairs.items())


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
    sharing = dict(overrides.share)
    for name, owner in sharing.items():
        column = kinds.get(name)
        column = Categorical(name) if column is None or isinstance(column, Numeric) else column
        kinds[name] = replace(column, share=owner)
    order = [name for name in table.column_names if name in kinds]
    reasons = {
        name: ASKED if name in named else guessed.reasons[name]
        for name in table.column_names
        if name in guessed.reasons or name in named
    }
    reasons |= {name: f"shares the vocabulary of {owner}" for name, owner in sharing.items()}
    return InferredColumns([kinds[name] for name in order], reasons)


def show_columns(title: str, columns: Any) -> None:
    """Print columns with reasons."""
    say(title)
    for line in columns.explain().splitlines():
        say(f"  {line}")
    say()
