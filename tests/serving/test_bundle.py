"""Bundles: whole or not there, proved before they are served, refused with the reason."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossfm.errors import MissingFileError, ModelFileError, OptionError
from crossfm.recommender.ask import Ask
from crossfm.serving import bundle
from crossfm.serving.bundle import open_bundle, point, pointed, versions, write_bundle
from serving.fakes import FakeModel, open_fake


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(version: str | None = None, *, activate: bool = True, **settings: Any) -> str:
        model = FakeModel(**settings)
        return write_bundle(tmp_path, model, version=version, activate=activate, golden=5, opener=open_fake)

    return write


def test_a_bundle_opens_as_it_was_written(tmp_path: Path, write: Callable[..., str]) -> None:
    version = write(shift=0.5)
    engine, manifest = open_bundle(tmp_path, version, opener=open_fake)
    assert engine.version == version == pointed(tmp_path)
    assert set(manifest["files"]) == {"model.crossfm", "golden.json", "index.json"}
    assert manifest["n_items"] == 20
    assert len(json.loads((tmp_path / version / "golden.json").read_text())) == 5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_golden_requests_can_be_given(tmp_path: Path) -> None:
    ask = Ask(user="1", n=3, where={"genre": "Drama"}, context={"daytime": "evening"})
    write_bundle(tmp_path, FakeModel(), version="a", golden=[ask], opener=open_fake)
    (case,) = bundle.read_golden(tmp_path / "a" / "golden.json")
    assert case["ask"] == ask
    assert len(case["items"]) == 3


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *itertools.product(["model.crossfm", "golden.json", "index.json"], ["flip", "cut", "gone"]),
        ("manifest.json", "cut"),  # it holds the digests of the others; its own notes may change
        ("manifest.json", "gone"),
    ],
)
def test_damage_anywhere_is_noticed(
    tmp_path: Path, write: Callable[..., str], name: str, damage: str
) -> None:
    write("a")
    path = tmp_path / "a" / name
    text = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        at = len(text) // 2
        path.write_bytes(text[:at] if damage == "cut" else text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
    with pytest.raises((ModelFileError, MissingFileError), match="'a'"):
        open_bundle(tmp_path, "a", opener=open_fake)


def test_a_model_that_answers_otherwise_is_refused(tmp_path: Path, write: Callable[..., str]) -> None:
    write("a")

    def drifted(folder: Path, version: str) -> Any:
        engine = open_fake(folder, version)
        engine.shift = 0.01
        return engine

    with pytest.raises(ModelFileError, match="golden request 0"):
        open_bundle(tmp_path, "a", opener=drifted)


def test_scores_may_differ_by_rounding_and_ties_may_change_places() -> None:
    from crossfm.serving.golden import _same

    assert _same(["a", "b"], [2.0, 1.0], ["a", "b"], [2.00001, 1.0])
    assert _same(["a", "b"], [1.0, 1.0], ["b", "a"], [1.0, 1.0])
    assert not _same(["a", "b"], [2.0, 1.0], ["b", "a"], [2.0, 1.0])
    assert not _same(["a", "b"], [2.0, 1.0], ["a", "b"], [2.01, 1.0])
    assert not _same(["a", "b"], [2.0, 1.0], ["a"], [2.0])
    assert not _same(["a", "b"], [1.0, 1.0], ["a", "c"], [1.0, 1.0])


def test_other_columns_than_in_the_manifest_are_refused(tmp_path: Path, write: Callable[..., str]) -> None:
    write("a")

    def renamed(folder: Path, version: str) -> Any:
        engine = open_fake(folder, version)
        schema = engine.schema()
        engine.schema = lambda: {**schema, "context": []}
        return engine

    with pytest.raises(ModelFileError, match="columns are not those in the manifest"):
        open_bundle(tmp_path, "a", opener=renamed)


def test_values_of_columns_do_not_change_the_hash() -> None:
    schema = {"user": "u", "context": [{"name": "day", "kind": "categorical", "values": ["a"]}]}
    other = {"user": "u", "context": [{"name": "day", "kind": "categorical", "values": ["b"]}]}
    moved = {"user": "u", "context": [{"name": "day", "kind": "numeric", "values": None}]}
    assert bundle.schema_hash(schema) == bundle.schema_hash(other) != bundle.schema_hash(moved)


@pytest.mark.parametrize("name", ["../a", "a/b", "..", ".", "", ".hidden", "a" * 65, "a\0b", "-x", "/etc"])
def test_a_version_that_is_a_path_is_refused(tmp_path: Path, write: Callable[..., str], name: str) -> None:
    write("a")
    for call in (open_bundle, point, bundle.read_manifest):
        with pytest.raises(OptionError, match="is no name"):
            call(tmp_path, name)
    with pytest.raises(OptionError, match="is no name"):
        write(name or "/")


def test_files_that_a_manifest_names_stay_in_the_folder(tmp_path: Path, write: Callable[..., str]) -> None:
    write("a")
    path = tmp_path / "a" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../../etc/passwd"] = {"sha256": "", "size": 0}
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelFileError, match="no file of a bundle"):
        open_bundle(tmp_path, "a", opener=open_fake)


def test_a_crash_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_bundle(tmp_path, FakeModel(), version="a", opener=open_fake)
    assert list(tmp_path.iterdir()) == []


def test_a_version_is_written_once(write: Callable[..., str]) -> None:
    write("a")
    with pytest.raises(OptionError, match="already"):
        write("a")


def test_pointing_remembers_what_was_before(tmp_path: Path, write: Callable[..., str]) -> None:
    write("a")
    write("b")
    assert (pointed(tmp_path), pointed(tmp_path, "PREVIOUS")) == ("b", "a")
    point(tmp_path, "a")
    assert (pointed(tmp_path), pointed(tmp_path, "PREVIOUS")) == ("a", "b")
    with pytest.raises(MissingFileError, match="no version 'z'"):
        point(tmp_path, "z")
    write("c", activate=False)
    assert pointed(tmp_path) == "a"


def test_versions_are_listed_newest_first_damaged_ones_with_the_reason(
    tmp_path: Path, write: Callable[..., str]
) -> None:
    for version in ("a", "b"):
        write(version)
    (tmp_path / "a" / "manifest.json").write_text("{")
    told = versions(tmp_path)
    assert [one["version"] for one in told] == ["b", "a"]
    assert "damaged" in told[1]["error"]


def test_an_older_crossfm_says_that_it_is_too_old(tmp_path: Path, write: Callable[..., str]) -> None:
    write("a")
    path = tmp_path / "a" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(ModelFileError, match="has format 2, but this crossfm reads 1; upgrade"):
        open_bundle(tmp_path, "a", opener=open_fake)
