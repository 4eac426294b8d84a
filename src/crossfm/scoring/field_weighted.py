"""Machines with a weight for each pair of fields as inner products; see ``decompose`` for the plain one.

With S_f the sum of x_i V_i over the features of field f, and r_fg the weight of two fields, the pairs across the sides
are

    sum_{f in Q} sum_{g in T} r_fg <S_f, S_g>,

an inner product of one block of n_factors numbers for each field of one side, with the weighted sum over the fields of
the other: the side with fewer fields keeps its blocks, so the vectors are as short as they can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.field_params import FieldPairParams
from crossfm.data.rows import Rows, refuse_relations
from crossfm.errors import DataError, OptionError

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
NUMBERS_AT_ONCE = 1 << 22  # of the sums of all fields of a block of rows


@dataclass(frozen=True, eq=False)
class FieldWeighted:
    """y = bias + <w, x> + sum over pairs of r_fg <V_i, V_j> x_i x_j, or V_i^T M_fg V_j, i in field f and j in field g.

    Attributes
    ----------
    bias : float
    w : float32 (n_features,)
    V : float32 (n_features, n_factors)
    between : float32 (n_fields, n_fields) or (n_fields, n_fields, n_factors, n_factors)
        Of different fields; M_gf is the transpose of M_fg. The diagonal is not read:
    within : float
        the weight of two features of one field.
    n_query_fields : int
        Fields below are the query's, the others the item's.
    """

    bias: float
    w: Floats32
    V: Floats32
    between: Floats32
    within: float
    n_query_fields: int = 0

    @classmethod
    def of(cls, params: FieldPairParams) -> FieldWeighted:
        """Return FwFM or FmFM; two features of one field meet as in the plain machine."""
        n = params.n_fields
        between = np.array([[params.between(a, b) for b in range(n)] for a in range(n)], np.float32)
        between = between.reshape(n, n, *params.pairs.shape[1:])
        return cls(params.bias, params.w, params.V, between, 1.0)

    @classmethod
    def of_pairs(cls, params: FieldPairParams) -> FieldWeighted:
        """Return the same without pairs inside a field."""
        return replace(cls.of(params), within=0.0)

    def split(self, n_query_fields: int) -> FieldWeighted:
        """Return the machine with the first ``n_query_fields`` fields on the query's side."""
        if not 0 <= n_query_fields <= self.n_fields:
            raise OptionError(
                f"n_query_fields={n_query_fields}, but the machine knows {self.n_fields} fields"
            )
        return replace(self, n_query_fields=int(n_query_fields))

    def interactions(self, ids: Any, fields: Any) -> Floats32:
        """Return the weighted products of features ``ids`` (n,) of ``fields`` (n,) with each other, (n, n)."""
        V = self.V[ids]
        weight = self.between[fields[:, None], fields[None, :]]
        products = V @ V.T
        across = weight * products if weight.ndim == 2 else np.einsum("if,ijfg,jg->ij", V, weight, V)
        return np.asarray(np.where(fields[:, None] == fields[None, :], self.within * products, across))

    @property
    def n_fields(self) -> int:
        """Fields of both sides."""
        return len(self.between)

    @property
    def n_blocks(self) -> int:
        """Blocks of n_factors numbers in a vector: fields of the smaller side. One more number stands behind them."""
        return min(self.n_query_fields, self.n_fields - self.n_query_fields)

    def item_vectors(self, items: Rows) -> Floats32:
        """Return vectors (n_items, dim); fields of ``items`` are counted from 0."""
        here = slice(self.n_query_fields, self.n_fields)
        vectors, own = self._vectors(items, here, slice(0, self.n_query_fields))
        vectors[:, -1] = own
        return vectors

    def query_vectors(self, queries: Rows) -> tuple[Floats32, Floats32]:
        """Return vectors (n_queries, dim) and the part of the score that is the query's own (n_queries,)."""
        here = slice(0, self.n_query_fields)
        vectors, own = self._vectors(queries, here, slice(self.n_query_fields, self.n_fields))
        vectors[:, -1] = 1.0
        return vectors, (own + self.bias).astype(np.float32)

    def _vectors(self, rows: Rows, here: slice, there: slice) -> tuple[Floats32, Floats]:
        """Return blocks for the fields of the smaller side, room for one number more, and each row's own score."""
        n_here, n_there = here.stop - here.start, there.stop - there.start
        keeps = n_here < n_there or (n_here == n_there and here.start == 0)
        vectors = np.empty((rows.n_rows, self.n_blocks * self.V.shape[1] + 1), np.float32)
        own = np.empty(rows.n_rows)
        for part, sums, linear, squares in self._sums(rows, n_here):
            blocks = sums if keeps else self._met(sums, self.between[here, there])
            vectors[part, :-1] = blocks.reshape(len(blocks), -1)
            own[part] = linear + self._pairs(sums, self.between[here, here], squares)
        return vectors, own

    def _met(self, sums: Floats, between: NDArray[Any]) -> Floats:
        """Return for each field of the other side what features there meet: sum_f r_fg S_f, or M_fg^T S_f."""
        if between.ndim == 4:
            return np.asarray(np.einsum("nfk,fgkl->ngl", sums, between, optimize=True))
        return np.asarray(np.einsum("nfk,fg->ngk", sums, between, optimize=True))

    def _pairs(self, sums: Floats, between: Floats32, squares: Floats) -> Floats:
        """Return the sum over pairs inside one side (n_rows,)."""
        upper = np.triu(np.ones(between.shape[:2]), 1)
        met = self._met(sums, between * upper.reshape(*upper.shape, *[1] * (between.ndim - 2)))
        inside = 0.5 * (np.einsum("nfk,nfk->n", sums, sums) - squares)
        return np.asarray(np.einsum("nfk,nfk->n", met, sums) + self.within * inside)

    def _sums(self, rows: Rows, n_fields: int) -> Iterator[tuple[slice, Floats, Floats, Floats]]:
        """Yield blocks of rows with S_f (n, n_fields, n_factors), l (n,) and sum_i |x_i V_i|^2 (n,)."""
        from scipy.sparse import csr_matrix

        refuse_relations(rows)
        fields, offsets, values = rows.field_of_each(), rows.offsets(), rows.value_of_each()
        if fields is None or int(fields.max(initial=0)) >= max(n_fields, 1):
            found = "no fields" if fields is None else f"field {int(fields.max())}"
            raise DataError(f"the rows have {found}, but this side of the machine has {n_fields}, from 0")
        lengths = np.einsum("ik,ik->i", self.V, self.V, dtype=np.float64)
        step = max(1, NUMBERS_AT_ONCE // max(1, n_fields * self.V.shape[1]))
        for start in range(0, rows.n_rows, step):
            part = slice(start, min(start + step, rows.n_rows))
            cut = slice(offsets[part.start], offsets[part.stop])
            ids, x, n = rows.indices[cut], values[cut].astype(np.float64), part.stop - part.start
            row = np.repeat(np.arange(n), np.diff(offsets[part.start : part.stop + 1]))
            place = (row * n_fields + fields[cut], ids.astype(np.int64))
            matrix = csr_matrix((values[cut], place), shape=(n * n_fields, len(self.w)))
            sums = np.asarray(matrix @ self.V, np.float64).reshape(n, n_fields, self.V.shape[1])
            linear, squares = np.bincount(row, x * self.w[ids], n), np.bincount(row, x * x * lengths[ids], n)
            yield part, sums, linear.astype(np.float64), squares.astype(np.float64)
