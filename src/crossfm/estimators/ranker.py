"""A factorization machine that learns an order instead of a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from crossfm.core.options import Hyper, check_choice, check_count, thread_count
from crossfm.core.random import stream
from crossfm.core.rules import EXACT, SGDA
from crossfm.data.rows import Rows, join_rows, shift_ids
from crossfm.errors import DataError, LabelError, OptionError
from crossfm.estimators.base import NO_TARGET, BaseFM
from crossfm.estimators.catalogue import check_hard, check_whole, fit_choices, fit_whole
from crossfm.kernels.choices import LOSSES, Negatives, choice_pass
from crossfm.kernels.pairs import pair_pass
from crossfm.solvers.epochs import Plan, Visit, calls, row_order, run_epochs
from crossfm.solvers.pairwise import LabelPairs

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


class FMRanker(BaseFM):
    """Factorization machine trained on order: what was chosen should score above what was not.

    Two ways to say what was chosen:

    * ``fit(X, y, groups=...)``: rows with labels; inside each group (a user, a session) rows with larger ``y``
      should score higher.
    * ``fit(X, y, catalogue=items, groups=...)``: ``X`` holds the query side (user, context) of each choice, ``y``
      the position of the chosen item in ``catalogue``. Negatives are drawn from the whole catalogue, so the order
      over the full catalogue, and top-N lists from it, mean something.

    Parameters
    ----------
    n_factors : int, default=16
    loss : {"bpr", "warp", "softmax", "ensfm"}, default="bpr"
        "bpr": -log sigmoid of the difference to one negative. The others need a catalogue. "warp": negatives are
        drawn until one violates the margin of 1; its hinge weighs 1 + 1/2 + ... + 1/r (about log r), r the rank that
        the number of draws lets expect. It looks at the top of the list. "softmax": -log of the positive's share
        among itself and ``n_negatives``. "ensfm": nothing is drawn; half the squared error to 1 for what a query
        (equal rows of ``X``) chose and to 0 for all else, which weighs ``negative_weight``:

            1/2 sum_q sum_v c_qv (z_qv - y(q, v))^2

        The scores of training are near 0 to 1 then, and the query's own terms are trained too.
    negatives : {"uniform", "popularity"}, default="uniform"
        How catalogue negatives are drawn, or weigh in "ensfm"; "popularity" is proportional to (times chosen)^0.75.
        WARP's rank estimate needs "uniform".
    n_negatives : int, default=10
        Negatives of each choice for "softmax"; draws at most for "warp". "bpr" takes ``n_pairs``.
    hard_negatives : float, default=0
        Share of the negatives of "bpr" and "softmax" that stand high in the query's own list, by exact search with the
        vectors that the machine has at the time. What the owner of the row chose is never among them.
    hard_ranks : (int, int), default=(0, 200)
        They are drawn evenly from these ranks of the list, [low, high), counted from 0.
    hard_every : int, default=1
        Epochs after which the lists are made anew; there are none before the first of these. Lists take 64 MB at most:
        where queries are too many for that, some are drawn to have one until the next time.
    negative_weight : float, default=0.1
        Of "ensfm": mean weight of an item where a query that weighs 1 did not choose it.
    batch_size : int, default=256
        Of "ensfm": queries that are learnt from in one step, which moves the features of all items.
    n_pairs : int, default=1
        Times an epoch that each positive is visited; with "ensfm" each query.
    solver, learning_rate, schedule, max_iter, l2_w, l2_V, l1_w, l1_V, init_scale, columns, n_threads, random_state,
    verbose, callbacks
        As in ``FMRegressor``.

    Attributes
    ----------
    params_ : FMParams
        Over the features of ``X`` and, behind them, those of the catalogue. The bias is 0: it cancels in a pair.
    n_query_features_ : int
        Features of ``X``; those of the catalogue start here.
    history_ : list of dict
        ``train_loss``: mean loss over the visits of each epoch, before each update.

    References
    ----------
    S. Rendle, C. Freudenthaler, Z. Gantner, L. Schmidt-Thieme. BPR: Bayesian personalized ranking from implicit
    feedback. UAI 2009. The query side's own terms cancel in a pair and are not trained. Ours: with a catalogue the
    machine starts at the order by popularity, and popular negatives are corrected for (logQ). WARP: J. Weston,
    S. Bengio, N. Usunier. WSABIE. IJCAI 2011. Sampled softmax: Y. Bengio, J.-S. Senecal 2008; X. Yi et al. RecSys 2019.
    C. Chen, M. Zhang, W. Ma, Y. Liu, S. Ma. Efficient non-sampling factorization machines for optimal context-aware
    recommendation. WWW 2020; ours has the pairs inside the item, weighs popular items by their mean and not their sum,
    and starts at the best scores without personalisation. Hard negatives: W. Zhang, T. Chen, J. Wang, Y. Yu.
    Optimizing top-N collaborative filtering via dynamic negative item sampling. SIGIR 2013; ours come from ranks of
    the whole catalogue.
    """

    early_stopping = False
    deterministic = False
    warm_start = False
    n_iter_no_change = 1
    shuffle = True
    tol = 0.0

    def __init__(
        self,
        n_factors: int = 16,
        *,
        loss: str = "bpr",
        negatives: str = "uniform",
        n_negatives: int = 10,
        n_pairs: int = 1,
        hard_negatives: float = 0.0,
        hard_ranks: tuple[int, int] = (0, 200),
        hard_every: int = 1,
        negative_weight: float = 0.1,
        batch_size: int = 256,
        solver: str = "adagrad",
        learning_rate: float | None = None,
        schedule: str = "constant",
        max_iter: int = 30,
        l2_w: float = 0.0,
        l2_V: float = 0.0,
        l1_w: float = 0.0,
        l1_V: float = 0.0,
        init_scale: float = 0.05,
        columns: Any = None,
        n_threads: int = 1,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = None,
    ) -> None:
        self.n_factors = n_factors
        self.loss = loss
        self.negatives = negatives
        self.n_negatives = n_negatives
        self.n_pairs = n_pairs
        self.hard_negatives = hard_negatives
        self.hard_ranks = hard_ranks
        self.hard_every = hard_every
        self.negative_weight = negative_weight
        self.batch_size = batch_size
        self.solver = solver
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.max_iter = max_iter
        self.l2_w = l2_w
        self.l2_V = l2_V
        self.l1_w = l1_w
        self.l1_V = l1_V
        self.init_scale = init_scale
        self.columns = columns
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        catalogue: Rows | None = None,
        sample_weight: Any = None,
        owners: Any = None,
    ) -> FMRanker:
        """Fit to labelled rows, or to choices from a catalogue.

        Parameters
        ----------
        X : table, matrix or Rows (n_rows, ...)
        y : (n_rows,)
            Labels to order by; with ``catalogue`` the chosen positions in it.
        groups : (n_rows,) or None
            Only rows of one group are compared; with ``catalogue``, nothing that the group ever chose is drawn as
            a negative (in "ensfm" it has no weight). None: one group; with ``catalogue``, only the row's own choice is
            spared (in "ensfm" what an equal row chose).
        catalogue : Rows (n_items, ...) or None
            Item side features, with ids of their own from 0.
        sample_weight : (n_rows,) or None
            Weight of each positive's pairs. In "ensfm" the weights of a query's choices of an item add up, and where
            it chose nothing their mean over all its choices weighs.
        owners : (n_rows,) or None
            Who chose, for ``hard_negatives``: nothing that an owner chose is hard for its rows. None: the groups;
            without groups whoever has an equal row of ``X``.

        Raises ``LabelError`` for labels that are not finite numbers or not positions, ``DataError`` when there is
        nothing to compare.
        """
        rule, hyper, plan = self._check_options()
        if rule is SGDA or rule in EXACT:
            raise OptionError(f"solver={rule.name!r} is for regressors and classifiers, not for rankers")
        self._check_loss(catalogue is not None)
        rows, y = self._input(X, y, fit=True, **({} if catalogue is not None else {"y_numeric": True}))
        if y is None:
            raise LabelError(NO_TARGET)
        rows = self._weigh(rows, sample_weight)
        if not (catalogue is None or isinstance(catalogue, Rows)):
            raise DataError(
                f"catalogue is a {type(catalogue).__name__}, but Rows are expected; see rows_from_csr"
            )
        for name, of_rows in (("groups", groups), ("owners", owners)):
            if of_rows is not None and len(of_rows) != rows.n_rows:
                raise DataError(f"X has {rows.n_rows} rows, but {name} has {len(of_rows)}")
        self.n_query_features_ = rows.n_features
        self.history_: list[dict[str, Any]] = []
        if catalogue is None:
            self._start_tables(rows, [0.0], rule, hyper)
            self._forget_unseen(rows)
            self._fit_labels(rows, self._labels(y), groups, hyper, plan)
        else:
            catalogue.check_ids(catalogue.n_features)
            items = shift_ids(catalogue, rows.n_features)
            both = self._both(rows, items)
            self._start_tables(both, [0.0], rule, hyper)
            self._forget_unseen(both)
            chosen = self._positions(y, catalogue.n_rows)
            if self.loss == "ensfm":
                fit_whole(self, rows, items, chosen, groups, hyper, plan)
            else:
                fit_choices(self, rows, items, chosen, groups, owners, hyper, plan)
        return self

    def predict(self, X: Any, items: Rows | None = None) -> Floats:
        """Return scores (n_rows,): only their order means something.

        A machine that was fitted with a catalogue scores each row of ``X`` together with the same row of ``items``
        (catalogue features).
        """
        check_is_fitted(self, "_machines")
        if items is None:
            if self.n_query_features_ < self._machines[0].V.shape[0]:
                raise DataError(
                    "the model was fitted with a catalogue: pass items, the catalogue row of each row of X"
                )
            return self._raw(X)[:, 0]
        rows, _ = self._input(X)
        joined = self._joined(rows, shift_ids(items, self.n_query_features_))
        joined.check_ids(self._machines[0].V.shape[0])
        threads = thread_count(self.n_threads)
        return self._machine.scores(joined, self._machines[0], n_threads=threads).astype(np.float64)

    def _both(self, rows: Rows, items: Rows) -> Rows:
        """Return rows that have the features of both sides."""
        return Rows(np.concatenate([rows.indices, items.indices]), items.n_features)

    def _fit_labels(self, rows: Rows, y: Floats, groups: Any, hyper: Hyper, plan: Plan) -> None:
        pairs = LabelPairs.of(y, np.zeros(rows.n_rows) if groups is None else np.asarray(groups))
        if not len(pairs):
            raise DataError(
                f"no two of the {rows.n_rows} rows (n_samples={rows.n_rows}) of one group have different labels, so "
                "there is no pair to learn from; pass groups with at least two labels each"
            )
        self._expect((rows, pairs.looks()))
        rng = stream(self.random_state, "pairs")

        def visit(part: Positions, hyper: Hyper) -> float:
            better, worse = pairs.draw(part % len(pairs), rng)
            weight = None if rows.weight is None else rows.weight[better]
            return self._pass(rows, better, worse, hyper, weight=weight)

        weight = 1.0 if rows.weight is None else float(rows.weight[pairs.better].mean(dtype=np.float64))
        self._run(visit, len(pairs), rows.nnz // rows.n_rows * 2, hyper, plan, weight)

    def _expect(self, *sides: tuple[Rows, Floats]) -> None:
        """Take how often an epoch will look at each row of each side: networks spread their penalties by it."""

    def _check_loss(self, catalogued: bool) -> None:
        check_choice("loss", self.loss, (*LOSSES, "ensfm"))
        check_whole(self)
        check_hard(self)
        check_choice("negatives", self.negatives, ("uniform", "popularity"))
        check_count("n_negatives", self.n_negatives, low=1, high=100_000)
        check_count("n_pairs", self.n_pairs, low=1)
        if self.loss != "bpr" and not catalogued:
            raise OptionError(
                f"loss={self.loss!r} draws its negatives from a catalogue: pass catalogue to fit, or use loss='bpr'"
            )
        if self.loss == "warp" and self.negatives != "uniform":
            raise OptionError(
                f"negatives={self.negatives!r}, but WARP estimates ranks from even draws: use negatives='uniform'"
            )

    def _joined(self, rows: Rows, items: Rows) -> Rows:
        """Return each query row with the item row beside it; their ids differ already."""
        return join_rows(rows, items)

    def _choice_pass(
        self, rows: Rows, items: Rows, which: Positions, negatives: Negatives, hyper: Hyper, **more: Any
    ) -> tuple[float, int]:
        """Visit the choices ``which``; see ``kernels.choices.choice_pass``."""
        return choice_pass(self.loss, rows, items, which, negatives, self._machines[0], hyper, **more)

    def _pass(self, sides: Rows, better: Positions, worse: Positions, hyper: Hyper, **more: Any) -> float:
        threads = thread_count(self.n_threads)
        return pair_pass(sides, better, worse, self._machines[0], hyper, n_threads=threads, **more)[0]

    def _run(
        self,
        visit: Visit,
        n_positives: int,
        nnz_a_pair: int,
        hyper: Hyper,
        plan: Plan,
        mean_weight: float,
        before_epoch: Callable[[], None] | None = None,
    ) -> None:
        """Run the epochs; position p of an epoch is a pair of positive p modulo their number."""
        n_pairs = n_positives * self.n_pairs
        rng = stream(self.random_state, "order")

        def orders() -> Iterator[Positions]:
            if before_epoch is not None:
                before_epoch()
            return calls(row_order(n_pairs, rng, plan), nnz_a_pair)

        run_epochs(
            self._machines,
            visit,
            n_pairs,
            hyper,
            plan,
            rng,
            total_weight=n_pairs * mean_weight,
            nnz=n_pairs * nnz_a_pair,
            callback=self._callback(),
            model=self,
            orders=orders,
        )

    @staticmethod
    def _labels(y: Any) -> Floats:
        try:
            labels = np.asarray(y, np.float64)
        except (TypeError, ValueError) as exc:
            raise LabelError(
                f"y has dtype {np.asarray(y).dtype}, but labels to order by are numbers"
            ) from exc
        if not np.isfinite(labels).all():
            row = int(np.argmin(np.isfinite(labels)))
            raise LabelError(f"row {row} has label {labels[row]}, but only finite numbers can be ordered")
        return labels

    @staticmethod
    def _positions(y: Any, n_items: int) -> Positions:
        chosen = np.asarray(y)
        expected = f"but with a catalogue it holds positions in it: whole numbers from 0 to {n_items - 1}"
        if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
            raise LabelError(f"y has dtype {chosen.dtype} and shape {chosen.shape}, {expected}")
        if not 0 <= chosen.min() <= chosen.max() < n_items:
            raise LabelError(f"y has values from {chosen.min()} to {chosen.max()}, {expected}")
        return chosen.astype(np.int64)

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, meta = super().to_state()
        return arrays, meta | {"n_query_features": self.n_query_features_}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> FMRanker:
        model = super().from_state(arrays, meta)
        model.n_query_features_ = meta["n_query_features"]
        return model  # type: ignore[no-any-return]
