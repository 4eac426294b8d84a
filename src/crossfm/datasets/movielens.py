"""MovieLens-100K: one canonical form from either source, and the tables.

The site's archive and the recbole wheel hold the same ratings and users; titles differ in form ("Toy Story
(1995)" against a title and a year). Both are rewritten to tab-separated UTF-8 with a header line, in the
original order, and give the same bytes. What only the site has (release day, links) is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

RATINGS = ("user_id", "item_id", "rating", "timestamp")
USERS = ("user_id", "age", "gender", "occupation", "zip_code")
ITEMS = ("item_id", "title", "year", "genres")
TYPES = {
    "user_id": "int32",
    "item_id": "int32",
    "rating": "float32",
    "timestamp": "int64",
    "age": "int32",
    "gender": "string",
    "occupation": "string",
    "zip_code": "string",
    "title": "string",
    "year": "int32",
    "genres": "string",
}
# The order of the 19 flags in u.item.
# fmt: off
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)
# fmt: on

SITE_MEMBERS = ("ml-100k/u.data", "ml-100k/u.user", "ml-100k/u.item")
RECBOLE_FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
RECBOLE_MEMBERS = (f"{RECBOLE_FOLDER}.inter", f"{RECBOLE_FOLDER}.user", f"{RECBOLE_FOLDER}.item")

CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM Transactions "
    "on Interactive Intelligent Systems 5, 4, Article 19. https://doi.org/10.1145/2827872"
)
LICENCE = (
    "GroupLens, University of Minnesota: research use with citation; no redistribution and no commercial use "
    "without permission."
)


@dataclass(frozen=True, eq=False)
class MovieLens:
    """MovieLens-100K as Arrow tables.

    Attributes
    ----------
    ratings : pyarrow.Table (100000,)
        user_id, item_id (int32), rating (float32, 1 to 5), timestamp (int64, seconds since 1970, UTC).
    users : pyarrow.Table (943,)
        user_id, age (int32, years), gender, occupation, zip_code (string).
    items : pyarrow.Table (1682,)
        item_id (int32), title (string, without the year), year (int32; null for the one item without a
        name), genres (string, separated by ``|``).
    licence, citation : str
    """

    ratings: pa.Table
    users: pa.Table
    items: pa.Table
    licence: str = LICENCE
    citation: str = CITATION


def from_site(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Bring ``u.data``, ``u.user`` and ``u.item`` (Latin-1) to canonical form."""
    data, user, item = (files[member] for member in SITE_MEMBERS)
    return _canonical(
        _records(data, "\t", len(RATINGS)),
        _records(user, "|", len(USERS)),
        [_site_item(fields) for fields in _records(item, "|", 5 + len(GENRES), encoding="latin-1")],
    )


def from_recbole(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Bring recbole's atomic files (UTF-8, one header line) to canonical form."""
    inter, user, item = (_records(files[member], "\t", width)[1:] for member, width in _recbole_widths())
    return _canonical(inter, user, [_recbole_item(fields) for fields in item])


def load(folder: Path) -> MovieLens:
    """Read the canonical files in ``folder``."""
    ratings, users, items = (_read_table(folder / name) for name in ("ratings.tsv", "users.tsv", "items.tsv"))
    return MovieLens(ratings, users, items)


def movielens_u_split(folder: str | os.PathLike[str], n: int | str) -> tuple[pa.Table, pa.Table]:
    """Read one of the official splits from a folder with the set's original files, plain or ``.gz``.

    Parameters
    ----------
    folder : path
        Holds ``u1.base`` and ``u1.test``, and so on.
    n : {1, 2, 3, 4, 5, "a", "b"}
        1 to 5: five-fold cross-validation (80,000 and 20,000 ratings); a, b: ten test ratings of each user.

    Returns
    -------
    train, test : pyarrow.Table
        user_id, item_id, rating, timestamp, as in ``MovieLens.ratings``.

    Raises
    ------
    OptionError
        Another ``n``.
    MissingFileError, ParseError
        A file that is not there, or that is not such a split.
    """
    from crossfm.errors import OptionError

    if str(n) not in {"1", "2", "3", "4", "5", "a", "b"}:
        raise OptionError(f"n is {n!r}, but the official splits are 1, 2, 3, 4, 5, 'a' and 'b'")
    return _read_split(Path(folder) / f"u{n}.base"), _read_split(Path(folder) / f"u{n}.test")


def _read_split(path: Path) -> pa.Table:
    from crossfm.data.readers import read

    zipped = path.with_name(path.name + ".gz")
    types = {name: TYPES[name] for name in RATINGS}
    return read(
        zipped if zipped.exists() and not path.exists() else path,
        format="tsv",
        header=False,
        column_names=RATINGS,
        column_types=types,
    )


def _read_table(path: Path) -> pa.Table:
    """Read a canonical file, whose bytes are known: no quotes, null only as an empty year."""
    import pyarrow as pa
    from pyarrow import csv

    types = {name: pa.type_for_alias(alias) for name, alias in TYPES.items()}
    return csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False),
    )


def _recbole_widths() -> Iterable[tuple[str, int]]:
    return zip(RECBOLE_MEMBERS, (len(RATINGS), len(USERS), len(ITEMS)), strict=True)


def _site_item(fields: Sequence[str]) -> list[str]:
    flags = fields[5:]
    genres = [genre for genre, flag in zip(GENRES, flags, strict=True) if flag == "1"]
    return [fields[0], *_title_and_year(fields[1]), "|".join(genres)]


def _recbole_item(fields: Sequence[str]) -> list[str]:
    number, title, year, genres = fields
    if title == "unkonwn":  # its spelling of the one movie without a name
        title, year = "unknown", ""
    elif not re.fullmatch(r"\d{4}", year):  # "(1995) (V)", for video, was cut at the wrong place
        title, year = _title_and_year(title)
    return [number, title, year, "|".join(genres.split())]


def _title_and_year(text: str) -> tuple[str, str]:
    """Split "Toy Story (1995)", with or without a "(V)" behind it; without a year the whole is the title."""
    match = re.fullmatch(r"(.*\S)\s*\((\d{4})\)\s*(?:\(V\))?\s*", text)
    return (match[1], match[2]) if match else (text, "")


def _records(content: bytes, separator: str, width: int, encoding: str = "utf-8") -> list[list[str]]:
    """Split lines into fields; raises ``ValueError`` naming a line with another number of them."""
    lines = content.decode(encoding).replace("\r\n", "\n").rstrip("\n").split("\n")
    records = [line.split(separator) for line in lines]
    for number, record in enumerate(records, 1):
        if len(record) != width:
            raise ValueError(f"line {number} has {len(record)} fields, expected {width}")
    return records


def _canonical(
    ratings: Iterable[Sequence[str]], users: Iterable[Sequence[str]], items: Iterable[Sequence[str]]
) -> dict[str, bytes]:
    tables = {"ratings.tsv": (RATINGS, ratings), "users.tsv": (USERS, users), "items.tsv": (ITEMS, items)}
    return {
        name: "".join("\t".join(record) + "\n" for record in (header, *records)).encode()
        for name, (header, records) in tables.items()
    }
