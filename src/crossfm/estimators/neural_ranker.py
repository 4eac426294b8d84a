"""Neural factorization machines that learn an order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import Hyper, thread_count
from crossfm.data.blocks import concat_rows
from crossfm.data.rows import Rows, join_rows
from crossfm.errors import OptionError
from crossfm.estimators.inputs import with_fields
from crossfm.estimators.neural import Neural
from crossfm.estimators.ranker import FMRanker
from crossfm.kernels.choices import Negatives

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]
LOSSES = ("bpr", "softmax")


class NeuralFMRanker(Neural, FMRanker):
    """A neural machine of the family trained on order: what was chosen should score above what was not.

    ``fit`` takes labelled rows, or choices from a catalogue, as ``FMRanker.fit`` does.

    Parameters
    ----------
    n_factors : int, default=16
    loss : {"bpr", "softmax"}, default="bpr"
        As in ``FMRanker``. "softmax" needs a catalogue.
    negatives, n_negatives, n_pairs : as in ``FMRanker``
    model, hidden, dropout, batch_norm, activation, model_options, pretrained, solver, learning_rate, learning_rate_V,
    learning_rate_w, schedule, warmup, max_iter, batch_size, l2_w, l2_V, l2_layers, clip_norm, cowclip, init_scale,
    precision, device, compile, columns, n_threads, random_state, verbose, callbacks
        As in ``NeuralFMRegressor``. ``batch_size`` counts pairs, or choices; ``l2_V`` None is 5 over those of an epoch.
        ``pretrained`` is for columns of ``X``.

    Attributes
    ----------
    params_ : NetworkParams
        Over the features of ``X`` and, behind them, those of the catalogue.
    n_query_features_, history_ : as in ``FMRanker``

    References
    ----------
    As ``FMRanker``. With a catalogue the linear weights start at the order by popularity, popular negatives are
    corrected for (logQ).
    """

    init = None
    hard_negatives = 0.0  # not an option of networks, nor are those of loss="ensfm"
    negative_weight = 1.0

    def __init__(
        self,
        n_factors: int = 16,
        *,
        model: str = "nfm",
        hidden: Any = None,
        dropout: Any = None,
        batch_norm: bool | None = None,
        activation: str | None = None,
        model_options: Any = None,
        pretrained: Any = None,
        loss: str = "bpr",
        negatives: str = "uniform",
        n_negatives: int = 10,
        n_pairs: int = 1,
        solver: str = "adagrad-row",
        learning_rate: float = 0.001,
        learning_rate_V: float | None = None,
        learning_rate_w: float | None = None,
        schedule: str = "constant",
        warmup: int = 0,
        max_iter: int = 20,
        batch_size: int = 1024,
        l2_w: float = 0.0,
        l2_V: float | None = None,
        l2_layers: float = 0.0,
        clip_norm: float = 0.0,
        cowclip: float = 0.0,
        init_scale: float = 0.05,
        precision: str = "float32",
        device: str = "cpu",
        compile: bool = False,
        columns: Any = None,
        n_threads: int = 1,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = None,
    ) -> None:
        self.n_factors = n_factors
        self.model = model
        self.hidden = hidden
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.activation = activation
        self.model_options = model_options
        self.pretrained = pretrained
        self.loss = loss
        self.negatives = negatives
        self.n_negatives = n_negatives
        self.n_pairs = n_pairs
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_V = learning_rate_V
        self.learning_rate_w = learning_rate_w
        self.schedule = schedule
        self.warmup = warmup
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.l2_w = l2_w
        self.l2_V = l2_V
        self.l2_layers = l2_layers
        self.clip_norm = clip_norm
        self.cowclip = cowclip
        self.init_scale = init_scale
        self.precision = precision
        self.device = device
        self.compile = compile
        self.columns = columns
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def _check_loss(self, catalogued: bool) -> None:
        if self.loss not in LOSSES:
            raise OptionError(
                f"loss={self.loss!r}, but a network is trained with one of {', '.join(map(repr, LOSSES))}"
            )
        super()._check_loss(catalogued)

    def _expect(self, *sides: tuple[Rows, Floats]) -> None:
        if self._machine.shrinks:
            self._machines[0].expect(sides)

    def _both(self, rows: Rows, items: Rows) -> Rows:
        parts = [part.with_target(None) for part in (rows, self._beside(rows, items))]
        if not self._machine.FIELDS:  # then only one side may have them
            parts = [replace(part, fields=None) for part in parts]
        return concat_rows(parts)

    def _joined(self, rows: Rows, items: Rows) -> Rows:
        if self._machine.FIELDS:
            return join_rows(rows, self._with_fields(items), left_fields=self.n_query_fields_)
        return join_rows(rows, items)

    def _beside(self, rows: Rows, items: Rows) -> Rows:
        """Return ``items`` with their fields behind those of ``rows``, which are counted here."""
        if not self._machine.FIELDS:
            return items
        items = self._with_fields(items)
        assert rows.fields is not None
        assert items.fields is not None
        self.n_query_fields_ = int(rows.fields.max(initial=0)) + 1
        return replace(items, fields=items.fields + np.uint32(self.n_query_fields_))

    def _with_fields(self, items: Rows) -> Rows:
        """Return ``items``, whose ids stand behind those of the queries, with fields from 0."""
        if items.fields is not None:
            return with_fields(items)
        own = with_fields(replace(items, n_features=items.n_features - self.n_query_features_))
        return replace(items, fields=own.indices - np.uint32(self.n_query_features_))

    def _choice_pass(
        self, rows: Rows, items: Rows, which: Positions, negatives: Negatives, hyper: Hyper, **more: Any
    ) -> tuple[float, int]:
        weight, offset = more["weight"], more["offset"]
        drawn = negatives.draw(which, more["n_negatives"], more["seed"])
        some = (drawn >= 0).any(axis=1)
        which, drawn = which[some], drawn[some]
        if len(which) == 0:
            return 0.0, 0
        candidates = np.column_stack([negatives.positive[which], drawn])

        def joined(part: slice) -> tuple[Rows, NDArray[np.float32]]:
            each = candidates[part]
            extra = np.zeros(each.shape, np.float32) if offset is None else offset[each]
            extra = np.where(each < 0, np.float32(-np.inf), extra)
            queries = rows.take(np.repeat(which[part], each.shape[1]))
            return self._joined(queries, items.take(np.where(each < 0, each[:, :1], each).ravel())), extra

        with self._machine.steps(self._machines[0], hyper, more["n_threads"]) as steps:
            total = steps.run_choices(joined, len(which), None if weight is None else weight[which])
        return total, len(which)

    def _pass(self, sides: Rows, better: Positions, worse: Positions, hyper: Hyper, **more: Any) -> float:
        with self._machine.steps(self._machines[0], hyper, thread_count(self.n_threads)) as steps:
            return float(steps.run_pairs(sides, better, worse, more["weight"]))

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, meta = super().to_state()
        return arrays, meta | {"n_query_fields": getattr(self, "n_query_fields_", 0)}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> NeuralFMRanker:
        model = super().from_state(arrays, meta)
        model.n_query_fields_ = meta["n_query_fields"]
        return model  # type: ignore[no-any-return]
