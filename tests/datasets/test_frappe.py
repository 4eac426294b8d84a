"""Frappe from a folder of libFM files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from crossfm.datasets import frappe
from crossfm.errors import DataError
from realdata import shared_data

ROW = "1 " + " ".join(f"{i}:1" for i in range(10)) + "\n"
OTHER = "-1 " + " ".join(f"{i}:1" for i in range(5372, 5382)) + "\n"


def put(folder: Path, **parts: str) -> None:
    for part, text in parts.items():
        (folder / f"frappe.{part.replace('_', '.')}.libfm").write_text(text)


def test_three_parts_keep_labels_ids_and_the_number_of_features(tmp_path: Path) -> None:
    put(tmp_path, train=ROW + OTHER, validation=ROW, test=OTHER)
    data = frappe(tmp_path)
    assert data.train.target.tolist() == [1, -1]
    assert data.test.indices.tolist() == list(range(5372, 5382))
    assert [part.n_features for part in (data.train, data.validation, data.test)] == [5382] * 3
    assert not data.resampled


def test_the_new_draw_of_negatives_is_used_only_without_the_original(tmp_path: Path) -> None:
    put(tmp_path, train_resampled=OTHER, validation=ROW, test=ROW)
    assert frappe(tmp_path).resampled
    (tmp_path / "frappe.train.libfm.gz").write_bytes(gzip.compress(ROW.encode()))
    data = frappe(tmp_path)
    assert not data.resampled
    assert data.train.target.tolist() == [1]


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    put(tmp_path, train=ROW, test=ROW)
    with pytest.raises(FileNotFoundError, match=r"frappe\.validation\.libfm"):
        frappe(tmp_path)


@pytest.mark.parametrize("text", [ROW + "1 5:1\n", ROW.replace("9:1", "5382:1"), "1 2:1\n"])
def test_rows_that_are_not_frappe_are_refused(tmp_path: Path, text: str) -> None:
    put(tmp_path, train=text, validation=ROW, test=ROW)
    with pytest.raises(DataError):
        frappe(tmp_path)


def test_the_real_parts_have_their_published_sizes() -> None:
    data = frappe(shared_data("frappe"))
    sizes = [part.n_rows for part in (data.train, data.validation, data.test)]
    assert sizes == [202_027, 57_722, 28_860]
    positives = [int(np.sum(part.target == 1)) for part in (data.train, data.validation, data.test)]
    assert positives == [67_604, 19_063, 9_536]
    assert data.resampled
