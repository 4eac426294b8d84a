"""``Rows``: the one noun between tables and solvers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossfm.errors import DataError, FeatureIndexError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from crossfm.data.relation import Relation

MAX_FEATURES = 2**32 - 1  # ids are uint32; the last value is kept free
AT_ONCE = 1 << 16  # rows whose offsets are compared at once: in cache


@dataclass(frozen=True, eq=False)
class Rows:
    """Sparse rows of features: CSR, or a fixed number of non-zeros a row.

    Attributes
    ----------
    indices : uint32 (nnz,)
        Feature ids, row after row.
    n_features : int
        Ids are below this number.
    indptr : int64 (n_rows + 1,) or None
        Where each row starts; None when every row has ``width`` non-zeros.
    values : float32 (nnz,) or None
        None when every value is 1.
    fields : uint32 (nnz,) or None
        The field (column) of each non-zero. With fixed width and one value a column it may have
        shape (width,): the same fields in every row.
    target : float64 (n_rows,) or None
    weight : float32 (n_rows,) or None
        Sample weights; None when all are 1.
    width : int
        Non-zeros a row when ``indptr`` is None, else 0.
    relations : tuple of Relation
        More features of each row, stored once for all rows that have them; see ``relate``. The other attributes know
        nothing of them.
    """

    indices: NDArray[np.uint32]
    n_features: int
    indptr: NDArray[np.int64] | None = None
    values: NDArray[np.float32] | None = None
    fields: NDArray[np.uint32] | None = None
    target: NDArray[np.float64] | None = None
    weight: NDArray[np.float32] | None = None
    width: int = 0
    relations: tuple[Relation, ...] = ()

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        if self.indptr is not None:
            return len(self.indptr) - 1
        return len(self.indices) // self.width if self.width else 0

    @property
    def nnz(self) -> int:
        """Number of stored non-zeros."""
        return len(self.indices)

    def __len__(self) -> int:
        return self.n_rows

    def offsets(self) -> NDArray[np.int64]:
        """Return CSR offsets (n_rows + 1,), made on the fly for fixed-width rows."""
        if self.indptr is not None:
            return self.indptr
        return np.arange(self.n_rows + 1, dtype=np.int64) * self.width

    def field_of_each(self) -> NDArray[np.uint32] | None:
        """Return ``fields`` expanded to (nnz,), or None."""
        if self.fields is None or len(self.fields) == self.nnz:
            return self.fields
        return np.tile(self.fields, self.n_rows)

    def value_of_each(self) -> NDArray[np.float32]:
        """Return ``values`` (nnz,), made on the fly when they are all 1."""
        return np.ones(self.nnz, np.float32) if self.values is None else self.values

    def with_target(self, target: Any, weight: Any = None) -> Rows:
        """Return the same rows with another target (n_rows,) and sample weight (n_rows,)."""
        target = None if target is None else np.ascontiguousarray(target, np.float64)
        weight = None if weight is None else np.ascontiguousarray(weight, np.float32)
        for name, array in (("target", target), ("weight", weight)):
            if array is not None and array.shape != (self.n_rows,):
                raise DataError(f"{name} has shape {array.shape}, but there are {self.n_rows} rows")
        return replace(self, target=target, weight=weight)

    def take(self, index: Any) -> Rows:
        """Return the rows at ``index`` (positions from 0, or a boolean mask), in that order."""
        index = _positions(index, self.n_rows)
        target = None if self.target is None else self.target[index]
        weight = None if self.weight is None else self.weight[index]
        if self.indptr is None:
            indptr = None

            def chosen(array: NDArray[Any]) -> Any:
                return array.reshape(-1, self.width or 1)[index].ravel()
        else:
            starts = self.indptr[index]
            lengths = self.indptr[index + 1] - starts
            indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            where = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])

            def chosen(array: NDArray[Any]) -> Any:
                return array[where]

        fields = self.fields
        if fields is not None and len(fields) == self.nnz and not (self.width and len(fields) == self.width):
            fields = chosen(fields)
        return Rows(
            indices=chosen(self.indices),
            n_features=self.n_features,
            indptr=indptr,
            values=None if self.values is None else chosen(self.values),
            fields=fields,
            target=target,
            weight=weight,
            width=self.width,
            relations=tuple(relation.take(index) for relation in self.relations),
        )

    def to_csr(self) -> csr_matrix:
        """Return a SciPy CSR matrix (n_rows, n_features), float32; fields, target and relations stay behind."""
        from scipy.sparse import csr_matrix

        indices = self.indices.astype(np.int32 if self.n_features < 2**31 else np.int64)
        shape = (self.n_rows, self.n_features)
        return csr_matrix((self.value_of_each().copy(), indices, self.offsets().copy()), shape=shape)

    def check_ids(self, n_features: int) -> None:
        """Raise ``FeatureIndexError`` when an id is not below ``n_features``.

        Raises ``DataError`` for arrays that do not fit each other, and for values that are not finite.
        """
        self._check_arrays()
        for number, relation in enumerate(self.relations):
            relation.check(self.n_rows, n_features, number)
        if self.nnz == 0 or int(self.indices.max()) < n_features:
            return
        at = int(np.argmax(self.indices >= n_features))
        row = int(np.searchsorted(self.offsets(), at, side="right")) - 1
        raise FeatureIndexError(
            f"row {row} has feature {self.indices[at]}, but the model was fitted with {n_features} features "
            f"(0 to {n_features - 1}). Fit again on data that has it, or drop it from the row."
        )

    def _check_arrays(self) -> None:
        """Refuse offsets and arrays that would lead a kernel outside its memory."""
        if self.indptr is None:
            rising = self.width >= 0 and self.n_rows * self.width == self.nnz
        else:
            ends = self.indptr
            rising = ends[0] == 0 and ends[-1] == self.nnz and bool((ends[1:] >= ends[:-1]).all())
        if not rising:
            raise DataError(
                f"the offsets of the rows do not rise from 0 to {self.nnz}, the number of non-zeros"
            )
        kinds = {"indices": np.uint32, "indptr": np.int64, "values": np.float32, "fields": np.uint32}
        for name, kind in kinds.items():
            array = getattr(self, name)
            if array is not None and (array.dtype != kind or array.ndim != 1):
                raise DataError(
                    f"{name} of the rows is {array.dtype} of shape {array.shape}, expected one row of {np.dtype(kind)}"
                )
        lengths = {"values": (self.nnz,), "fields": (self.nnz, self.width)}
        for name, allowed in lengths.items():
            array = getattr(self, name)
            if array is not None and len(array) not in allowed:
                raise DataError(
                    f"{name} of the rows has {len(array)} entries, but there are {self.nnz} non-zeros"
                )
        if self.values is not None:
            check_finite(self.values, self.offsets(), self.indices)
        for name in ("target", "weight"):
            array = getattr(self, name)
            if array is not None and array.shape != (self.n_rows,):
                raise DataError(f"{name} has shape {array.shape}, but there are {self.n_rows} rows")


def rows_from_csr(X: Any, *, fields: Any = None) -> Rows:
    """Turn a SciPy sparse matrix or array of any format into ``Rows``; stored duplicates are summed.

    ``fields`` is None or (n_features,): the field of each feature. Explicit zeros are kept out, and
    ``values`` is None when all are 1. Raises ``DataError`` for NaN or infinite values, for too many features
    and for a matrix whose parts do not fit each other, ``FeatureIndexError`` for an id outside of it.
    """
    from scipy.sparse import csr_matrix

    csr = csr_matrix(X, copy=False)
    if csr.shape[1] > MAX_FEATURES:
        raise DataError(f"{csr.shape[1]} features, but ids are 32-bit: at most {MAX_FEATURES}. Hash them.")
    _check_matrix(csr)
    with np.errstate(over="ignore"):  # becomes inf, which check_finite names
        values = csr.data.astype(np.float32)
        if not csr.has_canonical_format or (values == 0).any():
            csr = csr.copy()
            csr.sum_duplicates()
            csr.data[csr.data.astype(np.float32) == 0] = 0  # too small for float32
            csr.eliminate_zeros()
            values = csr.data.astype(np.float32)
    check_finite(values, csr.indptr, csr.indices)
    return Rows(
        indices=csr.indices.astype(np.uint32),
        n_features=int(csr.shape[1]),
        values=None if (values == 1).all() else values,
        fields=None if fields is None else np.asarray(fields, np.uint32)[csr.indices],
        **offsets_or_width(csr.indptr.astype(np.int64)),
    )


def rows_from_dense(X: Any, *, fields: Any = None) -> Rows:
    """Turn a dense array (n_rows, n_features) into ``Rows``; zeros are dropped."""
    from scipy.sparse import csr_matrix

    return rows_from_csr(csr_matrix(np.asarray(X)), fields=fields)


def _check_matrix(csr: Any) -> None:
    """Refuse ids and offsets that SciPy took without a look: kernels would read outside their memory."""
    outside = (csr.indices < 0) | (csr.indices >= csr.shape[1])
    if outside.any():
        at = int(np.argmax(outside))
        row = int(np.searchsorted(csr.indptr, at, side="right")) - 1
        raise FeatureIndexError(
            f"row {row} has feature {csr.indices[at]}, but the matrix has {csr.shape[1]} columns "
            f"(0 to {csr.shape[1] - 1}). Correct the matrix's indices or its shape."
        )
    try:
        csr.check_format(full_check=True)
    except ValueError as exc:
        raise DataError(f"the sparse matrix is broken: {exc}. Build it again.") from exc


def check_finite(values: NDArray[Any], indptr: NDArray[Any], indices: NDArray[Any]) -> None:
    """Raise ``DataError`` naming row and feature of the first value that is not finite."""
    if np.isfinite(values).all():
        return
    at = int(np.argmin(np.isfinite(values)))
    row = int(np.searchsorted(indptr, at, side="right")) - 1
    raise DataError(
        f"row {row}, feature {indices[at]}: the value is {values[at]}, but only finite numbers can be used "
        "(float32, up to 3.4e38). Fill or drop missing values and scale very large ones."
    )


def _positions(index: Any, n_rows: int) -> NDArray[np.int64]:
    """Turn a mask or positions into checked positions."""
    index = np.asarray(index)
    if index.dtype == bool:
        if len(index) != n_rows:
            raise DataError(f"a mask of {len(index)} entries, but there are {n_rows} rows")
        return np.flatnonzero(index).astype(np.int64)
    positions: NDArray[np.int64] = index.astype(np.int64, copy=False)
    outside = (positions < 0) | (positions >= n_rows)
    if outside.any():
        raise DataError(f"row {positions[outside][0]} is asked for, but there are {n_rows} rows, from 0")
    return positions


def offsets_or_width(indptr: NDArray[np.int64]) -> dict[str, Any]:
    """Use the fixed-width form when all rows have the same positive number of non-zeros."""
    n_rows, width = len(indptr) - 1, int(indptr[1] - indptr[0]) if len(indptr) > 1 else 0
    starts = range(0, n_rows, AT_ONCE)
    if width > 0 and all((np.diff(indptr[at : at + AT_ONCE + 1]) == width).all() for at in starts):
        return {"indptr": None, "width": width}
    return {"indptr": indptr}


def refuse_relations(*parts: Rows) -> None:
    """Raise ``DataError`` for rows with relations, which would be lost."""
    if any(rows.relations for rows in parts):
        raise DataError(
            "the rows have relations, which do not go here: write them out (crossfm.data.relation.expand)"
        )


def shift_ids(rows: Rows, by: int) -> Rows:
    """Return ``rows`` with every feature id raised by ``by``: a second feature space behind the first."""
    refuse_relations(rows)
    return replace(rows, indices=rows.indices + np.uint32(by), n_features=rows.n_features + by)


def join_rows(left: Rows, right: Rows, *, left_fields: int | None = None) -> Rows:
    """Put the non-zeros of two sets of rows side by side; ids are taken as they are.

    Fields of ``right`` are counted on behind those of ``left`` when both have fields: from ``left_fields`` on, or
    behind the largest that occurs, which is too few where the last field is an empty cell in every row. Target and
    weight are those of ``left``. Raises ``DataError`` when the numbers of rows differ.
    """
    refuse_relations(left, right)
    if left.n_rows != right.n_rows:
        raise DataError(f"{left.n_rows} rows cannot be joined with {right.n_rows} rows")
    a, b = left.offsets(), right.offsets()
    indptr = a + b
    at_left = np.arange(left.nnz) + np.repeat(b[:-1], np.diff(a))
    at_right = np.arange(right.nnz) + np.repeat(a[1:], np.diff(b))

    def side_by_side(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        out = np.empty(len(x) + len(y), x.dtype)
        out[at_left], out[at_right] = x, y
        return out

    fields, more = left.field_of_each(), right.field_of_each()
    if fields is not None and more is not None:
        behind = int(fields.max(initial=0)) + 1 if left_fields is None else left_fields
        fields = side_by_side(fields, more + np.uint32(behind))
    unit = left.values is None and right.values is None
    return Rows(
        indices=side_by_side(left.indices, right.indices),
        n_features=max(left.n_features, right.n_features),
        values=None if unit else side_by_side(left.value_of_each(), right.value_of_each()),
        fields=fields if more is not None else None,
        target=left.target,
        weight=left.weight,
        **offsets_or_width(indptr),
    )
