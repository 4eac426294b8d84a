"""A second-order score as an inner product: what recall searches with.

Split the features of a row into a query side Q and an item side T. With S_A = sum_{i in A} x_i V_i,
l_A = sum_{i in A} w_i x_i and P_A the sum over pairs inside A,

    y = [bias + l_Q + P_Q] + <(S_Q ; 1), (S_T ; l_T + P_T)>,

because the pairs across the two sides sum to <S_Q, S_T>. The bracket is the same for every item, so ordering
items by the inner product is ordering them by the machine's own score.

With a weight h_f for each factor, pairs count sum_f h_f v_if v_jf: the weight goes half into either side, its sign
into the query. Machines with a weight for each pair of fields are in ``field_weighted``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.field_params import FFMParams, FieldPairParams
from crossfm.core.params import FMParams, HOFMParams
from crossfm.data.rows import Rows
from crossfm.errors import OptionError
from crossfm.kernels.fm import scores
from crossfm.scoring.field_weighted import FieldWeighted

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FactorWeighted:
    """y = bias + <w, x> + sum_{i<j} sum_f h_f v_if v_jf x_i x_j: a network whose layers are one weight a factor.

    Attributes
    ----------
    params : FMParams
    h : float32 (n_factors,)
    """

    params: FMParams
    h: Floats32

    @property
    def bias(self) -> float:
        """Of the machine."""
        return self.params.bias

    @property
    def w(self) -> Floats32:
        """Linear weights (n_features,)."""
        return self.params.w

    def interactions(self, ids: Any, fields: Any) -> Floats32:
        """Return sum_f h_f v_if v_jf of features ``ids`` (n,) with each other, (n, n)."""
        V = self.params.V[ids]
        return np.asarray((V * self.h) @ V.T)

    def halves(self) -> tuple[FMParams, FMParams]:
        """Return two machines: the score is that of the first (h > 0) less that of the second (h < 0, V alone)."""
        V = self.params.V * np.sqrt(np.abs(self.h))
        more, less = (np.ascontiguousarray(V[:, side]) for side in (self.h > 0, self.h < 0))
        return replace(self.params, V=more), FMParams(0.0, np.zeros_like(self.params.w), less)


Machine = FMParams | FactorWeighted | FieldWeighted


def recall_machine(params: Any, *, n_query_fields: int | None = None) -> Machine:
    """Return what ``item_vectors`` and ``query_vectors`` take of a fitted machine's parameters.

    ``n_query_fields`` is for machines that know fields: fields below it are the query's, the others the item's. Raises
    ``OptionError``, which says why, for a machine whose score is no inner product of a query and an item.
    """
    if isinstance(params, (FMParams, FactorWeighted)):
        return params
    if isinstance(params, FieldPairParams):
        params = FieldWeighted.of(params)
    if isinstance(params, FieldWeighted):
        if n_query_fields is None:
            raise OptionError("a machine that knows fields needs n_query_fields: how many are the query's")
        return params.split(n_query_fields)
    raise OptionError(
        f"{why_not(params)}. Recall with fm, fwfm, or nfm without hidden layers; rank with this one."
    )


def why_not(params: Any) -> str:
    """Say why the score of these parameters is no inner product that can be searched."""
    if isinstance(params, FFMParams):
        n = params.n_factors * params.n_fields
        return (
            f"FFM has a vector for each pair of fields: an item would take up to {n} numbers for each of its "
            "fields, too many to search"
        )
    if isinstance(params, HOFMParams):
        return (
            "HOFM has triples, which put two features of one side beside one of the other: no inner product"
        )
    if isinstance(params, list):
        return f"there are {len(params)} machines, one for each class, and items have one order"
    return f"the score of {type(params).__name__} does not split into a query and an item"


def item_vectors(items: Rows, machine: Machine, *, n_threads: int = 1) -> Floats32:
    """Return (S_T ; l_T + P_T) of each row, (n_items, dim); dim is n_factors + 1, or what ``FieldWeighted`` says.

    Fields of ``items``, where the machine knows them, are counted from 0.
    """
    if isinstance(machine, FieldWeighted):
        return machine.item_vectors(items)
    if isinstance(machine, FactorWeighted):
        more, less = (item_vectors(items, half, n_threads=n_threads) for half in machine.halves())
        return np.hstack([more[:, :-1], less[:, :-1], more[:, -1:] - less[:, -1:]])
    vectors, own = _sums(items, replace(machine, bias=0.0), n_threads)
    vectors[:, -1] = own
    return vectors


def query_vectors(queries: Rows, machine: Machine, *, n_threads: int = 1) -> tuple[Floats32, Floats32]:
    """Return (S_Q ; 1), (n_queries, dim), and the constants bias + l_Q + P_Q, (n_queries,)."""
    if isinstance(machine, FieldWeighted):
        return machine.query_vectors(queries)
    if isinstance(machine, FactorWeighted):
        (more, constant), (less, own) = (
            query_vectors(queries, half, n_threads=n_threads) for half in machine.halves()
        )
        return np.hstack([more[:, :-1], -less[:, :-1], more[:, -1:]]), constant - own
    vectors, constant = _sums(queries, machine, n_threads)
    vectors[:, -1] = 1.0
    return vectors, constant


def _sums(rows: Rows, params: FMParams, n_threads: int) -> tuple[Floats32, Floats32]:
    sums = np.empty((rows.n_rows, params.n_factors), np.float32)
    score = scores(rows, params, n_threads=n_threads, sums=sums)
    out = np.empty((rows.n_rows, params.n_factors + 1), np.float32)
    out[:, :-1] = sums
    return out, score
