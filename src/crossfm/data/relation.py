"""Relations: what many rows of a table share, such as all that is known of a user, stored once.

The block structure of S. Rendle, "Scaling Factorization Machines to Relational Data", VLDB 2013.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.data.rows import MAX_FEATURES, Rows, join_rows, rows_from_csr, rows_from_dense, shift_ids
from crossfm.errors import DataError


@dataclass(frozen=True, eq=False)
class Relation:
    """Rows of a side table, and which of them each row of the main table has.

    Attributes
    ----------
    rows : Rows (n_entities,)
        Ids in the feature space of the whole; no target.
    index : uint32 (n_rows,)
        The entity of each row of the main table.
    """

    rows: Rows
    index: NDArray[np.uint32]

    def take(self, positions: NDArray[np.int64]) -> Relation:
        """Return the same entities for the main rows at ``positions``."""
        return replace(self, index=self.index[positions])

    def check(self, n_rows: int, n_features: int, number: int) -> None:
        """Raise ``DataError`` or ``FeatureIndexError`` for a relation that does not fit its ``n_rows`` main rows."""
        if self.index.dtype != np.uint32 or self.index.shape != (n_rows,):
            raise DataError(
                f"relation {number} has an index of {self.index.dtype} and shape {self.index.shape}, but one uint32 "
                f"for each of the {n_rows} rows is expected"
            )
        if n_rows and int(self.index.max()) >= self.rows.n_rows:
            raise DataError(
                f"relation {number}: row {int(np.argmax(self.index))} has entity {self.index.max()}, but there are "
                f"{self.rows.n_rows}, from 0"
            )
        self.rows.check_ids(n_features)


def relate(X: Any, *relations: tuple[Any, Any]) -> Rows:
    """Return the rows of ``X`` with those of side tables, each stored once for all rows that have it.

    ``solver="als"`` and ``solver="mcmc"`` never write the relations out: their time and memory go by the rows of the
    side tables and one look at ``X``, not by the features that its rows have in all. Other solvers and machines take
    them too, written out (``expand``). The model is the same.

    Parameters
    ----------
    X : sparse matrix, array or Rows (n_rows, n_features), or None
        Features that every row has of its own; None where there are none.
    *relations : pairs (X_side, index)
        ``X_side`` is a sparse matrix, array or ``Rows`` (n_entities, n_side_features), for instance what is known of
        each user, ``index`` (n_rows,) says from 0 which of its rows each row of ``X`` has. Columns of a matrix become
        features behind those of ``X`` and of the relations before; ids of ``Rows`` are taken as they are.

    Raises
    ------
    DataError
        No relation, an index of another length, outside of its side table or not of whole numbers.
    """
    if not relations or not all(isinstance(one, (tuple, list)) and len(one) == 2 for one in relations):
        raise DataError("relate needs pairs (X_side, index) behind X, at least one")
    if X is None:
        nothing = np.zeros(np.size(relations[0][1]) + 1, np.int64)
        main = Rows(np.zeros(0, np.uint32), 0, indptr=nothing)
    else:
        main = _rows(X)
    n_features, own = main.n_features, []
    for number, (X_side, index) in enumerate(relations):
        rows = _rows(X_side)
        if not isinstance(X_side, Rows):
            if n_features + rows.n_features > MAX_FEATURES:
                raise DataError(f"more than {MAX_FEATURES} features, but ids are 32-bit. Hash them.")
            rows = shift_ids(rows, n_features)
        n_features = max(n_features, rows.n_features)
        if rows.relations:
            raise DataError(f"relation {number} has relations itself; give them side by side")
        own.append(Relation(rows, _index(index, rows.n_rows, number)))
    whole = [replace(one, rows=replace(one.rows, n_features=n_features)) for one in own]
    related = replace(main, n_features=n_features, relations=tuple(whole))
    related.check_ids(n_features)
    return related


def expand(rows: Rows) -> Rows:
    """Return ``rows`` with all features of their relations written out in every row."""
    plain = replace(rows, relations=())
    for relation in rows.relations:
        plain = join_rows(plain, relation.rows.take(relation.index), left_fields=0)
    return plain


def _rows(X: Any) -> Rows:
    if isinstance(X, Rows):
        return X
    try:
        return rows_from_dense(X) if isinstance(X, np.ndarray) else rows_from_csr(X)
    except (TypeError, ValueError) as exc:
        raise DataError(
            f"relate takes sparse matrices, arrays of numbers and Rows, but has a {type(X).__name__}: {exc}. Tables go "
            "to an estimator's tables=."
        ) from exc


def _index(index: Any, n_entities: int, number: int) -> NDArray[np.uint32]:
    given = np.asarray(index)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise DataError(
            f"relation {number} has an index of {given.dtype} and shape {given.shape}, but a whole number for each row "
            "is expected"
        )
    if len(given) and (int(given.min()) < 0 or int(given.max()) >= n_entities):
        row = int(np.argmax((given < 0) | (given >= n_entities)))
        raise DataError(
            f"relation {number}: row {row} has entity {given[row]}, but there are {n_entities}, from 0"
        )
    return given.astype(np.uint32)
