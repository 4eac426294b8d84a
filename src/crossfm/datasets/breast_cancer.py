"""Breast cancer Wisconsin (diagnostic), which scikit-learn carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

LICENCE = "UCI Machine Learning Repository, CC BY 4.0; a copy comes with scikit-learn."
CITATION = (
    "W. Wolberg, O. Mangasarian, N. Street and W. Street. 1995. Breast Cancer Wisconsin (Diagnostic). UCI Machine "
    "Learning Repository. https://doi.org/10.24432/C5DW2B"
)


@dataclass(frozen=True, eq=False)
class BreastCancer:
    """The measurements and the diagnosis.

    Attributes
    ----------
    X : pyarrow.Table (569, 30)
        float64, one named column a measurement.
    y : int64 (569,)
        1 benign, 0 malignant.
    feature_names, target_names : tuple of str
        ``target_names[y]`` is the diagnosis.
    licence, citation : str
    """

    X: pa.Table
    y: NDArray[np.int64]
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    licence: str = LICENCE
    citation: str = CITATION


def load() -> BreastCancer:
    """Return the set from the installed scikit-learn."""
    import numpy as np
    import pyarrow as pa

    bunch = _bunch()
    names = tuple(str(name) for name in bunch.feature_names)
    X = pa.table(
        {name: np.ascontiguousarray(column) for name, column in zip(names, bunch.data.T, strict=True)}
    )
    return BreastCancer(
        X, bunch.target.astype(np.int64), names, tuple(str(name) for name in bunch.target_names)
    )


@dataclass(frozen=True)
class ScikitLearn:
    """The installed scikit-learn as a source of ``breast-cancer.csv``."""

    def describe(self) -> str:
        """Return the package's name."""
        return "installed package scikit-learn"

    def fetch(self, scratch: Path) -> dict[str, bytes]:
        """Return one CSV file: a header, the target first, then the measurements."""
        del scratch
        bunch = _bunch()
        lines = [",".join(["target", *bunch.feature_names])]
        lines += [
            ",".join([str(int(target)), *(repr(float(x)) for x in row)])
            for target, row in zip(bunch.target, bunch.data, strict=True)
        ]
        return {"breast-cancer.csv": ("\n".join(lines) + "\n").encode()}


def _bunch() -> Any:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer()
