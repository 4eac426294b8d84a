"""Frappe: use of mobile apps in context, in the libFM files of the NFM, AFM and AFN papers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crossfm.errors import DataError

if TYPE_CHECKING:
    from crossfm.data.rows import Rows

N_FEATURES = 5382
N_FIELDS = 10
LICENCE = (
    "L. Baltrunas: research use with citation; no redistribution and no commercial use without permission."
)
CITATION = (
    "L. Baltrunas, K. Church, A. Karatzoglou and N. Oliver. 2015. Frappe: Understanding the Usage and Perception "
    "of Mobile App Recommendations In-The-Wild. arXiv:1505.03014"
)


@dataclass(frozen=True, eq=False)
class Frappe:
    """The three parts; ten one-hot features a row, target 1 (used) or -1 (a drawn negative).

    Attributes
    ----------
    train, validation, test : Rows
        (202027,), (57722,) and (28860,) rows of 5,382 features.
    resampled : bool
        Whether the training negatives are a new draw and not the papers' own; say so beside any result.
    licence, citation : str
    """

    train: Rows
    validation: Rows
    test: Rows
    resampled: bool
    licence: str = LICENCE
    citation: str = CITATION


def frappe(folder: str | os.PathLike[str]) -> Frappe:
    """Read Frappe from a folder of ``frappe.{train,validation,test}.libfm``, plain or ``.gz``.

    ``frappe.train.resampled.libfm`` stands in where the original training file is not there.

    Raises
    ------
    MissingFileError
        A file that is not there.
    ParseError, FeatureIndexError, DataError
        Other contents.
    """
    original = _find(Path(folder), "frappe.train.libfm")
    train = original if original.exists() else _find(Path(folder), "frappe.train.resampled.libfm")
    valid, test = (_find(Path(folder), f"frappe.{part}.libfm") for part in ("validation", "test"))
    return Frappe(_rows(train), _rows(valid), _rows(test), resampled=train != original)


def _find(folder: Path, name: str) -> Path:
    zipped = folder / f"{name}.gz"
    return zipped if zipped.exists() else folder / name


def _rows(path: Path) -> Rows:
    from crossfm.data.readers import read

    rows = read(path, format="libsvm", n_features=N_FEATURES, zero_based=True)
    if rows.width != N_FIELDS:
        raise DataError(
            f"{path}: expected {N_FIELDS} features in every row, as Frappe has. Is it another file?"
        )
    return rows
