"""The table of data sets, and the functions that work on it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfm.datasets import breast_cancer, movielens
from crossfm.datasets.cache import fetch_into_cache, is_cached
from crossfm.datasets.sources import IndexWheel, InstalledPackage, Site, Source
from crossfm.errors import OptionError


@dataclass(frozen=True)
class DataSet:
    """One row of the table of data sets.

    Attributes
    ----------
    name, title : str
    rows : int
        Ratings, or rows of the table.
    licence : str
        What the owner allows, in short.
    files : mapping of str to str
        Name of each cached file, and its SHA-256 in hexadecimal.
    sources : tuple of Source
        Tried in this order when the cache does not have the files.
    """

    name: str
    title: str
    rows: int
    licence: str
    files: Mapping[str, str]
    sources: tuple[Source, ...]
    reader: Callable[[Path], Any] = field(repr=False)
    bundled: bool = False  # an installed dependency carries it: loading needs neither cache nor network

    @property
    def cached(self) -> bool:
        """Whether all files are in the cache, with the expected bytes."""
        return is_cached(self.name, self.files)


DATA_SETS = {
    entry.name: entry
    for entry in (
        DataSet(
            name="movielens-100k",
            title="MovieLens 100K: ratings of movies, with users' and movies' features",
            rows=100_000,
            licence=movielens.LICENCE,
            files={
                "ratings.tsv": "ecb4025ec09d52830e65854de08fd07a79ff7bb9201f7067d753c2f0516e5674",
                "users.tsv": "d307879922714236e165fd2bc58ed81651098a488a5090e2de5738e81f2d74ae",
                "items.tsv": "a39728086e0707ccabefe317cd76e24abd1891b9fb9c7232e7f651eaf123d222",
            },
            sources=(
                Site(
                    "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
                    movielens.SITE_MEMBERS,
                    movielens.from_site,
                ),
                InstalledPackage("recbole", movielens.RECBOLE_MEMBERS, movielens.from_recbole),
                IndexWheel("recbole==1.2.1", movielens.RECBOLE_MEMBERS, movielens.from_recbole),
            ),
            reader=movielens.load,
        ),
        DataSet(
            name="breast-cancer",
            title="Breast cancer Wisconsin (diagnostic): 30 measurements of cell nuclei",
            rows=569,
            licence=breast_cancer.LICENCE,
            files={"breast-cancer.csv": "d29aeaae7f3f3195b885e97c4319209e35476c2cfcef91310e05e04e0fc5caff"},
            sources=(breast_cancer.ScikitLearn(),),
            reader=lambda folder: breast_cancer.load(),
            bundled=True,
        ),
    )
}


def list_datasets() -> list[DataSet]:
    """Return the known data sets, in alphabetical order."""
    return [DATA_SETS[name] for name in sorted(DATA_SETS)]


def get(name: str) -> Path:
    """Fetch a data set into the cache, where it is not there, and return its folder.

    The cache is ``$CROSSFM_DATA``, else ``crossfm`` in the user's cache folder. SHA-256 is checked each time.

    Raises
    ------
    OptionError
        A name that is not in ``list_datasets()``.
    DownloadError
        No source could be reached or gave the expected bytes, or the cache cannot be written.
    """
    entry = _entry(name)
    return fetch_into_cache(name, entry.files, entry.sources)


def load(name: str) -> Any:
    """Return a data set as tables, fetched into the cache first where it is not there.

    Parameters
    ----------
    name : {"movielens-100k", "breast-cancer"}

    Returns
    -------
    MovieLens or BreastCancer

    Raises
    ------
    OptionError, DownloadError
        As ``get``.
    """
    entry = _entry(name)
    return entry.reader(Path() if entry.bundled else get(name))


def _entry(name: str) -> DataSet:
    if name in DATA_SETS:
        return DATA_SETS[name]
    close = difflib.get_close_matches(name, DATA_SETS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise OptionError(f"no data set is called {name!r}; there are {', '.join(sorted(DATA_SETS))}.{hint}")
