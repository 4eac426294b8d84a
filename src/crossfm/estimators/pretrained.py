"""Vectors of a column's values that were learnt elsewhere: where embeddings start instead of at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.data.encode import Encoder
from crossfm.errors import OptionError


def listed_vectors(
    pretrained: Any, encoder: Encoder | None, n_factors: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the features (n,) that ``pretrained`` lists, and their vectors (n, n_factors).

    ``pretrained`` is {column: (values, vectors)} or {column: {value: vector}}; values outside the vocabulary are left
    out. Raises ``ColumnError`` for a column that is not there, ``OptionError`` for one without a vocabulary, for rows
    without columns, for vectors of another shape or not finite, and for a value given twice.
    """
    if not isinstance(pretrained, Mapping):
        raise OptionError(f"pretrained is a {type(pretrained).__name__}, but a dict of columns is expected")
    if encoder is None:
        raise OptionError(
            "pretrained says vectors of columns, but X has no named columns: pass a DataFrame, an Arrow table or a "
            "dict of arrays"
        )
    ids, vectors = [np.zeros(0, np.int64)], [np.zeros((0, n_factors), np.float32)]
    for name, listed in pretrained.items():
        values, V = _pair(name, listed, n_factors)
        found = encoder.features_of(name, values)
        ids.append(found[found >= 0])
        vectors.append(V[found >= 0])
    features = np.concatenate(ids)
    distinct, times = np.unique(features, return_counts=True)
    if (times > 1).any():
        twice = encoder.feature_names()[distinct[times > 1][0]]
        raise OptionError(f"pretrained has more than one vector for {twice}; give one")
    return features, np.concatenate(vectors)


def _pair(name: str, listed: Any, n_factors: int) -> tuple[Any, NDArray[np.float32]]:
    """Return the values (n,) and vectors (n, n_factors) of a column."""
    if isinstance(listed, Mapping):
        listed = list(listed), list(listed.values())
    if not isinstance(listed, (tuple, list)) or len(listed) != 2:
        raise OptionError(
            f"pretrained[{name!r}] is a {type(listed).__name__}, but a pair (values, vectors) or a dict is expected"
        )
    values, vectors = listed
    try:
        n = len(values)
        with np.errstate(over="ignore"):  # said below
            V = np.asarray(vectors, np.float32)
    except (TypeError, ValueError) as exc:
        raise OptionError(f"pretrained[{name!r}] holds no list of values with a matrix of numbers") from exc
    if V.shape != (n, n_factors):
        raise OptionError(
            f"pretrained[{name!r}] has vectors of shape {V.shape}, but {n} values need ({n}, {n_factors}): "
            f"n_factors={n_factors}"
        )
    if not np.isfinite(V).all():
        raise OptionError(
            f"pretrained[{name!r}] has a number that is not finite, of value {list(values)[_first_bad(V)]!r}"
        )
    return values, V


def _first_bad(V: NDArray[np.float32]) -> int:
    return int(np.argmin(np.isfinite(V).all(axis=1)))
