"""Training on a ``RowStream``: the same epochs, over windows of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier

from crossfm.core.losses import Loss
from crossfm.core.options import Hyper, thread_count
from crossfm.core.rules import SGDA
from crossfm.data.rows import Rows
from crossfm.data.stream import RowStream, Window
from crossfm.errors import DataError, OptionError
from crossfm.estimators.growing import grow
from crossfm.estimators.resuming import belong_rows, belong_start, belong_stream
from crossfm.solvers.epochs import Plan, Scores, calls, row_order, run_epochs
from crossfm.solvers.resume import Resume

Floats = NDArray[np.float64]


class Prepared:
    """A stream whose windows are made ready for the machine of ``model``; it can be iterated again and again."""

    def __init__(self, model: Any, rows: RowStream) -> None:
        self._model, self._rows = model, rows
        self.known: Any = None

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self._rows.n_features)

    def __iter__(self) -> Iterator[Rows]:
        for rows in self._rows:
            ready = self._model._prepared(rows)
            del rows  # a stream reads the next ones
            yield ready


def fit_stream(
    model: Any,
    X: RowStream,
    y: Any,
    sample_weight: Any,
    eval_set: Any,
    *,
    fresh: bool,
    passes: int | None,
    classes: Any,
    resume: Resume | None = None,
) -> None:
    """Do what ``BaseFM._fit`` does, on a stream; one window in file order gives the same bits."""
    refuse_beside(y, sample_weight)
    rule, hyper, plan = model._check_options()
    if rule is SGDA:
        raise OptionError(
            'solver="sgda" adapts on validation rows in memory; choose another solver for a stream'
        )
    loss = model._loss()
    if passes is not None:
        plan = replace(plan, max_iter=passes, patience=None)
    meet_features(model, X, fresh=fresh, growing=passes is not None)
    if not fresh:
        model._check_going_on(Prepared(model, X))
    if fresh:
        model.history_ = []
        _learn_target(model, X, classes)
    model._learn_class_weight(lambda: _count(model, X), anew=fresh or passes is None, passes=passes)
    means = _mean_targets(model, X)
    train, valid = X, None
    if eval_set is not None:
        valid = _validation(model, eval_set)
    elif plan.patience is not None or (model.calibrate and passes is None):
        seed = int(model._numbers("validation").integers(2**31))
        train, valid = X.split(model.validation_fraction, seed)
    rows = Prepared(model, train)
    tables = float(model._machine.table_bytes(rows, model.n_factors, rule) * len(means))
    share = 1.0 if rule.row_wise else 1.0 / (1 + rule.states)
    saved = tables * share  # the parameters of a saved model, or at the start
    best = tables if plan.patience is not None else 0.0
    if resume is not None:
        saved = max(saved, tables + best)  # the file, when it is read
    nonzeros = train.nnz / max(train.cache.layout.n_rows, 1)  # a row
    layers = model._layer_bytes(
        rows, len(means), train.n_rows, nonzeros, fresh=fresh, judged=valid is not None
    )
    X.need(tables * fresh + best, saved, layers=layers)
    if fresh:
        biases = [loss.start(mean) for mean in means]
    elif passes is not None:
        grow(model, X.n_features, model.encoder_)
    if not fresh:
        if resume is not None:
            belong_start(resume, model)
        model._wake(rows, hyper, more=passes is not None)
    else:
        model._start_tables(rows, biases, rule, hyper)
        if passes is None:
            model._forget_unseen(rows)
    rows.known = None  # it takes memory
    if resume is not None:
        belong_stream(resume, train)
        if isinstance(valid, RowStream):
            belong_stream(resume, valid, "validation rows")
        elif valid is not None:
            belong_rows(resume, valid[0], valid[1], "validation rows")
    training = _Training(model, train, valid, loss, plan)
    training.run(hyper, resume)
    if valid is not None and model.calibrate and passes is None:
        model._calibrate_on(*training.validation_scores())
    if resume is not None:
        resume.remove()


def refuse_beside(y: Any, sample_weight: Any) -> None:
    """Raise ``OptionError`` for a target or weights beside a stream."""
    if y is not None or sample_weight is not None:
        raise OptionError(
            "a stream brings its own target and weights: name their columns in crossfm.stream()"
        )


def meet_features(model: Any, X: RowStream, *, fresh: bool, growing: bool = False) -> None:
    """Learn from the stream how rows were encoded, or refuse one that was encoded in another way."""
    if fresh:
        own = None if X.encoder is None else X.encoder.columns
        if model.columns is not None and tuple(model.columns) != own:
            raise OptionError(
                "columns of the model differ from those of the stream: give them to crossfm.stream()"
            )
        model.encoder_, model.n_features_in_ = X.encoder, X.n_features
        if X.encoder is not None:
            model.feature_names_in_ = np.array(X.encoder.fields, dtype=object)
            model.n_features_in_ = len(X.encoder.fields)
        return
    if (model.encoder_ is None) != (X.encoder is None) or not alike(model.encoder_, X.encoder):
        raise DataError(
            "the stream's rows are not encoded as the model's: open it with crossfm.stream(..., encoder=model.encoder_)"
        )
    if X.encoder is None and X.n_features > model.n_features_in_ and not growing:
        for rows in X:
            rows.check_ids(model.n_features_in_)
            del rows


def alike(a: Any, b: Any) -> bool:
    """Whether two encoders make the same features of a table."""
    if a is b:
        return True
    (arrays, meta), (others, other) = a.to_state(), b.to_state()
    names = (arrays.keys() | others.keys()) - {"feature_counts"}
    return meta == other and all(np.array_equal(arrays.get(n), others.get(n)) for n in names)


def _learn_target(model: Any, X: RowStream, classes: Any) -> None:
    """Learn the classes, or mean and deviation of the numbers."""
    if is_classifier(model):
        found = np.unique(np.concatenate([np.unique(target) for target, _ in X.targets()]))
        model._learn_target(X.labels(found), None, classes)
        return
    total, mean, variance = 0.0, 0.0, 0.0
    for target, weight in _weighed(X):
        if total == 0:
            model._learn_target(X.labels(target), weight, None)
        if model.loss != "squared":
            return
        here, around = moments(X.labels(target).astype(np.float64), weight)
        added = _weight(target, weight)
        total += added
        share, apart = added / total, here - mean
        variance += share * (around - variance + (1 - share) * apart**2)
        mean += share * apart
    model._standardise(mean, variance)


def moments(target: Floats, weight: Any) -> tuple[float, float]:
    """Return mean and variance of ``target`` (n_rows,) under ``weight`` (n_rows,) or None."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.average(target, weights=weight))
        return mean, float(np.average((target - mean) ** 2, weights=weight))


def _weight(rows: Any, weight: Any) -> float:
    """Return the summed weight of ``rows``."""
    return len(rows) if weight is None else float(weight.sum(dtype=np.float64))


def _weighed(X: RowStream) -> Iterator[tuple[Floats, NDArray[np.float32] | None]]:
    """Yield targets and weights, without windows whose weights are all 0."""
    empty = True
    for target, weight in X.targets():
        if weight is None or weight.any():
            empty = False
            yield target, weight
    if empty:
        raise DataError("sample_weight is 0 everywhere: nothing to fit")


def _mean_targets(model: Any, X: RowStream) -> list[float]:
    """Return the mean target of each machine."""
    total, means = 0.0, np.zeros(0)
    for target, weight in _weighed(X):
        each = model._targets(X.labels(target))
        weight = model._row_weights(weight, each)
        if weight is not None and not weight.any():
            continue
        here = np.array([np.average(one, weights=weight) for one in each])
        added = _weight(target, weight)
        total += added
        means = here if not len(means) else means + (here - means) * (added / total)
    if not total:
        raise DataError("the rows of all classes with a class_weight above 0 have sample_weight 0")
    return [float(mean) for mean in means]


def _count(model: Any, X: RowStream) -> tuple[int, list[float]]:
    """Return the number of rows and the sum of each machine's target."""
    n_rows, positives = 0, np.zeros(1)
    for target, _ in X.targets():
        n_rows += len(target)
        positives = positives + np.array([each.sum() for each in model._targets(X.labels(target))])
    return n_rows, positives.tolist()


def _validation(model: Any, eval_set: Any) -> Any:
    """Return ``eval_set`` as a stream, or as rows and targets."""
    X = validation_stream(model, eval_set)
    return model._eval_rows(eval_set) if X is None else X


def validation_stream(model: Any, eval_set: Any) -> RowStream | None:
    """Return the stream in ``eval_set``, if there is one."""
    X = eval_set[0] if isinstance(eval_set, (tuple, list)) and len(eval_set) == 2 else eval_set
    if not isinstance(X, RowStream):
        return None
    if X is not eval_set and eval_set[1] is not None:
        raise OptionError("a stream brings its own target: pass eval_set=(stream, None)")
    meet_features(model, X, fresh=False)
    return X


class _Training:
    """The epochs over the windows of ``train``."""

    def __init__(self, model: Any, train: RowStream, valid: Any, loss: Loss, plan: Plan) -> None:
        self.model, self.train, self.valid, self.loss, self.plan = model, train, valid, loss, plan
        self.threads = thread_count(model.n_threads)
        self.data: list[Rows] = []

    def run(self, hyper: Hyper, resume: Resume | None = None) -> None:
        """Train; see ``run_epochs``."""
        model, train = self.model, self.train
        tables, done = model._tables(), model._epochs_done()
        rng = model._numbers(f"order {done}")
        nonzeros = train.nnz / max(train.cache.layout.n_rows, 1)  # a row
        run_epochs(
            tables,
            lambda order, hyper: model._visit(self.data, order, self.loss, hyper, self.threads),
            train.n_rows,
            hyper,
            self.plan,
            rng,
            total_weight=self._total_weight(),
            nnz=int(nonzeros * train.n_rows) * len(tables),
            validate=self.validate if self.valid is not None else None,
            callback=model._callback(),
            model=model,
            first_epoch=done,
            orders=lambda: self.orders(rng, nonzeros * len(tables)),
            resume=resume,
        )

    def orders(self, rng: np.random.Generator, nonzeros: float) -> Iterator[NDArray[np.int64]]:
        """Put one window after another into ``data`` and yield the rows of it to visit."""
        for window in self.train.windows(rng if self.plan.shuffle else None):
            rows = self.model._prepared(window.rows)
            targets = self._targets(window)
            weight = self.model._row_weights(rows.weight, targets)
            self.data = [rows.with_target(target, weight) for target in targets]
            order = row_order(window.n_chosen, rng, self.plan)
            order = order if window.chosen is None else window.chosen[order]
            del window, rows  # so that two are in memory at a time
            yield from calls(order, nonzeros)
            self.data = []

    def _total_weight(self) -> float:
        if not self.train.cache.layout.weighted and getattr(self.model, "class_weight_", None) is None:
            return self.train.n_rows
        return sum(_weight(y, self._weights(y, w)) for y, w in self.train.targets())

    def _weights(self, target: Floats, weight: Any) -> Any:
        """Return the weights under which rows of ``train`` are learnt."""
        if getattr(self.model, "class_weight_", None) is None:
            return weight
        return self.model._row_weights(weight, self.model._targets(self.train.labels(target)))

    def _targets(self, window: Window) -> list[Floats]:
        targets: list[Floats] = self.model._targets(self.train.labels_of(window.rows))
        return targets

    def validate(self) -> Scores:
        """Return how the machines do on the validation rows."""
        model = self.model
        if not isinstance(self.valid, RowStream):
            found: Scores = model._validation_scores(*self.valid, self.loss, self.threads)
            return found
        if model.monitor == "auc":  # the one measure that needs all rows at once
            scores, targets, weight = self.validation_scores()
            judged: Scores = model._judge(scores, targets, model._row_weights(weight, targets), self.loss)
            return judged
        total, value = 0.0, 0.0
        for rows in self.valid:
            targets = model._targets(self.valid.labels_of(rows))
            weight = model._row_weights(rows.weight, targets)
            if weight is None or weight.any():
                here = model._validation_scores(model._prepared(rows), targets, self.loss, self.threads).loss
                added = _weight(rows, weight)
                total += added
                value += (here - value) * (added / total)
            del rows
        return Scores(value, None, -value if np.isfinite(value) else -np.inf)

    def validation_scores(self) -> tuple[list[Any], list[Floats], Any]:
        """Return scores and targets (n_rows,) of the validation rows, one of each a machine, and their weights."""
        model = self.model
        if not isinstance(self.valid, RowStream):
            rows, targets = self.valid
            return model._scores(rows), targets, rows.weight
        kept = []
        for rows in self.valid:  # 12 bytes of each row and machine, and its weight
            targets = model._targets(self.valid.labels_of(rows))
            kept.append((model._raw(rows).T.astype(np.float32), np.stack(targets), rows.weight))
            del rows
        scores, target, weights = zip(*kept, strict=True)
        weight = None if weights[0] is None else np.concatenate(weights)
        return list(np.concatenate(scores, axis=1)), list(np.concatenate(target, axis=1)), weight
