"""Designs of choices: what was chosen from a catalogue, for ``FMRanker``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.data.categories import category_codes
from crossfm.data.columns import Categorical, Column, MultiCategorical
from crossfm.data.encode import Encoder, pick
from crossfm.data.rows import Rows
from crossfm.data.tables import as_table
from crossfm.errors import ColumnError, DataError

Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Choices:
    """Choices from a catalogue, as ``FMRanker`` takes them::

        FMRanker(columns=c.columns).fit(c.X, c.y, groups=c.groups, catalogue=c.catalogue)

    Attributes
    ----------
    columns : list of columns
        Of the query.
    X : pyarrow.Table (n_rows,)
        The query side of each choice.
    y : int64 (n_rows,)
        What was chosen: its position in the catalogue.
    groups : int64 (n_rows,)
        Rows of one group chose side by side: none of their choices is a negative of another.
    catalogue : Rows (n_items,)
        One feature each.
    items : pyarrow.Array (n_items,)
        The values of the catalogue, as text, by falling frequency.
    """

    columns: list[Column]
    X: pa.Table
    y: Positions
    groups: Positions
    catalogue: Rows
    items: pa.Array

    def positions(self, values: Any) -> Positions:
        """Return the position of each of ``values`` (n,) in the catalogue, -1 where it is not in it."""
        codes, distinct = category_codes(as_table({"values": values})["values"], "values")
        found = pc.fill_null(pc.index_in(distinct, value_set=self.items), -1).to_numpy(zero_copy_only=False)
        return np.append(found, -1)[codes].astype(np.int64)


def pitf(posts: Any, user: str, item: str, tag: str) -> Choices:
    """Pairwise interaction tensor factorization: which tags a user gives an item, or what is chosen in a context.

    The model is y(u, i, t) = <u_u, t^U_t> + <i_i, t^I_t>. The machine has w_t + <v_u, v_t> + <v_i, v_t>, and terms
    without t, which cancel between two tags: it has a bias a tag more, and one vector of a tag where the model has one
    for users and one for items. Negatives of a post are the tags that it does not have.

    Parameters
    ----------
    posts : table
        A row for each tag that was given.
    user, item, tag : str
        Its columns.

    Raises
    ------
    ColumnError, DataError
        A column that is not there; a row without a tag.

    References
    ----------
    S. Rendle, L. Schmidt-Thieme. Pairwise Interaction Tensor Factorization for Personalized Tag Recommendation. WSDM
    2010. S. Rendle. Factorization Machines. ICDM 2010, section V.
    """
    table = as_table(posts)
    return _choices(table, [Categorical(user), Categorical(item)], tag, _group(table, user, item))


def fpmc(choices: Any, user: str, item: str, time: str) -> Choices:
    """Factorized personalized Markov chain: which item a user takes next, after the last basket B.

    The model is y(u, i) = <v^UI_u, v^IU_i> + 1/|B| sum_{l in B} <v^IL_i, v^LI_l>. The machine has w_i + <v_u, v_i> +
    1/|B| sum_l <v_i, v_l>, and terms without i, which cancel between two items: it has a bias an item more, and one
    vector of an item to choose where the model has one for users and one for baskets. Items of the basket have vectors
    of their own in both, so that "after a comes b" does not say "after b comes a": vocabularies are not shared.
    Negatives are the items that are not in the basket which the choice belongs to. Without a last basket it is ``mf``,
    as an order.

    Parameters
    ----------
    choices : table
        A row for each item that was taken.
    user, item, time : str
        Its columns; see ``last_baskets``.

    Raises
    ------
    ColumnError, DataError
        As ``last_baskets``; a row without an item.

    References
    ----------
    S. Rendle, C. Freudenthaler, L. Schmidt-Thieme. Factorizing Personalized Markov Chains for Next-Basket
    Recommendation. WWW 2010. S. Rendle. Factorization Machines. ICDM 2010, section V.
    """
    table = last_baskets(choices, user, item, time)
    basket = MultiCategorical(_last(item), separator=None, combiner="mean")
    return _choices(table, [Categorical(user), basket], item, _group(table, user, time))


def last_baskets(log: Any, user: str, item: str, time: str) -> pa.Table:
    """Return ``log`` with a column ``last_{item}s``: what the user took at the last time before the row's own.

    Rows of one user and time are one basket. The first basket of a user has an empty list. Rows of later choices
    belong in the same ``log`` as those before them: each looks back only.

    Parameters
    ----------
    log : table
    user, item, time : str
        Its columns. Times are numbers, dates or texts that sort; in days, a basket is what was taken on one day.

    Raises
    ------
    ColumnError, DataError
        A column that is not there, or is there already; a row without a user or a time.
    """
    table, name = as_table(log), _last(item)
    if name in table.column_names:
        raise ColumnError(f"the table has a column {name!r} already; drop or rename it")
    users, items, things = _codes(table, user)[0], *category_codes(pick(table, item), item)
    _codes(table, time)
    when = pc.rank(pick(table, time).combine_chunks(), tiebreaker="dense").to_numpy().astype(np.int64)
    order = np.lexsort((when, users))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(users[order]) != 0) | (np.diff(when[order]) != 0)
    starts = np.flatnonzero(new)
    basket = np.empty(len(order), np.int64)
    basket[order] = np.cumsum(new) - 1
    before = np.maximum(basket - 1, 0)
    follows = users[order[starts[before]]] == users
    lengths = np.where(follows & (basket > 0), np.diff(np.append(starts, len(order)))[before], 0)
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts[before] - (ends - lengths), lengths)
    codes = items[order[places]]
    taken = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=codes < 0), things)
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return table.append_column(name, pa.LargeListArray.from_arrays(offsets, taken))


def _choices(table: pa.Table, columns: list[Column], item: str, groups: Positions) -> Choices:
    _codes(table, item)
    encoder = Encoder([Categorical(item)]).fit(table)
    items = encoder.vocabulary(item)
    features = encoder.features_of(item, table[item])
    return Choices(
        columns,
        table.select([column.name for column in columns]),
        features - encoder.features_of(item, items)[0],
        groups,
        encoder.transform({item: items}),
        items,
    )


def _group(table: pa.Table, one: str, other: str) -> Positions:
    """Number the pairs of values of two columns."""
    (first, _), (second, values) = (category_codes(pick(table, name), name) for name in (one, other))
    _, number = np.unique((first + 1) * (len(values) + 1) + second + 1, return_inverse=True)
    return np.asarray(number, np.int64)


def _codes(table: pa.Table, name: str) -> tuple[Positions, pa.Array]:
    """Return the codes of a column's values. Raises ``DataError`` where one is missing."""
    codes, values = category_codes(pick(table, name), name)
    if (codes < 0).any():
        raise DataError(f"row {int(np.argmin(codes))} has no {name}; fill or drop such rows")
    return codes, values


def _last(item: str) -> str:
    return f"last_{item}s"
