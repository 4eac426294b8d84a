"""Items that have attributes in common with what the user did of late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.recommender.channels.postings import Mask, Postings, best_of
from crossfm.recommender.filters import Filters, Values
from crossfm.recommender.seen import Positions, distinct_pairs

Floats64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """TF-IDF vectors of some items.

    Attributes
    ----------
    at : int64 (n,)
        Positions of the items, rising.
    of_item : Postings (n, n_values)
    of_value : Postings (n_values, n)
    """

    at: Positions
    of_item: Postings
    of_value: Postings

    @classmethod
    def of(cls, at: Positions, item: Positions, code: Positions, idf: Floats64) -> Part:
        """Make vectors from distinct pairs of an item's place in ``at`` and a value's code."""
        norm = np.sqrt(np.bincount(item, idf[code] ** 2, len(at)))
        some = idf[code] > 0
        item, code = item[some], code[some]
        value = idf[code] / norm[item]
        shape = len(at), len(idf)
        return cls(at, Postings.of(item, code, value, shape), Postings.of(code, item, value, shape[::-1]))

    def profile(self, recent: Positions, out: Floats64) -> None:
        """Add the vectors of those items of ``recent`` that are of this part to ``out`` (n_values,)."""
        if not len(self.at):
            return
        place = np.minimum(np.searchsorted(self.at, recent), len(self.at) - 1)
        code, total = self.of_item.sums(place[self.at[place] == recent])
        out[code] += total

    def pairs(self) -> tuple[Positions, Positions]:
        """Return position and code of each entry."""
        length = np.diff(self.of_item.indptr)
        return np.repeat(self.at, length), self.of_item.columns.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Tags:
    """Items that share values of attributes with the user's history H, rare values first.

        x_iv = idf(v) / |x_i| for each value v of item i,  idf(v) = log(N / n_v),  so that |x_i| = 1
        score(j) = <mean of x_i over i in H, x_j>, the mean cosine of j to what is in H

    with N items, n_v of which have v. Values are those of all categorical features of the items together; values that
    came after the training are not known.

    Attributes
    ----------
    names : dict of column to pyarrow strings
        Its values; codes go on from column to column.
    separators : dict of column to str
    idf : float64 (n_values,)
    base, later : Part
        Items as they were, and those that came or changed since, which count there alone.

    References
    ----------
    G. Salton, C. Buckley. Term-weighting approaches in automatic text retrieval. Information Processing & Management
    1988; as profiles of users: M. Pazzani, D. Billsus, Content-Based Recommendation Systems, 2007.
    """

    names: dict[str, Any]
    separators: Mapping[str, str]
    idf: Floats64
    base: Part
    later: Part

    @classmethod
    def of(cls, values: Mapping[str, Values], separators: Mapping[str, str], n_items: int) -> Tags:
        """Learn from the values of each column (n_items cells)."""
        names = {name: own.names for name, own in values.items()}
        item, code = coded(values, names)
        n_values = sum(map(len, names.values()))
        idf = np.log(n_items / np.maximum(np.bincount(code, minlength=n_values), 1))
        nobody = np.zeros(0, np.int64)
        base = Part.of(np.arange(n_items), item, code, idf)
        return cls(names, separators, idf, base, Part.of(nobody, nobody, nobody, idf))

    def best(self, past: Positions, recent: Positions, may: Mask, n: int) -> Positions:
        """Return up to ``n`` positions; see ``Channel``."""
        profile = np.zeros(len(self.idf))
        old = recent[~np.isin(recent, self.later.at)] if len(self.later.at) else recent
        self.base.profile(old[old < len(self.base.at)], profile)
        self.later.profile(recent, profile)
        wanted = np.flatnonzero(profile)
        found, score = self.base.of_value.sums(wanted, profile[wanted])
        if len(self.later.at):
            keep = ~np.isin(found, self.later.at)
            more, own = self.later.of_value.sums(wanted, profile[wanted])
            found = np.concatenate([found[keep], self.later.at[more]])
            score = np.concatenate([score[keep], own])
            order = np.argsort(found)
            found, score = found[order], score[order]
        return best_of(found, score, may, n)

    def changed(self, where: Positions, cells: Any) -> Tags:
        """Return the channel with the attributes of ``cells`` (a table of n rows) for the items at ``where`` (n,)."""
        filters = Filters(cells, self.separators)
        values = {name: filters.values(name) for name in self.names}
        row, code = coded(values, self.names)
        item, known = self.later.pairs()
        stay = ~np.isin(item, where)
        item, code = np.concatenate([item[stay], where[row]]), np.concatenate([known[stay], code])
        at = np.union1d(self.later.at, where)
        return replace(self, later=Part.of(at, np.searchsorted(at, item), code, self.idf))


def coded(values: Mapping[str, Values], names: Mapping[str, Any]) -> tuple[Positions, Positions]:
    """Return distinct pairs of a cell's row and the code of a value in it; values that ``names`` lack are left out."""
    rows, codes, start = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for name, known in names.items():
        own = values[name]
        place = pc.fill_null(pc.index_in(own.names, value_set=known), -1).to_numpy(zero_copy_only=False)
        code = place.astype(np.int64)[own.codes]
        row = np.repeat(np.arange(len(own)), np.diff(own.indptr))
        rows.append(row[code >= 0])
        codes.append(code[code >= 0] + start)
        start += len(known)
    return distinct_pairs(np.concatenate(rows), np.concatenate(codes))


def shared_values(side: Any, filters: Filters) -> dict[str, Values]:
    """Return the values of the categorical features of items, the id aside, by column.

    Columns in which most items have a value that no other has, such as titles, say nothing about likeness: they are
    left out.
    """
    found = {}
    for column in side.encoder.columns:
        if column.kind == "numeric" or column.name == side.column:
            continue
        if column.name not in side.table.column_names:  # files of before have no tables
            continue
        values = filters.values(column.name)
        if len(values.names) <= len(side.ids) / 2:
            found[column.name] = values
    return found
