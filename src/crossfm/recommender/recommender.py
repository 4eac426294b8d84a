"""Two stages with one factorization machine: recall by inner product, rank by the full score."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfm.core.options import check_count, thread_count
from crossfm.core.params import FMParams
from crossfm.core.random import stream
from crossfm.data.columns import Column
from crossfm.data.encode import Encoder
from crossfm.data.infer import infer_columns
from crossfm.data.rows import Rows, join_rows, shift_ids
from crossfm.data.tables import as_table, is_table
from crossfm.errors import ColumnError, CrossFMError, DataError, OptionError
from crossfm.estimators.kinds import restore
from crossfm.estimators.ranker import FMRanker
from crossfm.estimators.recall import recall_machine_of
from crossfm.io.parts import part_of
from crossfm.kernels.fm import scores
from crossfm.kernels.topk import top_items
from crossfm.recommender.channels.kinds import check_channels
from crossfm.recommender.channels.near import Near
from crossfm.recommender.channels.quotas import RECALL, Quotas
from crossfm.recommender.checks import check_settings
from crossfm.recommender.defaults import default_retriever
from crossfm.recommender.history import FIELD, history_rows, latest, past
from crossfm.recommender.ids import id_array
from crossfm.recommender.index import choose_index
from crossfm.recommender.ivf import IVFIndex
from crossfm.recommender.ranking import Ranking
from crossfm.recommender.second_stage import Log, fit_second_stage
from crossfm.recommender.seen import Seen, Skip, no_items, skip_of
from crossfm.recommender.side import Side, complete
from crossfm.recommender.times import age_weight, seconds_of
from crossfm.scoring.decompose import Machine, item_vectors, query_vectors
from crossfm.scoring.explain import Explanation, explain_rows

Positions = NDArray[np.int64]
SETTINGS = (
    *("user", "item", "time", "half_life", "history", "label", "ranker_share", "ranker_negatives"),
    *("title", "item_time", "freshness_half_life", "channels"),
)
QUERY_SAMPLE = 1_000
CANDIDATES_A_BLOCK = 500_000  # users are served in blocks of this many candidates: bounded memory


class Recommender:
    """Recommend items to users from a log of interactions.

    Parameters
    ----------
    user, item : str, default="user_id", "item_id"
        Id columns of the interactions, and of the tables of users and items.
    time : str or None, default=None
        Column of the interactions with their time (seconds, or timestamps); for ``half_life``, ``history`` and
        ``ranker``.
    context : sequence of str, default=()
        Columns of the interactions that are known when a recommendation is asked for (device, place, ...).
    columns : list of columns or None, default=None
        How to encode features of users, items and context, and ids if they are named; other features are left out.
        None infers all (see ``infer_columns``). A column may ``share`` with one of its own side only: users, context
        and items have features of their own.
    history : int, default=0
        How many of a user's latest items are features of the query; ``time`` orders them, without it the log does. It
        is what makes the next answer follow the last click. 0: none.
    retriever : FMRanker or None, default=None
        The machine of recall and how it learns: an ``FMRanker``, or a ``NeuralFMRanker`` of the models "fm", "fwfm", or
        "nfm" without hidden layers. None takes ``default_retriever()``.
    ranker : classifier or ranker of crossfm, or None, default=None
        The machine of the second stage: ``default_ranker()`` of ``recommender.defaults``, or one of yours. It starts
        at vectors of recall, so its ``n_factors`` must be the retriever's. None: the retriever ranks too.
    ranker_share : float, default=0.5
        The latest share of the interactions, which the ranker learns from in windows; see ``second_stage``.
    ranker_negatives : int, default=100
        Without impressions, of each list that recall finds: how many items that were not chosen it learns from.
    label : str, default="label"
        Column of impressions that says what was chosen: 1 or True, else 0 or False.
    half_life : float or None, default=None
        Days after which an interaction counts half, in learning and in popularity; needs ``time``.
    title : str or None, default=None
        Column of the items that is shown to people; None takes "title" or "name", if there.
    item_time : str or None, default=None
        Column of the items with the time since when there is each, for freshness.
    freshness_half_life : float, default=30.0
        Days after which what an item gains by being new is half.
    n_candidates : int, default=300
        Items that recall hands to ranking.
    channels : dict of name to int, or None, default=None
        How many of the candidates come from simpler ways to find items: "popular", "latest" (by ``item_time``),
        "item-kNN" (taken together with what the user has), "tags" (attributes in common with it). What they find is
        scored and ranked as what recall finds. None: recall alone.
    n_threads : int, default=1
        Of recall and ranking; 0 takes all cores. Learning has the retriever's own.

    Attributes
    ----------
    retriever_ : FMRanker
        Fitted; features are those of the user, of the context, of the history, of the item, in this order.
    users_, items_ : Side
        Ids, encoded features and all columns.
    histories_ : Seen or None
        The latest items of each user, oldest first.
    popularity_ : float64 (n_items,)
        Interactions of each item, halved by age.
    counts_ : int64 (n_items,)
        Interactions of each item.
    channels_ : Quotas or None
    index_ : ExactIndex, or IVFIndex above 500,000 items
    query_sample_ : float32 (n, dim)
        Vectors of some queries that were learnt from.
    ranking_ : Ranking or None
        The fitted second stage.
    seen_ : Seen
        What each user has interacted with.

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
        history: int = 0,
        retriever: FMRanker | None = None,
        ranker: Any = None,
        ranker_share: float = 0.5,
        ranker_negatives: int = 100,
        label: str = "label",
        half_life: float | None = None,
        title: str | None = None,
        item_time: str | None = None,
        freshness_half_life: float = 30.0,
        n_candidates: int = 300,
        channels: Mapping[str, int] | None = None,
        n_threads: int = 1,
    ) -> None:
        self.user = user
        self.item = item
        self.time = time
        self.context = (context,) if isinstance(context, str) else tuple(context)
        self.columns = columns
        self.history = history
        self.retriever = retriever
        self.ranker = ranker
        self.ranker_share = ranker_share
        self.ranker_negatives = ranker_negatives
        self.label = label
        self.half_life = half_life
        self.title = title
        self.item_time = item_time
        self.freshness_half_life = freshness_half_life
        self.n_candidates = n_candidates
        self.channels = channels
        self.n_threads = n_threads

    # ---------------------------------------------------------------- learning

    def fit(
        self, interactions: Any, users: Any = None, items: Any = None, *, impressions: Any = None
    ) -> Recommender:
        """Learn from ``interactions`` (one row an event) and optional tables of features (one row an id).

        ``impressions`` has one row for each item that was shown: user, item, context columns, ``label`` and ``time``.
        The ranker learns from it; without it, from what recall finds beside interactions.

        Raises ``ColumnError`` for columns that are not there, ``OptionError`` for settings that mean nothing,
        ``DataError`` for an empty table, missing ids or times and two rows of features for one id.
        """
        log = as_table(interactions)
        users, items = (None if side is None else as_table(side) for side in (users, items))
        check_settings(self, log, users, items)
        seconds = None if self.time is None else seconds_of(log[self.time], self.time)
        weight = None if self.half_life is None or seconds is None else age_weight(seconds, self.half_life)
        self.users_ = Side.fit(self.user, log[self.user], users, self._own(self.user, users))
        self.items_ = Side.fit(self.item, log[self.item], items, self._own(self.item, items))
        self.context_encoder_ = self._fit_context(log)
        user = self.users_.ids.positions(log[self.user], self.user)
        item = self.items_.ids.positions(log[self.item], self.item)
        self.popularity_ = np.bincount(item, weight, len(self.items_.ids)).astype(np.float64)
        self.counts_ = np.bincount(item, minlength=len(self.items_.ids)).astype(np.int64)
        self.seen_ = Seen.of(user, item, len(self.users_.ids))
        own = queries = self._with_context(self.users_.rows.take(user), log)
        self.channels_ = Quotas.of(self)
        self.histories_ = None
        if self.history:
            n_users = len(self.users_.ids)
            self.histories_ = latest(user, item, seconds, n_users, self.history)
            queries = self._with_history(
                queries, past(user, item, seconds, self.history), len(self.items_.ids)
            )
        self._n_known = len(self.items_.ids)
        self.ranking_ = None
        self.query_sample_ = np.zeros((0, 1), np.float32)
        vars(self).pop("index_", None)  # of a fit before
        self.retriever_ = self._new_retriever()
        # no groups: another item of the same user may be a negative, as in a softmax over the catalogue. Sparing all
        # that the user chose cost 0.03 of NDCG@20 on a time split of the training part of ML-100K.
        self.retriever_.fit(queries, item, catalogue=self.items_.rows, sample_weight=weight, owners=user)
        self.query_sample_ = self._sample_queries(queries)
        self._index()
        if self.ranker is not None:
            log_of = Log.ordered(own, queries, user, item, seconds)
            self.ranking_ = fit_second_stage(
                self, log_of, None if impressions is None else as_table(impressions)
            )
        return self

    def _new_retriever(self) -> FMRanker:
        from sklearn.base import clone

        machine: FMRanker = default_retriever() if self.retriever is None else clone(self.retriever)
        return machine

    def add_items(self, items: Any) -> Recommender:
        """Add items that came after ``fit``; they are recommended by their features, without training.

        Items that are known already keep the features they have.
        """
        self._check_fitted()
        before = len(self.items_.ids)
        self.items_ = self.items_.added(items)
        more = len(self.items_.ids) - before
        self.popularity_ = np.concatenate([self.popularity_, np.zeros(more)])
        self.counts_ = np.concatenate([self.counts_, np.zeros(more, np.int64)])
        self.channels_ = Quotas.of(self, self._near())
        self._index()
        return self

    def with_channels(self, channels: Mapping[str, int] | None) -> Recommender:
        """Return this recommender with other channels, without training; all else is shared.

        Raises ``OptionError`` as ``fit`` does.
        """
        self._check_fitted()
        check_channels(channels, self.n_candidates, self.item_time)
        other = copy.copy(self)
        other.channels = channels
        other.channels_ = Quotas.of(other, self._near())
        return other

    def _near(self) -> Near | None:
        """Return the channel item-kNN, if it has been fitted."""
        near = None if self.channels_ is None else self.channels_.channels.get("item-kNN")
        return near if isinstance(near, Near) else None

    def _own(self, id_column: str, features: Any) -> list[Column] | None:
        if self.columns is None:
            return None
        names = {id_column, *(() if features is None else features.column_names)}
        return [column for column in self.columns if column.name in names]

    def _fit_context(self, log: Any) -> Encoder | None:
        if not self.context:
            return None
        table = log.select(list(self.context))
        if self.columns is None:
            return Encoder(infer_columns(table)).fit(table)
        given = [column for column in self.columns if column.name in self.context]
        for name in set(self.context) - {column.name for column in given}:
            raise OptionError(f"columns does not say how to encode the context column {name!r}; add it there")
        return Encoder(given).fit(table)

    def _index(self, index: Any = None) -> None:
        """Prepare recall; ``index`` is one that was saved, None makes it."""
        self._threads = thread_count(self.n_threads)
        self._machine = self._recall_machine()
        params = self.retriever_.params_
        self._met = params.V.any(axis=1) if params.V.shape[1] else np.ones(len(params.V), bool)
        self._catalogue = shift_ids(self.items_.rows, self.retriever_.n_query_features_)
        if index is None:
            vectors = item_vectors(self._catalogue, self._machine, n_threads=self._threads)
            index = choose_index(vectors, self.query_sample_, n_threads=self._threads)
        self.index_ = index

    def _recall_machine(self) -> Machine:
        return recall_machine_of(self.retriever_, n_query_fields=self.n_query_fields)

    @property
    def item_vectors_(self) -> NDArray[np.float32]:
        """Item vectors of recall (dim, n_items), copied out of the index."""
        return np.ascontiguousarray(self.index_.vectors(np.arange(len(self.items_.ids))).T)

    def _sample_queries(self, queries: Rows) -> NDArray[np.float32]:
        """Return vectors of some of the queries that were learnt from: an index is fitted and measured on them."""
        rng = stream(self.retriever_.random_state, "index")
        chosen = rng.choice(len(queries), min(len(queries), QUERY_SAMPLE), replace=False)
        return query_vectors(queries.take(np.sort(chosen)), self._recall_machine())[0]

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
            A table has the user column and may have context columns and features of users: needed for unknown ones,
            and taken instead of the stored ones for known users.
        n : int, default=10
            Fewer come back only where fewer are left.
        context : dict or None
            Values for the context columns, the same for all users. A column without a value counts as missing.
        exclude_seen : bool, default=True
            Leave out what the user has interacted with.
        exclude : item id or sequence of item ids
            Also leave these out; unknown ones do no harm.

        Returns
        -------
        pyarrow.Table
            Columns user, rank (from 1), item, score, and source: "fm", the channel that brought an item which recall
            had not, or "popularity" where nothing is known about a user (the score then is the popularity).
        """
        check_count("n", n, low=1)
        table = self._query_table(users, context)
        queries, where = self._queries(table)
        out = self.items_.ids.positions(id_array(exclude, self.item), self.item)
        skip = self.seen_.skip(where if exclude_seen else np.full(len(where), -1), np.unique(out[out >= 0]))
        past, recent = self.seen_.of_users(where), self.recent(where)
        items, score, known, brought = self._best(queries, n, skip, past, recent)
        names = np.array(["fm", *(self.channels or ())])  # by the number of the channel, recall's is -1
        source = np.where(known[:, None], names[brought - RECALL], "popularity")
        row, rank = np.nonzero(items >= 0)
        return pa.table(
            {
                self.user: pc.take(table[self.user].combine_chunks(), pa.array(row)),
                "rank": rank + 1,
                self.item: self.items_.ids.take(items[row, rank]),
                "score": score[row, rank].astype(np.float64),
                "source": pa.array(source[row, rank]),
            }
        )

    def recent(self, where: Positions) -> Seen:
        """Return what the users at ``where`` (-1: unknown) did of late: their histories, or all they have seen."""
        return (self.histories_ or self.seen_).of_users(where)

    def best(
        self, queries: Rows, n: int, skip: Skip, past: Seen | None = None, recent: Seen | None = None
    ) -> tuple[Positions, NDArray[np.float32], NDArray[np.bool_]]:
        """Return positions and scores (n_queries, n) of recalled and ranked items, and which queries are known.

        ``skip`` is left out; ``past`` has the items of each query's user, None: none is known, ``recent`` the latest of
        them, None: all. Where nothing is known about a query these are the most popular items.
        """
        return self._best(queries, n, skip, past, recent)[:3]

    def _best(
        self, queries: Rows, n: int, skip: Skip, past: Seen | None, recent: Seen | None
    ) -> tuple[Positions, NDArray[np.float32], NDArray[np.bool_], Positions]:
        """Return what ``best`` does, and the number of the channel that brought each item; -1, ``RECALL``: none."""
        n = min(n, len(self.items_.ids))
        known = self.known(queries)
        past = no_items(len(queries)) if past is None else past
        recent = past if recent is None else recent
        items, score = np.empty((len(queries), n), np.int64), np.empty((len(queries), n), np.float32)
        brought = np.full((len(queries), n), RECALL)
        wide = max(n, min(self.n_candidates, len(self.items_.ids)))
        step = max(1, CANDIDATES_A_BLOCK // wide)
        for start in range(0, len(queries), step):
            block = slice(start, min(start + step, len(queries)))
            rows = np.arange(block.start, block.stop)
            part, out, own = queries.take(rows), skip_of(skip, block), past.of_users(rows)
            found, recalled = self.recall(part, wide, skip=out)
            listed, first, source = self.with_candidates(
                part, found, recalled, out, own, recent.of_users(rows)
            )
            value = self._rank_scores(part, listed, first, own, (found, recalled))
            order = np.lexsort((listed, -value), axis=1)[:, :n]
            items[block], score[block], brought[block] = (
                np.take_along_axis(each, order, 1) for each in (listed, value, source)
            )
        if not known.all():
            popular = popular_items(self.popularity_, len(queries), n, skip=skip)
            items[~known], score[~known] = popular[0][~known], popular[1][~known]
        return items, score, known, brought

    def with_candidates(
        self,
        queries: Rows,
        found: Positions,
        recalled: NDArray[np.float32],
        skip: Skip,
        past: Seen,
        recent: Seen,
    ) -> tuple[Positions, NDArray[np.float32], Positions]:
        """Return recall's lists with the candidates of channels in them, recall's scores, and who brought each.

        ``found`` and ``recalled`` (n_queries, n) are as ``recall`` gives them, the rest as in ``best``. They are as
        they came where there are no channels; see ``Quotas.merged_lists``.
        """
        if self.channels_ is None:
            return found, recalled, np.full(found.shape, RECALL)
        items, places, brought = self.channels_.merged_lists(found, skip, past, recent, len(self.items_.ids))
        score = np.where(places >= 0, np.take_along_axis(recalled, np.maximum(places, 0), 1), -np.inf)
        vectors, _ = query_vectors(queries, self._machine, n_threads=self._threads)
        for row in np.flatnonzero((brought != RECALL).any(axis=1)).tolist():
            new = brought[row] != RECALL
            score[row, new] = self.index_.vectors(items[row, new]) @ vectors[row]
        return items, score.astype(np.float32), brought

    def known(self, queries: Rows) -> NDArray[np.bool_]:
        """Whether each query has a feature that training met; any feature will do for a machine without factors."""
        met = self._met[queries.indices]
        row = np.repeat(np.arange(len(queries)), np.diff(queries.offsets()))
        return np.asarray(np.bincount(row, met, len(queries)) > 0)

    def recall(self, queries: Rows, n: int, *, skip: Any = None) -> tuple[Positions, NDArray[np.float32]]:
        """Return positions and inner products (n_queries, n) of the best items; see ``Index.search``."""
        vectors, _ = query_vectors(queries, self._machine, n_threads=self._threads)
        found: tuple[Positions, NDArray[np.float32]]
        found = self.index_.search(vectors, min(n, len(self.items_.ids)), skip=skip)
        return found

    def rank(
        self, queries: Rows, items: Positions, recalled: NDArray[np.float32], past: Seen | None = None
    ) -> tuple[Positions, NDArray[np.float32]]:
        """Order candidates (n_queries, n), -1 for none, by the second stage's score, ties by position.

        ``recalled`` (n_queries, n) are recall's scores, falling, -inf for none; ``past`` is as in ``best``.
        """
        past = no_items(len(queries)) if past is None else past
        score = self._rank_scores(queries, items, recalled, past, (items, recalled))
        order = np.lexsort((items, -score), axis=1)
        return np.take_along_axis(items, order, 1), np.take_along_axis(score, order, 1)

    def _rank_scores(
        self,
        queries: Rows,
        items: Positions,
        recalled: NDArray[np.float32],
        past: Seen,
        by: tuple[Positions, NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """Return the second stage's scores (n_queries, n); ``by`` are recall's own lists, by which it measures."""
        present = items >= 0
        row, _ = np.nonzero(present)
        if self.ranking_ is not None:
            own: NDArray[np.float32]
            own = self.ranking_.scores_of(queries, past, self._catalogue, items, recalled, by)
            return own
        score: NDArray[np.float32]
        if isinstance(self._machine, FMParams):
            joined = join_rows(queries.take(row), self._catalogue.take(items[present]))
            score = np.full(items.shape, -np.inf, np.float32)
            score[present] = scores(joined, self._machine, n_threads=self._threads)
        else:
            constants = query_vectors(queries, self._machine)[1]
            score = np.where(present, recalled + constants[:, None], np.float32(-np.inf))
        return score

    def explain(self, user: Any, items: Any, *, context: dict[str, Any] | None = None) -> Explanation:
        """Split the scores of ``items`` (ids) for one user into exact parts of columns and pairs of columns.

        ``user`` is as in ``recommend``, one id or a table of one row. Raises ``DataError`` for unknown items.
        """
        queries, _ = self._queries(self._query_table(user, context))
        if len(queries) != 1:
            raise DataError(f"{len(queries)} users are given, but one user's scores are explained at a time")
        asked = id_array(items, self.item)
        where = self.items_.ids.positions(asked, self.item)
        if (where < 0).any():
            raise DataError(f"item {asked[int(np.argmax(where < 0))].as_py()!r} is not in the catalogue")
        queries = queries.take(np.zeros(len(where), np.int64))
        joined = join_rows(queries, self._catalogue.take(where), left_fields=self.n_query_fields)
        return explain_rows(joined, self._machine, self.field_names())

    def field_names(self) -> list[str]:
        """Return the columns of a joined row: the user's, the context's, the history, the item's."""
        context = [] if self.context_encoder_ is None else self.context_encoder_.fields
        history = [FIELD] if self.history else []
        return [*self.users_.encoder.fields, *context, *history, *self.items_.encoder.fields]

    @property
    def n_query_fields(self) -> int:
        """Columns of the query side of a joined row; those of the item stand behind them."""
        return len(self.field_names()) - len(self.items_.encoder.fields)

    def queries(self, users: Any, context: dict[str, Any] | None = None) -> Rows:
        """Return the query side rows of ``users`` (as in ``recommend``)."""
        return self._queries(self._query_table(users, context))[0]

    def _query_table(self, users: Any, context: dict[str, Any] | None) -> pa.Table:
        self._check_fitted()
        if not is_table(users):
            users = pa.table({self.user: id_array(users, self.user)})
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
        rows = self._with_context(rows, table)
        if self.histories_ is not None:
            rows = self._with_history(rows, self.histories_.of_users(where), self._n_known)
        return rows, where

    def _with_history(self, rows: Rows, histories: Seen, n_items: int) -> Rows:
        """Put the items of histories (n_rows,) beside ``rows``; ``n_items`` had features when this was fitted."""
        more = shift_ids(history_rows(histories, n_items), self._n_own_features())
        return join_rows(rows, more, left_fields=self._n_own_fields())

    def _n_own_features(self) -> int:
        """Return the number of features of users and context; those of the history start here."""
        context = 0 if self.context_encoder_ is None else self.context_encoder_.n_features
        return self.users_.encoder.n_features + context

    def _n_own_fields(self) -> int:
        context = 0 if self.context_encoder_ is None else len(self.context_encoder_.fields)
        return len(self.users_.encoder.fields) + context

    def _with_context(self, rows: Rows, table: pa.Table) -> Rows:
        if self.context_encoder_ is None:
            return rows
        more = self.context_encoder_.transform(complete(table, self.context_encoder_))
        more = shift_ids(more, self.users_.encoder.n_features)
        return join_rows(rows, more, left_fields=len(self.users_.encoder.fields))

    def _check_fitted(self) -> None:
        if not hasattr(self, "retriever_"):
            raise CrossFMError("this Recommender is not fitted yet: call fit first")

    # ------------------------------------------------------------------ saving

    def save(self, path: Any) -> None:
        """Write the recommender to a ``.crossfm`` file; see ``crossfm.save``."""
        from crossfm.io.model_file import write_model

        write_model(path, *self.to_state())

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything a loaded recommender needs: arrays, and JSON-able settings."""
        self._check_fitted()
        own, retriever = self.retriever_.to_state()
        arrays = {f"retriever.{name}": array for name, array in own.items()}
        meta: dict[str, Any] = {"kind": "Recommender", "retriever": retriever}
        for name, side in (("users", self.users_), ("items", self.items_)):
            more, meta[name] = side.to_state(name)
            arrays |= more
        if self.context_encoder_ is not None:
            more, meta["context_encoder"] = self.context_encoder_.to_state()
            arrays |= {f"context.{name}": array for name, array in more.items()}
        arrays |= {"popularity": self.popularity_, "counts": self.counts_, "query_sample": self.query_sample_}
        index = vars(self).get("index_")  # callbacks save the model while it learns
        if isinstance(index, IVFIndex):  # an exact one is the item vectors, which are soon computed
            own, meta["index"] = index.to_state()
            arrays |= {f"index.{name}": array for name, array in own.items()}
        arrays |= {"seen.indptr": self.seen_.indptr, "seen.items": self.seen_.items}
        if (near := self._near()) is not None:
            arrays |= {f"near.{name}": array for name, array in near.to_state().items()}
        if self.histories_ is not None:
            arrays |= {"history.indptr": self.histories_.indptr, "history.items": self.histories_.items}
            meta["n_known"] = self._n_known
        if self.ranking_ is not None:
            own, meta["ranking"] = self.ranking_.to_state()
            arrays |= {f"ranking.{name}": array for name, array in own.items()}
        settings = (*SETTINGS, "n_candidates", "n_threads")
        meta["settings"] = {name: getattr(self, name) for name in settings} | {"context": list(self.context)}
        return arrays, meta

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Recommender:
        """Rebuild the recommender that ``to_state`` described."""
        model = cls(**meta["settings"])
        name = "retriever" if "retriever" in meta else "ranker"  # as files of before call it
        model.retriever_ = restore(part_of(arrays, f"{name}."), meta[name])
        own = part_of(arrays, "near.")
        near = Near.from_state(own) if own else None
        model.ranking_ = (
            Ranking.from_state(part_of(arrays, "ranking."), meta["ranking"]) if "ranking" in meta else None
        )
        index = IVFIndex.from_state(part_of(arrays, "index."), meta["index"]) if "index" in meta else None
        model.users_ = Side.from_state(arrays, meta["users"], "users")
        model.items_ = Side.from_state(arrays, meta["items"], "items")
        model.context_encoder_ = None
        if "context_encoder" in meta:
            model.context_encoder_ = Encoder.from_state(part_of(arrays, "context."), meta["context_encoder"])
        model.popularity_, model.counts_ = arrays["popularity"], arrays["counts"]
        model.seen_ = Seen(arrays["seen.indptr"], arrays["seen.items"])
        model.histories_ = None
        if "history.indptr" in arrays:
            model.histories_ = Seen(arrays["history.indptr"], arrays["history.items"])
        model._n_known = meta.get("n_known", len(model.items_.ids))
        model.query_sample_ = arrays.get("query_sample", np.zeros((0, 1), np.float32))
        model.channels_ = Quotas.of(model, near)
        model._index(index)
        return model


def popular_items(
    popularity: NDArray[np.float64], n_queries: int, n: int, *, skip: Any = None
) -> tuple[Positions, NDArray[np.float32]]:
    """Return positions and scores (n_queries, n) of the most popular items, with ``skip`` as in ``top_items``."""
    queries = np.ones((n_queries, 1), np.float32)
    return top_items(queries, np.ascontiguousarray(popularity[None], np.float32), n, skip=skip)
