"""Two stages with one factorization machine: recall by inner product, rank by the full score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.core.options import check_count, check_number
from crossfm.data.columns import Column
from crossfm.data.encode import Encoder
from crossfm.data.infer import infer_columns
from crossfm.data.rows import Rows, join_rows, shift_ids
from crossfm.data.tables import as_table, is_table
from crossfm.errors import ColumnError, CrossFMError, DataError, OptionError
from crossfm.estimators.ranker import FMRanker
from crossfm.kernels.fm import scores
from crossfm.kernels.topk import top_items
from crossfm.recommender.side import Side, complete, need
from crossfm.scoring.decompose import item_vectors, query_vectors
from crossfm.scoring.explain import Explanation, explain_rows

Positions = NDArray[np.int64]
DAY = 86_400.0


def default_ranker(random_state: Any = 0) -> FMRanker:
    """Return the ranker that did well on the sets in ``benchmarks/``: strong L2, popular negatives."""
    return FMRanker(
        n_factors=16,
        negatives="popularity",
        learning_rate=0.05,
        schedule="linear",
        max_iter=15,
        l2_V=0.1,
        random_state=random_state,
    )


class Recommender:
    """Recommend items to users from a log of interactions.

    Parameters
    ----------
    user, item : str, default="user_id", "item_id"
        Id columns of the interactions, and of the tables of users and items.
    time : str or None, default=None
        Column of the interactions with their time (seconds, or timestamps).
    context : sequence of str, default=()
        Columns of the interactions that are known when a recommendation is asked for (device, place, ...).
    columns : list of columns or None, default=None
        How to encode features of users, items and context; columns not named here are left out. None infers all
        (see ``infer_columns``).
    ranker : FMRanker or None, default=None
        The machine and how it learns; None takes ``default_ranker()``.
    half_life : float or None, default=None
        Days after which an interaction counts half, in learning and in popularity; needs ``time``.
    n_candidates : int, default=300
        Items that recall hands to ranking.
    n_threads : int, default=1

    Attributes
    ----------
    ranker_ : FMRanker
        Fitted; features are those of the user, of the context, of the item, in this order.
    users_, items_ : Side
        Ids and encoded features.
    popularity_ : float64 (n_items,)
        Interactions of each item, halved by age.

    Notes
    -----
    Recall is exact: the items of largest <q, t> with q = (S_Q ; 1) and t = (S_T ; l_T + P_T), which is the order
    of the machine's own scores (see ``scoring/decompose.py``). An unknown user is known by features; without any
    known feature the answer is the order by popularity, and says so.
    """

    def __init__(
        self,
        *,
        user: str = "user_id",
        item: str = "item_id",
        time: str | None = None,
        context: Sequence[str] = (),
        columns: Sequence[Column] | None = None,
        ranker: FMRanker | None = None,
        half_life: float | None = None,
        n_candidates: int = 300,
        n_threads: int = 1,
    ) -> None:
        self.user = user
        self.item = item
        self.time = time
        self.context = tuple(context)
        self.columns = columns
        self.ranker = ranker
        self.half_life = half_life
        self.n_candidates = n_candidates
        self.n_threads = n_threads

    # ---------------------------------------------------------------- learning

    def fit(self, interactions: Any, users: Any = None, items: Any = None) -> Recommender:
        """Learn from ``interactions`` (one row an event) and optional tables of features (one row an id)."""
        from sklearn.base import clone

        log = as_table(interactions)
        for name in (self.user, self.item, *self.context, *([self.time] if self.time else [])):
            need(log, name, "the table of interactions")
        if log.num_rows == 0:
            raise DataError("the table of interactions has no rows")
        check_count("n_candidates", self.n_candidates, low=1)
        self.users_ = Side.fit(self.user, log[self.user], users, self.columns and self._own(users))
        self.items_ = Side.fit(self.item, log[self.item], items, self.columns and self._own(items))
        self.context_encoder_ = self._fit_context(log)
        user = self.users_.ids.positions(log[self.user], self.user)
        item = self.items_.ids.positions(log[self.item], self.item)
        weight = self._age_weight(log)
        self.popularity_ = np.bincount(item, weight, len(self.items_.ids)).astype(np.float64)
        self.counts_ = np.bincount(item, minlength=len(self.items_.ids)).astype(np.int64)
        self._remember(user, item)
        queries = self._with_context(self.users_.rows.take(user), log)
        self.ranker_ = clone(self.ranker) if self.ranker is not None else default_ranker()
        self.ranker_.fit(queries, item, catalogue=self.items_.rows, sample_weight=weight)
        self._index()
        return self

    def add_items(self, items: Any) -> Recommender:
        """Add items that came after ``fit``; they are recommended by their features, without training."""
        before = len(self.items_.ids)
        self.items_ = self.items_.added(items)
        more = len(self.items_.ids) - before
        self.popularity_ = np.concatenate([self.popularity_, np.zeros(more)])
        self.counts_ = np.concatenate([self.counts_, np.zeros(more, np.int64)])
        self._index()
        return self

    def _own(self, features: Any) -> list[Column]:
        names = [] if features is None else as_table(features).column_names
        return [column for column in self.columns or () if column.name in names]

    def _fit_context(self, log: Any) -> Encoder | None:
        if not self.context:
            return None
        table = log.select(list(self.context))
        given = [column for column in self.columns or () if column.name in self.context]
        return Encoder(given if self.columns is not None else infer_columns(table)).fit(table)

    def _age_weight(self, log: Any) -> NDArray[np.float64] | None:
        if self.half_life is None:
            return None
        if self.time is None:
            raise OptionError("half_life needs time, the column that says when each interaction was")
        check_number("half_life", self.half_life, above=True)
        seconds = seconds_of(log[self.time], self.time)
        weight = 0.5 ** ((seconds.max() - seconds) / (DAY * self.half_life))
        return np.asarray(weight / weight.mean())

    def _remember(self, user: Positions, item: Positions) -> None:
        """Keep what each user has seen, sorted, as CSR."""
        pairs = np.unique(user * len(self.items_.ids) + item)
        counts = np.bincount(pairs // len(self.items_.ids), minlength=len(self.users_.ids))
        self.seen_indptr_ = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.seen_items_ = (pairs % len(self.items_.ids)).astype(np.uint32)

    def _index(self) -> None:
        """Compute the item vectors; recall searches the catalogue coordinate by coordinate."""
        self._catalogue = shift_ids(self.items_.rows, self.ranker_.n_query_features_)
        vectors = item_vectors(self._catalogue, self.ranker_.params_, n_threads=self.n_threads)
        self.item_vectors_ = np.ascontiguousarray(vectors.T)

    # ------------------------------------------------------------------ asking

    def recommend(
        self,
        users: Any,
        n: int = 10,
        *,
        context: dict[str, Any] | None = None,
        exclude_seen: bool = True,
        exclude: Any = (),
    ) -> pa.Table:
        """Return the best ``n`` items of each user, recalled and then ranked.

        Parameters
        ----------
        users : id, list of ids, or table
            A table has the user column and may have context columns and features of users (needed for unknown ones).
        n : int, default=10
            Fewer come back only where fewer are left.
        context : dict or None
            Values for the context columns, the same for all users.
        exclude_seen : bool, default=True
            Leave out what the user has interacted with.
        exclude : sequence of item ids
            Also leave these out.

        Returns
        -------
        pyarrow.Table
            Columns user, rank (from 1), item, score, and source: "fm", or "popularity" where nothing is known
            about a user (the score then is the popularity).
        """
        check_count("n", n, low=1)
        table = self._query_table(users, context)
        queries, where = self._queries(table)
        skip = self._skip(where if exclude_seen else np.full(len(where), -1), exclude)
        found, _ = self.recall(queries, max(n, self.n_candidates), skip=skip)
        items, score = self.rank(queries, found)
        known = self._known(queries)
        if not known.all():
            blind = np.flatnonzero(~known)
            items[blind], score[blind] = self._popular(len(blind), items.shape[1], skip, blind)
        items, score = items[:, :n], score[:, :n]
        row, rank = np.nonzero(items >= 0)
        return pa.table(
            {
                self.user: pc.take(table[self.user].combine_chunks(), pa.array(row)),
                "rank": rank + 1,
                self.item: self.items_.ids.take(items[row, rank]),
                "score": score[row, rank].astype(np.float64),
                "source": pa.array(np.where(known[row], "fm", "popularity")),
            }
        )

    def recall(self, queries: Rows, n: int, *, skip: Any = None) -> tuple[Positions, NDArray[np.float32]]:
        """Return positions and inner products (n_queries, n) of the best items; see ``kernels.topk``."""
        vectors, _ = query_vectors(queries, self.ranker_.params_, n_threads=self.n_threads)
        n = min(n, len(self.items_.ids))
        return top_items(vectors, self.item_vectors_, n, skip=skip, n_threads=self.n_threads)

    def rank(self, queries: Rows, items: Positions) -> tuple[Positions, NDArray[np.float32]]:
        """Order candidates (n_queries, n), -1 for none, by the machine's full score, ties by position."""
        present = items >= 0
        row, _ = np.nonzero(present)
        joined = join_rows(queries.take(row), self._catalogue.take(items[present]))
        score = np.full(items.shape, -np.inf, np.float32)
        score[present] = scores(joined, self.ranker_.params_, n_threads=self.n_threads)
        order = np.lexsort((items, -score), axis=1)
        return np.take_along_axis(items, order, 1), np.take_along_axis(score, order, 1)

    def explain(self, user: Any, items: Any, *, context: dict[str, Any] | None = None) -> Explanation:
        """Split the scores of ``items`` (ids) for one user into exact parts of columns and pairs of columns."""
        queries, _ = self._queries(self._query_table([user] if not is_table(user) else user, context))
        where = self.items_.ids.positions(pa.array(list(items)), self.item)
        if (where < 0).any():
            raise DataError(f"item {list(items)[int(np.argmax(where < 0))]!r} is not in the catalogue")
        joined = join_rows(queries.take(np.zeros(len(where), np.int64)), self._catalogue.take(where))
        return explain_rows(joined, self.ranker_.params_, self.field_names())

    def field_names(self) -> list[str]:
        """Return the columns of a joined row: the user's, the context's, the item's."""
        context = [] if self.context_encoder_ is None else self.context_encoder_.fields
        return [*self.users_.encoder.fields, *context, *self.items_.encoder.fields]

    def queries(self, users: Any, context: dict[str, Any] | None = None) -> Rows:
        """Return the query side rows of ``users`` (as in ``recommend``)."""
        return self._queries(self._query_table(users, context))[0]

    def _query_table(self, users: Any, context: dict[str, Any] | None) -> pa.Table:
        self._check_fitted()
        if not is_table(users):
            listed = [users] if isinstance(users, (str, int, np.integer)) else list(users)
            users = {self.user: pa.array(listed)}
        table = as_table(users)
        for name, value in (context or {}).items():
            if name not in self.context:
                raise ColumnError(f"context has {name!r}, but the context columns are {list(self.context)}")
            if name in table.column_names:
                table = table.drop_columns([name])
            table = table.append_column(name, pa.array([value] * table.num_rows))
        return table

    def _queries(self, table: pa.Table) -> tuple[Rows, Positions]:
        rows, where = self.users_.encode(table)
        return self._with_context(rows, table), where

    def _with_context(self, rows: Rows, table: pa.Table) -> Rows:
        if self.context_encoder_ is None:
            return rows
        more = self.context_encoder_.transform(complete(table, self.context_encoder_))
        return join_rows(rows, shift_ids(more, self.users_.encoder.n_features))

    def _skip(self, where: Positions, exclude: Any) -> tuple[Positions, NDArray[np.uint32]]:
        always = np.empty(0, np.uint32)
        if len(exclude):
            excluded = np.unique(self.items_.ids.positions(pa.array(list(exclude)), self.item))
            always = excluded[excluded >= 0].astype(np.uint32)
        lists = []
        for user in where:
            seen = (
                self.seen_items_[self.seen_indptr_[user] : self.seen_indptr_[user + 1]]
                if user >= 0
                else always
            )
            lists.append(np.union1d(seen, always) if len(always) else seen)
        indptr = np.concatenate([[0], np.cumsum([len(part) for part in lists])]).astype(np.int64)
        return indptr, np.concatenate([*lists, np.empty(0, np.uint32)]).astype(np.uint32)

    def _known(self, queries: Rows) -> NDArray[np.bool_]:
        """Whether a query has any feature that training moved."""
        V = self.ranker_.params_.V
        trained = V.any(axis=1)[queries.indices]
        return np.add.reduceat(np.append(trained, False), queries.offsets()[:-1]) > 0

    def _popular(
        self, n_queries: int, n: int, skip: Any, which: Positions
    ) -> tuple[Positions, NDArray[np.float32]]:
        indptr, skipped = skip
        lists = [skipped[indptr[i] : indptr[i + 1]] for i in which]
        own = np.concatenate([[0], np.cumsum([len(part) for part in lists])]).astype(np.int64)
        flat = np.concatenate([*lists, np.empty(0, np.uint32)]).astype(np.uint32)
        return popular_items(self.popularity_, n_queries, n, skip=(own, flat))

    def _check_fitted(self) -> None:
        if not hasattr(self, "ranker_"):
            raise CrossFMError("this Recommender is not fitted yet: call fit first")

    # ------------------------------------------------------------------ saving

    def save(self, path: Any) -> None:
        """Write the recommender to a ``.crossfm`` file; see ``crossfm.save``."""
        from crossfm.io.model_file import write_model

        write_model(path, *self.to_state())

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything a loaded recommender needs: arrays, and JSON-able settings."""
        self._check_fitted()
        ranker_arrays, ranker = self.ranker_.to_state()
        arrays = {f"ranker.{name}": array for name, array in ranker_arrays.items()}
        meta: dict[str, Any] = {"kind": "Recommender", "ranker": ranker}
        for name, side in (("users", self.users_), ("items", self.items_)):
            more, meta[name] = side.to_state(name)
            arrays |= more
        if self.context_encoder_ is not None:
            more, meta["context_encoder"] = self.context_encoder_.to_state()
            arrays |= {f"context.{name}": array for name, array in more.items()}
        for name in ("popularity_", "counts_", "seen_indptr_", "seen_items_"):
            arrays[name] = getattr(self, name)
        settings = ("user", "item", "time", "half_life", "n_candidates", "n_threads")
        meta["settings"] = {name: getattr(self, name) for name in settings} | {"context": list(self.context)}
        return arrays, meta

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Recommender:
        """Rebuild the recommender that ``to_state`` described."""

        def part(prefix: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}

        model = cls(**meta["settings"])
        model.ranker_ = FMRanker.from_state(part("ranker."), meta["ranker"])
        model.users_ = Side.from_state(arrays, meta["users"], "users")
        model.items_ = Side.from_state(arrays, meta["items"], "items")
        model.context_encoder_ = None
        if "context_encoder" in meta:
            model.context_encoder_ = Encoder.from_state(part("context."), meta["context_encoder"])
        for name in ("popularity_", "counts_", "seen_indptr_", "seen_items_"):
            setattr(model, name, arrays[name])
        model._index()
        return model


def popular_items(
    popularity: NDArray[np.float64], n_queries: int, n: int, *, skip: Any = None
) -> tuple[Positions, NDArray[np.float32]]:
    """Return positions and scores (n_queries, n) of the most popular items, with ``skip`` as in ``top_items``."""
    queries = np.ones((n_queries, 1), np.float32)
    return top_items(queries, np.ascontiguousarray(popularity[None], np.float32), n, skip=skip)


def seconds_of(column: Any, name: str) -> NDArray[np.float64]:
    """Return the times of an Arrow column in seconds. Raises ``DataError`` where one is missing."""
    if pa.types.is_temporal(column.type):
        column = pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64())
        seconds = np.asarray(column.to_numpy(), np.float64) / 1e6
    else:
        try:
            seconds = np.asarray(pc.cast(column, pa.float64()).to_numpy(), np.float64)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
            raise DataError(
                f"column {name!r} holds {column.type}, but times are numbers or timestamps"
            ) from exc
    if not np.isfinite(seconds).all():
        raise DataError(f"column {name!r} has no time in row {int(np.argmin(np.isfinite(seconds)))}")
    return seconds
