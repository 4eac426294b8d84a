"""Ordered levels, such as ratings, as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from crossfm.core.losses import Loss
from crossfm.core.options import check_choice, thread_count
from crossfm.errors import LabelError
from crossfm.estimators.base import BaseFM
from crossfm.kernels import fm

Floats = NDArray[np.float64]
MOST = 256  # levels

LEVELS = Loss(
    name="ordinal",
    code=-1,  # no kernel has it
    predict=lambda probability: probability,
    value=lambda probability, level: (
        -np.log(np.maximum(probability[np.arange(len(level)), level.astype(np.int64)], 1e-15))
    ),
    start=lambda mean: 0.0,
    allowed=lambda y: np.ones(len(y), bool),
    expects="finite numbers",
)


class FMOrdinalRegressor(RegressorMixin, BaseFM):  # type: ignore[misc]
    """Factorization machine of degree 2 for ordered levels, such as ratings of 1 to 5 stars: ordered probit.

    A level says between which two cut points a latent target falls, which is normal around the score with deviation 1.
    The cut points are learnt, so that the step from 1 to 2 stars may be another one than that from 4 to 5. All is drawn
    from the posterior of a Bayesian machine, as in ``FMRegressor(solver="mcmc")``.

    Levels are numbers in their order; at most 256 different ones. Text is refused, for its order is not that of the
    levels: give its numbers.

    Parameters
    ----------
    n_factors : int, default=8
        Length of each row of ``V``; 0 gives a linear model.
    solver : {"mcmc"}, default="mcmc"
    max_iter : int, default=200
        Iterations.
    burn_in, groups, keep_samples, init_scale, normalize, fields, columns, tables, n_threads : as in ``FMRegressor``
    checkpoint, checkpoint_seconds, warm_start, random_state, verbose, callbacks : as in ``FMRegressor``

    Attributes
    ----------
    classes_ : (n_levels,)
        The levels, from low to high.
    cuts_ : (n_levels - 1,)
        Mean of the cut points over the samples kept.
    eval_prediction_ : (n_rows, n_levels)
        Probabilities of the rows of ``eval_set``, see ``FMRegressor``.
    params_ : FMParams
        The last sample, with bias 0; it gives a latent target.
    encoder_, n_iter_ : as in ``FMRegressor``
    history_ : list of dict
        Losses and seconds of each epoch. Losses are means of -log of the probability of a row's level: those of the
        sample before, and on ``eval_set`` of the mean probabilities of all samples since the burn-in of this ``fit``.

    References
    ----------
    J. Albert, S. Chib. Bayesian Analysis of Binary and Polychotomous Response Data. JASA 1993; M. Cowles. Accelerating
    Monte Carlo Markov chain convergence for cumulative-link generalized linear models. Statistics and Computing 1996.
    Ours: the step of the cut points, see ``crossfm.solvers.latent``, whose prior is flat; the bias is 0, which
    they stand for.
    """

    learning_rate = None  # what BaseFM asks for and this estimator has no use of
    schedule = "constant"
    l2_w = l2_V = None
    l1_w = l1_V = 0.0
    early_stopping = False
    validation_fraction = 0.1
    n_iter_no_change = 3
    tol = 0.0
    shuffle = True
    deterministic = False
    _y_checks: ClassVar[dict[str, Any]] = {"y_numeric": True}

    def __init__(
        self,
        n_factors: int = 8,
        *,
        solver: str = "mcmc",
        max_iter: int = 200,
        burn_in: int | None = None,
        groups: Any = "fields",
        keep_samples: int = 50,
        init_scale: float | None = None,
        normalize: bool = False,
        fields: Any = None,
        columns: Any = None,
        tables: Any = None,
        n_threads: int = 1,
        checkpoint: Any = None,
        checkpoint_seconds: float = 60.0,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = None,
    ) -> None:
        self.n_factors = n_factors
        self.solver = solver
        self.max_iter = max_iter
        self.burn_in = burn_in
        self.groups = groups
        self.keep_samples = keep_samples
        self.init_scale = init_scale
        self.normalize = normalize
        self.fields = fields
        self.columns = columns
        self.tables = tables
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, eval_set: Any = None
    ) -> FMOrdinalRegressor:
        """Fit to ``X`` (a table, a dense or sparse matrix, or ``Rows``) and levels ``y`` (n_rows,).

        ``sample_weight`` says how often a row counts: whole numbers. ``y`` may be left out for ``Rows`` that carry a
        target. ``eval_set`` is (X, y), to follow the validation loss. Raises ``DataError``, ``LabelError``,
        ``OptionError`` or ``DivergenceError``.
        """
        check_choice("solver", self.solver, ("mcmc",))
        self._fit(X, y, sample_weight, eval_set, fresh=not self.warm_start)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the expected level (n_rows,), the prediction of least squared error; it lies between levels.

        ``return_std`` adds the deviation (n_rows,) of a new level. For the most likely level see ``predict_mode``.
        """
        probability, level = self.predict_proba(X), self.classes_.astype(np.float64)
        mean = probability @ level
        if not return_std:
            return mean
        apart = level - mean[:, None]
        return mean, np.sqrt((probability * apart**2).sum(axis=1))

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each level (n_rows, n_levels), in the order of ``classes_``."""
        return np.asarray(self._raw(X)[:, 0])

    def predict_mode(self, X: Any) -> NDArray[Any]:
        """Return the most likely levels (n_rows,), the prediction that is right most often."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    @property
    def cuts_(self) -> Floats:
        """Mean of the cut points (n_levels - 1,) over the samples kept."""
        if self._chain is None:
            raise AttributeError("cuts_ is there after fit")
        return np.asarray(np.mean(self._chain.kept_cuts or [self._chain.cuts], axis=0))

    def _link(self) -> str:
        return "ordinal"

    def _loss(self) -> Loss:
        return LEVELS

    def _scores(self, rows: Any) -> list[NDArray[Any]]:
        """Return the probabilities of the levels (n_rows, n_levels); in the burn-in those of the present sample."""
        if self._chain is None or self._chain.samples or not self._chain.keep:
            return super()._scores(rows)
        score = fm.scores(rows, self._machines[0], n_threads=thread_count(self.n_threads))
        return [self._chain.said(score)]

    def _learn_target(self, y: Any, weight: Any, classes: Any) -> None:
        y = np.asarray(y)
        if y.dtype.kind not in "biu":
            y = self._numbers_of(y)
        found = np.unique(y)
        if len(found) < 2:
            raise LabelError(
                f"y has 1 class only, level {found[:1].tolist()}, but at least two levels are needed"
            )
        if len(found) > MOST:
            raise LabelError(
                f"y has {len(found)} different values, but levels are at most {MOST}; FMRegressor is for more"
            )
        self.classes_ = found

    def _targets(self, y: Any) -> list[Floats]:
        """Return the number of each row's level (n_rows,)."""
        target = self._numbers_of(y)
        level = np.minimum(np.searchsorted(self.classes_, target), len(self.classes_) - 1)
        unknown = self.classes_[level] != target
        if unknown.any():
            row = int(np.argmax(unknown))
            raise LabelError(
                f"row {row} has level {target[row]:g}, but the levels are {self.classes_.tolist()}"
            )
        return [level.astype(np.float64)]

    def _numbers_of(self, y: Any) -> Floats:
        try:
            target = np.asarray(y, np.float64).ravel()
        except (TypeError, ValueError) as exc:
            raise LabelError(
                "the levels are text or other things that are no numbers: number them in their order"
            ) from exc
        LEVELS.check(target)
        return target

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, meta = super().to_state()
        return arrays | {"classes": self.classes_}, meta

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> FMOrdinalRegressor:
        model = super().from_state(arrays, meta)
        model.classes_ = arrays["classes"].copy()
        return model  # type: ignore[no-any-return]
