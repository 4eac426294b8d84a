"""``infer_columns``: a first guess at what the columns of a table mean, with reasons.

Rules look at type, name and values of a column; the thresholds below are plain judgement, tuned on
MovieLens, Adult, Frappe, Criteo and Titanic. Nothing is random and nothing is sampled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfm.data.categories import category_codes, is_list, multi_tokens
from crossfm.data.columns import Categorical, Column, MultiCategorical, Numeric
from crossfm.data.numbers import numbers
from crossfm.data.tables import as_table
from crossfm.errors import ColumnError

SEPARATORS = ("|", ";", ",")
MIN_PARTED = 0.1  # of the distinct texts hold the separator
MIN_REUSE = 2.0  # times that each part comes, over the distinct texts
MAX_CODES = 50  # whole numbers with at most this many values, and ...
MAX_CODE_SHARE = 0.05  # ... fewer than this share of the rows, are codes
HEAVY_TAIL = 30  # times the median (the mean where the median is 0) that the maximum reaches
TEXT_LENGTH = 12  # mean characters from which distinct texts are prose or links rather than keys
PROSE_LENGTH = 60  # mean characters from which texts are prose, whether they differ or not
TEXT_SHARE = 0.9  # of the cells differ
TEXT_ROWS = 20  # below this many rows "nearly all differ" says nothing
_USE_OF_TIME = "split by it, or derive hour or weekday as columns of their own"
UNIX_TIME = 1e8  # seconds: later than March 1973

_THING = (
    "user|item|movie|film|product|ads?|advert|advertiser|campaign|creative|device|app|application|channel|os|site|"
    "shop|store|seller|customer|client|member|session|query|brand|category|city|region|country|state|publisher|"
    "author|artist|album|track|song|book|article|news|video|merchant|banner|domain|occupation|job"
)
_ID = f"ids?|uid|uuid|guid|key|code|zip|zipcode|postcode|postal|hash|sku|asin|isbn|ip|({_THING})id"
_AMOUNT = (
    "n|num|number|nb|counts?|cnt|total|sum|amount|qty|quantity|price|cost|clicks|views|avg|mean|max|min|ratio|rate|"
    "pct|percent|share|score"
)
_TIME = "time|timestamp|datetime|date|ts|unixtime"
_THOUSANDS = r"\d,\d{3}(\D|$)"
_DATE = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T]|$)|^\d{1,2}[-/.]([A-Za-z]{3}|\d{1,2})[-/.]\d{4}([ T]|$)"


class InferredColumns(list[Column]):
    """The columns that ``infer_columns`` found, in the table's order: a list, with reasons.

    Attributes
    ----------
    reasons : dict of str to str
        Why, for every column looked at, those left out too.
    left_out : list of str
        Names of the columns that were looked at and left out.
    """

    def __init__(self, columns: Iterable[Column], reasons: dict[str, str]) -> None:
        super().__init__(columns)
        self.reasons = reasons
        chosen = {column.name for column in self}
        self.left_out = [name for name in reasons if name not in chosen]

    def explain(self) -> str:
        """Return one line a column: its name, what it was taken for, and why."""
        kinds = {column.name: _brief(column) for column in self}
        rows = [(name, kinds.get(name, "left out"), reason) for name, reason in self.reasons.items()]
        wide = [max((len(row[at]) for row in rows), default=0) for at in (0, 1)]
        return "\n".join(f"{name:<{wide[0]}}  {kind:<{wide[1]}}  {reason}" for name, kind, reason in rows)

    def __str__(self) -> str:
        return self.explain()


@dataclass(frozen=True)
class _Guess:
    """A column, or None to leave it out, and the reason."""

    column: Column | None
    reason: str


def infer_columns(table: Any, *, exclude: str | Iterable[str] = ()) -> InferredColumns:
    """Guess the columns of ``table`` and say why; ``print`` the result to read it.

    - Text, booleans and Arrow dictionaries become ``Categorical``; text whose cells share parts around
      ``|``, ``;`` or ``,`` and lists become ``MultiCategorical``.
    - Whole numbers (also those that a missing cell turned into floats) become ``Categorical`` when the name
      says id, code, user, item and the like, or when there are few values; other numbers ``Numeric``, with
      ``transform="log"`` for non-negative ones with a heavy tail.
    - Left out: columns without a name, dates and times (split by them, or derive hour or weekday), columns
      with one value, texts that nearly all differ, vectors and other nested types.

    Parameters
    ----------
    table : table
        Anything that ``as_table`` takes.
    exclude : str or iterable of str, default=()
        Columns to pass over: the target, above all.

    Returns
    -------
    InferredColumns
        A list of columns with ``reasons``, ``left_out`` and ``explain()``. It may be empty.

    Raises
    ------
    ColumnError
        ``exclude`` names a column that is not there.
    """
    table = as_table(table)
    passed_over = {exclude} if isinstance(exclude, str) else set(exclude)
    unknown = sorted(passed_over - set(table.column_names))
    if unknown:
        shown = ", ".join(table.column_names[:10])
        raise ColumnError(f"exclude names {unknown[0]!r}, but the table has no such column. It has {shown}.")
    guesses = {name: _guess(name, table[name]) for name in table.column_names if name not in passed_over}
    found = [guess.column for guess in guesses.values() if guess.column is not None]
    return InferredColumns(found, {name: guess.reason for name, guess in guesses.items()})


def _guess(name: str, array: Any) -> _Guess:
    kind, types = array.type, pa.types
    if not name:
        return _Guess(None, "it has no name (a saved row number?); name it to use it")
    if len(array) == 0 or array.null_count == len(array):
        return _Guess(None, "no values")
    if types.is_nested(kind):
        return _guess_nested(name, kind)
    if types.is_temporal(kind):
        return _Guess(None, f"{kind}: {_USE_OF_TIME}")
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _Guess(None, f"{kind}: bytes; decode them to text to use them")
    codes, values = category_codes(array, name)
    n_rows, n_values = int((codes >= 0).sum()), len(np.unique(codes[codes >= 0]))
    if n_values == 0:
        return _Guess(None, "no values")
    if n_values == 1 and n_rows == len(array):
        return _Guess(None, f"constant: every cell is {values[int(codes[0])].as_py()!r}")
    if types.is_boolean(kind):
        return _Guess(Categorical(name), "boolean")
    if types.is_dictionary(kind):
        return _Guess(Categorical(name), f"declared as categories, {n_values} of them")
    if _is_number(kind):
        return _guess_number(name, array, n_rows, n_values)
    return _guess_text(name, values, n_rows, n_values)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _guess_nested(name: str, kind: Any) -> _Guess:
    if pa.types.is_map(kind) and _is_number(kind.item_type):
        return _Guess(MultiCategorical(name, separator=None), "each cell is a map of values to numbers")
    if not is_list(kind):
        return _Guess(None, f"{kind}: only lists of single values, and maps to numbers, can be used")
    if pa.types.is_floating(kind.value_type) or pa.types.is_decimal(kind.value_type):
        return _Guess(None, f"{kind}: a vector of numbers, not a set of categories")
    if pa.types.is_temporal(kind.value_type):
        return _Guess(None, f"{kind}: times")
    return _Guess(MultiCategorical(name, separator=None), "each cell is a list")


def _guess_text(name: str, values: Any, n_rows: int, n_values: int) -> _Guess:
    if pc.mean(pc.match_substring_regex(values, _DATE).cast(pa.float64())).as_py() >= TEXT_SHARE:
        return _Guess(None, f"dates as text: {_USE_OF_TIME}")
    for separator in SEPARATORS:
        reason = _parts(name, values, separator)
        if reason:
            return _Guess(MultiCategorical(name, separator=separator), reason)
    length = pc.mean(pc.utf8_length(values)).as_py()
    many = n_rows >= TEXT_ROWS and n_values >= TEXT_ROWS
    nearly_all_differ = many and n_values >= TEXT_SHARE * n_rows and length >= TEXT_LENGTH
    if (nearly_all_differ and not _names_id(name)) or (many and length >= PROSE_LENGTH):
        seen = f"{n_values} of {n_rows} cells differ, {length:.0f} characters on average"
        return _Guess(None, f"text: {seen}; as a category it would not generalise")
    return _Guess(Categorical(name), f"text, {n_values} values in {n_rows} rows")


def _parts(name: str, values: Any, separator: str) -> str:
    """Say why ``separator`` parts these distinct texts into values that come again, or return ""."""
    parted = pc.match_substring(values, separator)
    share = pc.mean(parted.cast(pa.float64())).as_py()
    if share < MIN_PARTED:
        return ""
    if separator == ",":  # 1,000,000 is a number
        thousands = pc.match_substring_regex(values, _THOUSANDS)
        if 2 * pc.sum(thousands).as_py() > pc.sum(parted).as_py():
            return ""
    tokens = multi_tokens(values, name, separator)
    n_parts = len(tokens.values)
    if len(tokens.codes) < MIN_REUSE * n_parts:
        return ""
    return f"{share:.0%} of {len(values)} texts have {separator!r}, and their {n_parts} parts recur"


def _guess_number(name: str, array: Any, n_rows: int, n_values: int) -> _Guess:
    if pa.types.is_floating(array.type):  # infinite values are for the encoder to refuse, with their row
        array = pc.if_else(pc.is_finite(array), array, pa.scalar(None, array.type))
    x = numbers(array, name)
    x = x[~np.isnan(x)]
    if len(x) == 0:
        return _Guess(None, "no finite values")
    whole = bool((x == np.trunc(x)).all())
    if whole and _has_word(name, _TIME) and x.min() >= UNIX_TIME:
        return _Guess(None, f"looks like Unix time: {_USE_OF_TIME}")
    if whole and _names_id(name):
        return _Guess(Categorical(name), f"whole numbers, and the name says id; {n_values} values")
    if n_values <= 2 and whole:
        return _Guess(Categorical(name), f"whole numbers with {n_values} values: a flag")
    few = n_values <= MAX_CODES and n_values < MAX_CODE_SHARE * n_rows
    if whole and few and not _has_word(name, _AMOUNT):
        return _Guess(Categorical(name), f"whole numbers with few values: {n_values} in {n_rows} rows")
    low, high, middle = float(x.min()), float(x.max()), float(np.median(x)) or float(x.mean())
    if low >= 0 and high >= HEAVY_TAIL * middle > 0:
        return _Guess(
            Numeric(name, "log"),
            f"heavy tail: numbers up to {high:g}, half of them up to {np.median(x):g}",
        )
    return _Guess(Numeric(name), f"numbers from {low:g} to {high:g}, {n_values} values")


def _words(name: str) -> list[str]:
    """Part a name into lower-case words: userId, user_id and "User ID" give user, id."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|\d+", name)]


def _has_word(name: str, pattern: str) -> bool:
    return any(re.fullmatch(pattern, word) for word in _words(name))


def _names_id(name: str) -> bool:
    """Tell whether a name speaks of an id: an id word anywhere, or a thing last (user, not user_age)."""
    words = _words(name)
    if not words or re.fullmatch(_AMOUNT, words[0]) or re.fullmatch(_AMOUNT, words[-1]):
        return False
    return _has_word(name, _ID) or bool(re.fullmatch(_THING, words[-1]))


def _brief(column: Column) -> str:
    """Write a column short: what differs from the defaults of its kind."""
    kind = type(column)
    default = kind(column.name).to_json()
    options = [f"{key}={value!r}" for key, value in column.to_json().items() if default[key] != value]
    return f"{kind.__name__}({', '.join(options)})" if options else kind.__name__
