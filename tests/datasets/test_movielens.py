"""MovieLens: two published forms, one canonical one; and the original files where they are."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from crossfm.datasets import list_datasets, load, movielens, movielens_u_split
from crossfm.errors import DataError, OptionError
from realdata import shared_data

from .conftest import RECBOLE_FILES, SITE, World, zipped


def test_both_published_forms_become_the_same_bytes() -> None:
    assert movielens.from_site(SITE) == movielens.from_recbole(RECBOLE_FILES)


def test_tables_have_titles_years_and_genres(cache: Path, world: World) -> None:
    world.site = zipped(SITE)
    data = load("movielens-100k")
    assert data.items.to_pydict() == {
        "item_id": [1, 2, 3],
        "title": ['Am\xe9lie, "une" vie', "unknown", "Giving, The"],
        "year": [1995, None, 1995],
        "genres": ["Animation|Comedy", "unknown", "Film-Noir"],
    }
    assert data.users.to_pydict() == {
        "user_id": [1, 2],
        "age": [24, 53],
        "gender": ["M", "F"],
        "occupation": ["technician", "other"],
        "zip_code": ["85711", "T8H1N"],
    }
    assert data.ratings.to_pydict() == {
        "user_id": [1, 2],
        "item_id": [2, 1],
        "rating": [3.0, 5.0],
        "timestamp": [881250949, 891717742],
    }
    assert [str(t) for t in data.ratings.schema.types] == ["int32", "int32", "float", "int64"]
    assert "no redistribution" in data.licence
    assert "Harper" in data.citation


def test_the_expected_digests_are_those_of_the_original_files() -> None:
    folder = shared_data("ml-100k")
    files = {
        name: gzip.decompress((folder / f"{Path(name).name}.gz").read_bytes())
        for name in movielens.SITE_MEMBERS
    }
    made = {name: hashlib.sha256(text).hexdigest() for name, text in movielens.from_site(files).items()}
    (expected,) = [entry.files for entry in list_datasets() if entry.name == "movielens-100k"]
    assert made == expected


@pytest.mark.parametrize("zip_it", [False, True])
def test_a_split_is_read_plain_or_zipped(tmp_path: Path, zip_it: bool) -> None:
    for name, text in (("u2.base", b"1\t2\t3\t4\n5\t6\t1\t8\n"), ("u2.test", b"9\t10\t5\t12\n")):
        (tmp_path / (name + ".gz" * zip_it)).write_bytes(gzip.compress(text) if zip_it else text)
    train, test = movielens_u_split(tmp_path, 2)
    assert train.to_pydict() == {"user_id": [1, 5], "item_id": [2, 6], "rating": [3, 1], "timestamp": [4, 8]}
    assert test.to_pydict() == {"user_id": [9], "item_id": [10], "rating": [5], "timestamp": [12]}


def test_a_split_that_is_not_there_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"u1\.base"):
        movielens_u_split(tmp_path, 1)


@pytest.mark.parametrize("text", ["1\t2\n", "1\t2\t3\t4\nfive\t6\t7\t8\n"])
def test_a_broken_split_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "u1.base").write_text(text)
    with pytest.raises(DataError):
        movielens_u_split(tmp_path, 1)


@pytest.mark.parametrize("n", [0, 6, "c", None])
def test_a_split_with_another_number_is_refused(tmp_path: Path, n: object) -> None:
    with pytest.raises(OptionError, match="official splits"):
        movielens_u_split(tmp_path, n)


@pytest.mark.parametrize(("n", "n_test"), [(1, 20_000), (5, 20_000), ("a", 9_430)])
def test_each_official_split_has_all_ratings_once(n: int | str, n_test: int) -> None:
    folder = shared_data("ml-100k")
    train, test = movielens_u_split(folder, n)
    assert (train.num_rows, test.num_rows) == (100_000 - n_test, n_test)
    pairs = {
        pair
        for table in (train, test)
        for pair in zip(*table.select(["user_id", "item_id"]).to_pydict().values(), strict=True)
    }
    assert len(pairs) == 100_000
