"""What a column means: ``Categorical``, ``Numeric``, ``MultiCategorical``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, Union

from crossfm.errors import OptionError

TRANSFORMS = ("none", "standard", "log", "quantile", "log2")
COMBINERS = ("sum", "mean", "sqrtn")
MAX_BUCKETS = 2**31


@dataclass(frozen=True)
class _Column:
    """What all columns share: a name and the way to JSON and back."""

    name: str
    kind: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON values; ``column_from_json`` makes the column again."""
        return {"kind": self.kind, **asdict(self)}

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise OptionError(f"name is {self.name!r}, but a column's name is a string that is not empty")


@dataclass(frozen=True)
class Categorical(_Column):
    """One value of a set in each cell: a user, a city, a weekday.

    Values are compared by what they say and not by their type: they become strings, whole floats without
    a decimal point, so 1, 1.0 and "1" are one category, and a pandas column that a missing cell turned
    into floats gives the same ids. None, NaN and the empty string are missing (CSV readers do not agree
    on which of them an empty cell is). A date equals its ISO form, a timestamp at midnight equals its date.

    The vocabulary is ordered by falling frequency, ties by the bytes of the value, so that ids of frequent
    features lie together. Missing cells have a feature of their own; values outside the vocabulary share one.

    Parameters
    ----------
    name : str
        The table's column.
    min_count : int, default=1
        Values seen in fewer rows than this stay outside the vocabulary.
    max_size : int or None, default=None
        Keep at most this many values, the most frequent ones.
    hash_buckets : int or None, default=None
        Keep no vocabulary: a value's feature is its hash modulo this number. The hash is FNV-1a of the
        UTF-8 bytes in 64 bits, finished with MurmurHash3's ``fmix64``: the same on every machine, in every
        process. Excludes ``min_count`` and ``max_size``.
    share : str or None, default=None
        Have no features of its own but those of this other column, which has values of the same set: an item, and
        the item seen before. Both learn one vocabulary, from the cells of both, with the other's ``min_count``,
        ``max_size`` or ``hash_buckets``, and have one id, weight and embedding a value; the features of missing and
        unseen values are the other's too. The column stays a field of its own. The other one is a ``Categorical`` or
        ``MultiCategorical`` of the same encoder that does not itself share.

    Raises
    ------
    OptionError
        An option that cannot be, or that means nothing beside another.
    """

    kind: ClassVar[str] = "categorical"
    min_count: int = 1
    max_size: int | None = None
    hash_buckets: int | None = None
    share: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_vocabulary(self)


@dataclass(frozen=True)
class MultiCategorical(_Column):
    """Several values of a set in each cell: genres, tags, the last items seen, items with the ratings they got.

    Cells are lists, text to be split, or maps from values to numbers: dicts, or Arrow's map type. Parts of a text
    lose the blanks around them; empty and missing parts are dropped; a value that comes twice in a cell counts once.
    An empty cell gives no features, a missing one gives the column's missing feature. Values are compared as
    ``Categorical`` does. In a map each value needs a number, and numbers of values that are one feature (unseen ones,
    or those with one hash) are added up.

    Parameters
    ----------
    name, min_count, max_size, hash_buckets, share
        As in ``Categorical``; a value counts once a row (and once more in each column that shares the vocabulary).
    separator : str or None, default="|"
        What parts text cells. None when cells are lists or maps, which need no separator in any case.
    combiner : {"sum", "mean", "sqrtn"}, default="sum"
        The value of each of a cell's n features: 1, 1/n, 1/sqrt(n); in a map times its number.
    """

    kind: ClassVar[str] = "multi"
    separator: str | None = "|"
    combiner: str = "sum"
    min_count: int = 1
    max_size: int | None = None
    hash_buckets: int | None = None
    share: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_vocabulary(self)
        if self.separator is not None and not (isinstance(self.separator, str) and self.separator):
            raise OptionError(
                f"{self.name!r}: separator is {self.separator!r}, but must be text such as '|', or None"
            )
        _check_choice(self, "combiner", COMBINERS)


@dataclass(frozen=True)
class Numeric(_Column):
    """A number in each cell. A missing one (None, NaN, empty text) has a feature of its own, with value 1.

    Parameters
    ----------
    name : str
        The table's column.
    transform : {"standard", "none", "log", "quantile", "log2"}, default="standard"
        What becomes of a number x:

        - "none": x itself.
        - "standard": (x - mean) / deviation over the fitted rows (deviation of all rows, not of a sample).
        - "log": sign(x) log(1 + abs(x)), then as "standard"; for heavy tails.
        - "quantile": one feature a bucket, (-inf, e1], (e1, e2], ...; the edges are fitted values at equal
          steps of rank. Equal edges merge, so there may be fewer buckets than asked for.
        - "log2": one feature a bucket, floor(log(x)**2) with the natural logarithm for x >= 2, as in the
          recipe that won the Criteo contest (Juan, Zhuang, Chin: "3 Idiots' Approach", 2014, which keeps
          each integer up to 2 apart); below 2 there are three buckets: x < 0, [0, 1) and [1, 2).
    n_buckets : int or None, default=None
        "quantile": how many, 10 when None. "log2": at most this many from 2 on, larger x sharing the last;
        None takes as many as the fitted rows need. Other transforms have none.

    References
    ----------
    https://github.com/ycjuan/kaggle-2014-criteo
    """

    kind: ClassVar[str] = "numeric"
    transform: str = "standard"
    n_buckets: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_choice(self, "transform", TRANSFORMS)
        if self.n_buckets is not None and not self.is_bucketed:
            raise OptionError(
                f"{self.name!r}: n_buckets is for 'quantile' and 'log2', not for {self.transform!r}"
            )
        _check_count(self, "n_buckets", 2 if self.transform == "quantile" else 1)

    @property
    def is_bucketed(self) -> bool:
        """Whether a number becomes one feature of several rather than a value."""
        return self.transform in ("quantile", "log2")


Column = Union[Categorical, Numeric, MultiCategorical]  # noqa: UP007  (a value at run time, for isinstance)

_KINDS: dict[str, type[Categorical] | type[Numeric] | type[MultiCategorical]] = {
    kind.kind: kind for kind in (Categorical, Numeric, MultiCategorical)
}


def column_from_json(data: Mapping[str, Any]) -> Column:
    """Make the column that ``to_json`` wrote. Raises ``OptionError`` for anything else."""
    kind = (
        _KINDS.get(data["kind"]) if isinstance(data, Mapping) and isinstance(data.get("kind"), str) else None
    )
    if kind is None:
        raise OptionError(f"{data!r} describes no column; its 'kind' must be one of {', '.join(_KINDS)}")
    options = {key: value for key, value in data.items() if key != "kind"}
    known = {field.name for field in fields(kind)}
    required = {field.name for field in fields(kind) if field.default is MISSING}
    if not required <= set(options) <= known:
        raise OptionError(f"{data!r}: a {data['kind']} column has the options {', '.join(sorted(known))}")
    return kind(**options)


def _check_vocabulary(column: Categorical | MultiCategorical) -> None:
    for option in ("min_count", "max_size", "hash_buckets"):
        _check_count(column, option, 1, none=option != "min_count")
    if column.hash_buckets is not None and (column.min_count != 1 or column.max_size is not None):
        raise OptionError(
            f"{column.name!r}: hash_buckets keeps no vocabulary, so min_count and max_size do not apply"
        )
    if column.share is not None:
        _check_share(column)


def _check_share(column: Categorical | MultiCategorical) -> None:
    if not isinstance(column.share, str) or column.share in ("", column.name):
        raise OptionError(
            f"{column.name!r}: share is {column.share!r}, but must be the name of another column"
        )
    if (column.min_count, column.max_size, column.hash_buckets) != (1, None, None):
        raise OptionError(
            f"{column.name!r} shares with {column.share!r}: give min_count, max_size and hash_buckets there"
        )


def _check_count(column: _Column, option: str, least: int, *, none: bool = True) -> None:
    value = getattr(column, option)
    if value is None and none:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_BUCKETS:
        raise OptionError(
            f"{column.name!r}: {option} is {value!r}, but must be a whole number, {least} to {MAX_BUCKETS}"
        )


def _check_choice(column: _Column, option: str, choices: tuple[str, ...]) -> None:
    value = getattr(column, option)
    if value not in choices:
        raise OptionError(f"{column.name!r}: {option} is {value!r}, but must be one of {', '.join(choices)}")
