"""Exact parts of a machine's score: the bias, each column, each pair of columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.params import FMParams
from crossfm.data.rows import Rows
from crossfm.errors import DataError

MAX_COLUMNS = 512  # pairs grow with the square


@dataclass(frozen=True, eq=False)
class Explanation:
    """Raw scores split into parts that add up to them.

    Attributes
    ----------
    bias : float
    columns : float64 (n_rows, n_columns)
        A column's own part: sum of w_i x_i over its features, and the pairs inside it (several values in one
        cell).
    pairs : float64 (n_rows, n_pairs)
        Sum of <V_i, V_j> x_i x_j over features i of one column and j of the other.
    names : list of str (n_columns,)
    pair_of : int (n_pairs, 2)
        The two columns of each pair.
    """

    bias: float
    columns: NDArray[np.float64]
    pairs: NDArray[np.float64]
    names: list[str]
    pair_of: NDArray[np.int64]

    @property
    def pair_names(self) -> list[tuple[str, str]]:
        """Names of the two columns of each pair."""
        return [(self.names[a], self.names[b]) for a, b in self.pair_of]

    def score(self) -> NDArray[np.float64]:
        """Return the sum of all parts (n_rows,)."""
        return np.asarray(self.bias + self.columns.sum(axis=1) + self.pairs.sum(axis=1))

    def importance(self) -> list[tuple[str, float]]:
        """Return columns and pairs ("a x b") with the deviation of their part over the rows, largest first.

        The deviation, not the mean: a part that is the same in every row decides nothing.
        """
        parts = np.hstack([self.columns, self.pairs])
        labels = [*self.names, *(f"{a} x {b}" for a, b in self.pair_names)]
        spread = parts.std(axis=0) if len(parts) else np.zeros(len(labels))
        order = np.argsort(-spread, kind="stable")
        return [(labels[i], float(spread[i])) for i in order]

    def row(self, index: int) -> list[tuple[str, float]]:
        """Return the parts of one row, bias included, largest size first."""
        parts = [("bias", self.bias)]
        parts += list(zip(self.names, self.columns[index].tolist(), strict=True))
        pairs = self.pairs[index].tolist()
        parts += [(f"{a} x {b}", value) for (a, b), value in zip(self.pair_names, pairs, strict=True)]
        return sorted(parts, key=lambda part: -abs(part[1]))


def mean_explanation(each: Iterable[Explanation]) -> Explanation:
    """Return the mean of explanations of the same rows and columns, of at least one machine."""
    parts = iter(each)
    first = next(parts)
    n, bias, columns, pairs = 1, first.bias, first.columns.copy(), first.pairs.copy()
    for other in parts:  # one at a time: each is as large as the rows
        n += 1
        bias += other.bias
        columns += other.columns
        pairs += other.pairs
    return Explanation(bias / n, columns / n, pairs / n, first.names, first.pair_of)


def explain_rows(rows: Rows, params: Any, names: list[str] | None = None) -> Explanation:
    """Split the scores of ``rows`` under ``FMParams``, ``FFMParams`` or ``FieldPairParams``.

    ``names`` (n_fields,) names the fields.

    Rows without fields take each feature that occurs as a column of its own; ``names`` (n_features,) then names
    the features. Raises ``DataError`` when there are more than ``MAX_COLUMNS`` columns, or fields without a name, and
    for a machine that is more than features and pairs.
    """
    from scipy.sparse import csr_matrix

    if hasattr(params, "interactions"):
        return _explain_pairs(rows, params, names)
    if not isinstance(params, FMParams):
        raise DataError(
            f"the parts of {type(params).__name__.removesuffix('Params')} are not columns and pairs alone: it has "
            "products of three features. Explain a machine of degree 2."
        )
    field, names = _fields(rows, names)
    n_fields, n_rows, k = len(names), rows.n_rows, params.n_factors
    row = np.repeat(np.arange(n_rows), np.diff(rows.offsets()))
    x = rows.value_of_each().astype(np.float64)
    cell = row * n_fields + field
    V = params.V.astype(np.float64)
    shape = (n_rows * n_fields, rows.nnz)
    nonzero = np.arange(rows.nnz)
    sums = np.asarray(csr_matrix((x, (cell, nonzero)), shape=shape) @ V[rows.indices])
    squares = np.bincount(cell, (V[rows.indices] ** 2).sum(axis=1) * x**2, n_rows * n_fields)
    linear = np.bincount(cell, params.w[rows.indices].astype(np.float64) * x, n_rows * n_fields)
    own = linear + 0.5 * ((sums**2).sum(axis=1) - squares)
    sums = sums.reshape(n_rows, n_fields, k)
    first, second = np.triu_indices(n_fields, 1)
    pairs = np.empty((n_rows, len(first)))
    for start in range(0, n_rows, 1024):  # bounded memory: 1024 x fields x fields at a time
        part = sums[start : start + 1024]
        pairs[start : start + 1024] = (part @ part.transpose(0, 2, 1))[:, first, second]
    pair_of = np.stack([first, second], axis=1)
    return Explanation(float(params.bias), own.reshape(n_rows, n_fields), pairs, names, pair_of)


def _explain_pairs(rows: Rows, params: Any, names: list[str] | None) -> Explanation:
    """Add up the machine's own interactions, row by row."""
    assert rows.fields is not None  # of every machine that has interactions
    column, names = _fields(rows, names)
    n_columns, offsets = len(names), rows.offsets()
    fields, x = rows.field_of_each(), rows.value_of_each().astype(np.float64)
    columns = np.zeros((rows.n_rows, n_columns))
    first, second = np.triu_indices(n_columns, 1)
    pairs = np.zeros((rows.n_rows, len(first)))
    for row in range(rows.n_rows):
        here = slice(offsets[row], offsets[row + 1])
        ids, where, value = rows.indices[here].astype(np.int64), column[here], x[here]
        between = params.interactions(ids, fields[here].astype(np.int64)) * np.outer(value, value)  # type: ignore[index]
        square = np.zeros((n_columns, n_columns))
        a, b = np.triu_indices(len(ids), 1)
        np.add.at(square, (where[a], where[b]), between[a, b])
        columns[row] = np.bincount(where, params.w[ids] * value, n_columns) + np.diag(square)
        pairs[row] = (square + square.T)[first, second]
    return Explanation(float(params.bias), columns, pairs, names, np.stack([first, second], axis=1))


def _fields(rows: Rows, names: list[str] | None) -> tuple[NDArray[Any], list[str]]:
    field: NDArray[Any] | None = rows.field_of_each()
    if field is None:
        occurring, field = np.unique(rows.indices, return_inverse=True)
        known = names is not None and len(names) == rows.n_features
        names = [names[i] if known and names else f"feature {i}" for i in occurring]
    elif names is None:
        names = [f"field {i}" for i in range(int(field.max()) + 1 if len(field) else 0)]
    elif len(field) and int(field.max()) >= len(names):
        raise DataError(
            f"the rows have field {int(field.max())}, but there are only {len(names)} names of fields"
        )
    if len(names) > MAX_COLUMNS:
        raise DataError(
            f"{len(names)} columns make {len(names) * (len(names) - 1) // 2} pairs, but at most {MAX_COLUMNS} columns "
            "can be explained. Pass fewer rows, or rows that say the field of each feature."
        )
    return field.astype(np.int64), names
