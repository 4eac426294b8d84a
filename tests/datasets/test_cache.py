"""What the cache promises: checked bytes or a clear error, and nothing half-made."""

from __future__ import annotations

import os
from hashlib import sha256
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from crossfm.datasets import cache_dir, get, list_datasets, load, movielens, sources
from crossfm.errors import DownloadError

from .conftest import RECBOLE_FILES, SITE, World, zipped

FILES = ["items.tsv", "ratings.tsv", "users.tsv"]


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_site_comes_first_and_a_second_call_fetches_nothing(cache: Path, world: World) -> None:
    world.site = zipped(SITE)
    folder = get("movielens-100k")
    assert folder == cache / "movielens-100k"
    assert everything_in(folder) == FILES
    assert get("movielens-100k") == folder
    assert world.asked == ["site"]


def test_the_package_index_is_asked_when_the_site_cannot_be_reached(cache: Path, world: World) -> None:
    world.wheel = zipped(RECBOLE_FILES)
    assert everything_in(get("movielens-100k")) == FILES
    assert world.asked == ["site", "index"]


def test_both_sources_leave_the_same_bytes(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.site = zipped(SITE)
    monkeypatch.setenv("CROSSFM_DATA", str(tmp_path / "a"))
    first = get("movielens-100k")
    world.site, world.wheel = sources.SourceError("gone"), zipped(RECBOLE_FILES)
    monkeypatch.setenv("CROSSFM_DATA", str(tmp_path / "b"))
    second = get("movielens-100k")
    assert first != second
    assert [(first / name).read_bytes() for name in FILES] == [(second / name).read_bytes() for name in FILES]


def test_an_installed_package_is_read_where_it_lies(
    cache: Path, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in RECBOLE_FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    spec = ModuleSpec("recbole", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "recbole")]
    monkeypatch.setattr(sources, "find_spec", {"recbole": spec}.get)
    assert load("movielens-100k").ratings.num_rows == 2
    assert world.asked == ["site"]


def test_offline_the_error_names_every_source_and_why_it_failed(cache: Path, world: World) -> None:
    with pytest.raises(DownloadError) as caught:
        get("movielens-100k")
    message = str(caught.value)
    assert "1. files.grouplens.org: no route to host" in message
    assert "2. installed package recbole: it is not installed" in message
    assert "3. package index (recbole==1.2.1): no such index" in message
    assert str(cache) in message
    assert "CROSSFM_DATA" in message


def test_a_failed_fetch_leaves_no_file(cache: Path, world: World) -> None:
    with pytest.raises(DownloadError):
        get("movielens-100k")
    assert everything_in(cache) == ["movielens-100k"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_fetch_leaves_no_file(
    cache: Path, world: World, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    def interrupted(url: str, path: Path) -> None:
        path.write_bytes(b"half")
        raise stop

    monkeypatch.setattr(sources, "download", interrupted)
    with pytest.raises(stop):
        get("movielens-100k")
    assert everything_in(cache) == ["movielens-100k"]


def test_a_wrong_checksum_names_file_and_digests_and_the_file_goes(cache: Path, world: World) -> None:
    changed = {**SITE, "ml-100k/u.data": SITE["ml-100k/u.data"].replace(b"\t5\t", b"\t4\t")}
    world.site = zipped(changed)
    seen = sha256(movielens.from_site(changed)["ratings.tsv"]).hexdigest()
    (expected,) = [entry.files["ratings.tsv"] for entry in list_datasets() if entry.name == "movielens-100k"]
    with pytest.raises(DownloadError, match=f"ratings.tsv has SHA-256 {seen}, expected {expected}"):
        get("movielens-100k")
    assert everything_in(cache) == ["movielens-100k"]


def test_after_a_wrong_checksum_the_next_source_is_asked(cache: Path, world: World) -> None:
    world.site = zipped({**SITE, "ml-100k/u.data": b"1\t2\t3\t4\n"})
    world.wheel = zipped(RECBOLE_FILES)
    assert load("movielens-100k").ratings.num_rows == 2


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"x"), Path.unlink])
def test_a_damaged_cache_is_fetched_again(cache: Path, world: World, damage: object) -> None:
    world.site = zipped(SITE)
    path = get("movielens-100k") / "users.tsv"
    before = path.read_bytes()
    damage(path)
    get("movielens-100k")
    assert path.read_bytes() == before
    assert world.asked == ["site", "site"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"<html>log in to the hotel's network</html>", "not a readable zip archive"),
        (zipped(SITE)[:-100], "not a readable zip archive"),
        (zipped({"ml-100k/u.data": b""}), "no item named 'ml-100k/u.user'"),
        (zipped({**SITE, "ml-100k/u.user": b"1|24|M\n"}), "line 1 has 3 fields, expected 5"),
        (zipped({**SITE, "ml-100k/u.data": b"\xff\xfe"}), "unexpected form"),
    ],
)
def test_an_answer_of_another_form_is_a_reason(cache: Path, world: World, answer: bytes, reason: str) -> None:
    world.site = answer
    with pytest.raises(DownloadError) as caught:
        get("movielens-100k")
    assert reason in str(caught.value).replace("There is n", "n")
    assert everything_in(cache) == ["movielens-100k"]


def test_a_cache_that_cannot_be_written_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CROSSFM_DATA", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match=r"cannot be used: .*Set CROSSFM_DATA"):
        get("movielens-100k")


def test_a_full_disk_is_one_clear_error_and_leaves_no_file(
    cache: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    world.site = zipped(SITE)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match="cannot be used: No space left on device"):
        get("movielens-100k")
    assert everything_in(cache) == ["movielens-100k"]


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROSSFM_DATA", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("CROSSFM_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "crossfm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "crossfm"
