"""Designs of ratings: columns and side tables for regressors and classifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfm.data.categories import category_codes
from crossfm.data.columns import Categorical, Column, MultiCategorical, Numeric
from crossfm.data.encode import pick
from crossfm.data.infer import infer_columns
from crossfm.data.numbers import numbers
from crossfm.data.side import entity_keys, rows_of
from crossfm.data.tables import as_table
from crossfm.errors import ColumnError, DataError, OptionError


@dataclass(frozen=True, eq=False)
class Design(Mapping[str, Any]):
    """Keyword arguments of an estimator: ``FMRegressor(solver="mcmc", **design)``.

    ``a + b`` has the features of both. Side tables of one key are joined: entities of either are known, with missing
    cells (for histories: empty ones) where one table lacks them. Raises ``OptionError`` for a column that both have
    and see differently, ``ColumnError`` for one that two side tables have.

    Attributes
    ----------
    columns : tuple of columns
        Each once, in the order in which they were added.
    tables : dict of str to pyarrow.Table
        Side tables by key; may be empty, and is no keyword argument then.
    histories : frozenset of str
        Columns of side tables that say what an entity met, which is nothing where it is unknown.
    """

    columns: tuple[Column, ...] = ()
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    histories: frozenset[str] = frozenset()

    def __add__(self, other: Design) -> Design:
        kinds = {column.name: column for column in self.columns}
        for column in other.columns:
            if kinds.setdefault(column.name, column) != column:
                raise OptionError(
                    f"column {column.name!r} is {kinds[column.name]} in one design and {column} in the other"
                )
        histories = self.histories | other.histories
        tables = dict(self.tables)
        for key, table in other.tables.items():
            tables[key] = _joined(key, tables[key], table, histories) if key in tables else table
        return Design(tuple(kinds.values()), tables, histories)

    def __getitem__(self, name: str) -> Any:
        return self._keywords()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keywords())

    def __len__(self) -> int:
        return len(self._keywords())

    def _keywords(self) -> dict[str, Any]:
        columns = {"columns": list(self.columns)}
        return columns | {"tables": dict(self.tables)} if self.tables else columns


def mf(user: str, item: str) -> Design:
    """Matrix factorization with biases: y = bias + w_u + w_i + <v_u, v_i>.

    The machine is the model, without any difference: a row has two features of value 1.

    Parameters
    ----------
    user, item : str
        Columns of ``X``.

    References
    ----------
    S. Rendle. Factorization Machines. ICDM 2010, section V.
    """
    return Design((Categorical(user), Categorical(item)))


def implicit(ratings: Any, user: str, item: str) -> Design:
    """What each user met, as features: items j of N(u), with value 1 / sqrt(|N(u)|) each.

    With the roles exchanged, ``implicit(ratings, item, user)``, it is the users that met an item. The column is called
    ``{item}s_of_{user}`` and has a vocabulary of its own: an item that was met is another feature than the item.

    Parameters
    ----------
    ratings : table
        Who met what. Most often the training rows; more rows may be known, such as those whose rating is not. Of a
        pair that comes twice one row counts; rows that lack the user or the item are left out.
    user, item : str
        Columns of ``ratings``; ``X`` needs ``user``.

    Raises
    ------
    ColumnError, DataError
        A column that ``ratings`` does not have; no rows that have both.
    """
    return _history(ratings, user, item, f"{item}s_of_{user}", None)


def svdpp(ratings: Any, user: str, item: str, *, flipped: bool = False) -> Design:
    """SVD++: matrix factorization with what each user met, ``mf(user, item) + implicit(ratings, user, item)``.

    Koren's model is y = bias + b_u + b_i + <q_i, p_u + |N(u)|^-1/2 sum_{j in N(u)} y_j>. The machine has all of it (b
    is w; p, q and y are v of users, items and items met) and more terms, all of the user alone, so that they act as a
    richer b_u: with n = |N(u)|, n^-1/2 sum_j (w_j + <v_u, v_j>) and 1/n sum_{j < l} <v_j, v_l>. Without a history it is
    ``mf``.

    A row's own item is in the user's history where the history is that of the training rows, in both models.

    Parameters
    ----------
    ratings, user, item
        As in ``implicit``. ``X`` needs both columns.
    flipped : bool, default=False
        Add the users that met each item too, ``implicit(ratings, item, user)``.

    References
    ----------
    Y. Koren. Factorization Meets the Neighborhood. KDD 2008. S. Rendle. Factorization Machines. ICDM 2010, section V.
    ``flipped``: S. Rendle, L. Zhang, Y. Koren. On the Difficulty of Evaluating Baselines. arXiv 2019.
    """
    design = mf(user, item) + implicit(ratings, user, item)
    return design + implicit(ratings, item, user) if flipped else design


def time_bins(time: str, n_bins: int | None = 30) -> Design:
    """When a row is from, as one feature.

    Parameters
    ----------
    time : str
        Column of ``X``: numbers, such as seconds since 1970; with ``n_bins`` None anything that can be a category.
    n_bins : int or None, default=30
        Bins of about equally many rows. None: each value is one, for a column of days.
    """
    return Design((Categorical(time) if n_bins is None else Numeric(time, "quantile", n_bins),))


def time_svdpp(
    ratings: Any, user: str, item: str, time: str, *, n_bins: int | None = 30, flipped: bool = False
) -> Design:
    """SVD++ with time: ``svdpp(...) + time_bins(time, n_bins)``, after timeSVD++.

    The bin t adds w_t + <v_u, v_t> + <v_i, v_t> + |N(u)|^-1/2 sum_j <v_j, v_t> to ``svdpp``. So biases of users and
    items move with time, as in Koren's b_u(t) and b_i(t), but through factors: all users have the same bins, where
    Koren has a drift alpha_u dev_u(t) and a free number for each of the user's days, and items have no free number a
    bin. Taste does not move: p_u(t) would be a product of user, item and time, and the machine has pairs. Koren's bins
    are equally long; these have equally many rows.

    Parameters
    ----------
    ratings, user, item, flipped
        As in ``svdpp``.
    time, n_bins
        As in ``time_bins``. ``X`` needs all three columns.

    References
    ----------
    Y. Koren. Collaborative Filtering with Temporal Dynamics. KDD 2009. The machine with a feature for each day
    (``n_bins=None``), also flipped: S. Rendle, L. Zhang, Y. Koren. On the Difficulty of Evaluating Baselines. arXiv
    2019.
    """
    return svdpp(ratings, user, item, flipped=flipped) + time_bins(time, n_bins)


def neighbours(ratings: Any, user: str, item: str, rating: str) -> Design:
    """The ratings that each user gave, as features: item j with value r_uj / sqrt(|R(u)|).

    With the item it is a neighbourhood model whose weights are factorized: |R(u)|^-1/2 sum_j r_uj <v_i, v_j>, where
    v_j are vectors of items as neighbours, beside those as items. Koren has r_uj - b_uj in place of r_uj: subtract it
    before, if that is wanted. The machine has a linear term of each neighbour and pairs of two neighbours besides, and
    with ``mf`` pairs of neighbour and user: terms of the user alone, as in ``svdpp``. ``mf(user, item) +
    neighbours(...)`` is MF with neighbours; with ``implicit(...)`` added it has Koren's N(u) too.

    Every row of a user has the same neighbours, so with a history of the training rows the row's own rating is among
    them, and the machine learns to trust it: on MovieLens-100K (u1, mcmc) ratings less the user's mean then gave RMSE
    0.926, as they are 0.910, and ``mf`` alone 0.909. Pass ratings that are not trained on, such as earlier ones: with
    half of the rows as history and the other half to train on it was 0.947 either way, and ``mf`` on that half 0.954.

    Parameters
    ----------
    ratings, user, item
        As in ``implicit``, but numbers of a pair that comes twice are added up.
    rating : str
        Column of numbers of ``ratings``; the new column is called ``{rating}s_of_{user}``.

    References
    ----------
    Y. Koren. Factor in the Neighbors: Scalable and Accurate Collaborative Filtering. ACM TKDD 2010. As a machine: S.
    Rendle. Factorization Machines with libFM. ACM TIST 2012.
    """
    return _history(ratings, user, item, f"{rating}s_of_{user}", rating)


def attributes(key: str, table: Any, columns: Sequence[Column] | None = None) -> Design:
    """What is known of users, items and the like.

    Each attribute is a feature of every row of its entity, with a weight and factors; add ``mf`` for the entity's own.

    Parameters
    ----------
    key : str
        Column of ``table`` that names the entities, each once, and of ``X``.
    table : table
        One row an entity.
    columns : sequence of columns or None, default=None
        How to encode the attributes; None infers all but the key.

    Raises
    ------
    ColumnError, DataError
        No such key, or no other column to learn from; an entity without a key or with two rows.
    """
    table = as_table(table)
    entity_keys(key, table)
    if columns is None:
        columns = infer_columns(table, exclude=key)
    names = [column.name for column in columns]
    if not names:
        raise ColumnError(f"the table of {key!r} has no column to learn from; pass columns to decide")
    for name in names:
        pick(table, name)
    return Design(tuple(columns), {key: table.select(list(dict.fromkeys([key, *names])))})


def _history(ratings: Any, user: str, item: str, name: str, rating: str | None) -> Design:
    """Return a design of the items (with ratings) of each user."""
    table = as_table(ratings)
    (users, people), (items, things) = (category_codes(pick(table, one), one) for one in (user, item))
    kept = (users >= 0) & (items >= 0)
    if not kept.any():
        raise DataError(
            f"no row of the ratings has both {user!r} and {item!r}, but a history is made of such rows"
        )
    order = np.flatnonzero(kept)[np.argsort(users[kept], kind="stable")]
    met = pa.DictionaryArray.from_arrays(pa.array(items[order].astype(np.int32)), things)
    counts = np.bincount(users[order], minlength=len(people))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    if rating is None:
        cells = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), met)
    else:
        given = pa.array(numbers(pick(table, rating), rating)[order], from_pandas=True)
        cells = pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), met.cast(pa.large_string()), given)
    column = MultiCategorical(name, separator=None, combiner="sqrtn")
    known = pa.table({user: people, name: cells}).filter(pa.array(counts > 0))
    return Design((column,), {user: known}, frozenset([name]))


def _joined(key: str, one: pa.Table, other: pa.Table, histories: frozenset[str]) -> pa.Table:
    """Return the entities of both tables, with the columns of both."""
    twice = sorted(set(one.column_names) & set(other.column_names) - {key})
    if twice:
        raise ColumnError(f"two tables of {key!r} have the column {twice[0]!r}; rename it in one of them")
    keys = pc.unique(pa.concat_arrays([entity_keys(key, one), entity_keys(key, other)]))
    columns = {key: keys}
    for table in (one, other):
        found = rows_of(key, table, keys)
        for name in found.column_names:
            if name != key:
                cells = found[name].combine_chunks()
                columns[name] = pc.fill_null(cells, pa.scalar([], cells.type)) if name in histories else cells
    return pa.table(columns)
