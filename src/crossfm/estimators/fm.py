"""Second-order factorization machines as scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from crossfm.core.losses import Loss, find_loss
from crossfm.core.options import check_choice
from crossfm.errors import LabelError, OptionError
from crossfm.estimators.base import BaseFM
from crossfm.estimators.streamed import moments
from crossfm.estimators.weighing import class_weights, rows_of_classes, weigh
from crossfm.solvers.platt import platt

Floats = NDArray[np.float64]


class FMRegressor(RegressorMixin, BaseFM):  # type: ignore[misc]
    """Factorization machine of degree 2 for real-valued targets and counts.

    y(x) = bias + sum_i w_i x_i + sum_{i<j} <V_i, V_j> x_i x_j.

    Parameters
    ----------
    n_factors : int, default=8
        Length of each row of ``V``; 0 gives a linear model.
    solver : {"adagrad", "adagrad-row", "sgd", "adam", "ftrl", "sgda", "als", "mcmc", "vb"}, default="adagrad"
        "adagrad-row" keeps one accumulator for all factors of a feature (less memory); "adam" moves only
        the touched features; "ftrl" is FTRL-Proximal, the one with L1; "sgda" is SGD that learns ``l2_w`` and ``l2_V``
        on validation rows (Rendle, WSDM 2012), one for each column of a table and factor, starting from those given.
        The rows are ``eval_set``, or ``validation_fraction`` of the rows, and early stopping watches the same.
        "als", "mcmc" and "vb" have no learning rate. They are for squared loss (mcmc and vb also for two classes), need
        all rows in memory (a stream is gathered, where it fits) and visit features, not rows: an epoch is a
        sweep over all features, ``shuffle`` is without meaning, and the bits do not depend on ``n_threads``. "als",
        alternating least squares, moves all weights of a feature to their best given the others. "mcmc" draws them, the
        noise, and mean and precision of each group of features from the posterior of a Bayesian machine (Gibbs
        sampling); predictions are means over the samples. It is the best on ratings; give it some hundred iterations.
        "vb", variational Bayes, learns the same model by independent normals around one set of weights: quick to
        predict, done in some twenty epochs, a little worse than mcmc.
    loss : {"squared", "poisson"}, default="squared"
        "poisson" predicts exp(score), for counts.
    learning_rate : float or None, default=None
        Step size; None takes the solver's own: adagrad and ftrl 0.05, sgd and sgda 0.01, adam 0.001.
    schedule : {"constant", "inverse", "linear", "cosine"}, default="constant"
        How the rate falls over the epochs.
    max_iter : int, default=20
        Epochs.
    l2_w : float or None, default=None
        None takes the solver's own: 5 for als, 0 for others.
    l1_w, l1_V : float, default=0
    l2_V : float or None, default=None
        Penalties on the features of each visited row. None takes the solver's own: 0.01 sqrt(n_factors / 8) for adagrad
        and adagrad-row (0.0015 sqrt(n_factors / 8) in FFM), which overfit rare features from the
        second epoch on without one, the more the more factors there are; 10 for als; 0 for others. Those of als
        count once a feature, beside the squared errors of the standardised target: sum e^2 + l2_w |w|^2 + l2_V |V|^2.
        10 is for ratings, mostly noise; where rows say more, take less. mcmc and vb learn their own.
    ftrl_decay : float, default=1
        FTRL: the sum of squared gradients of a weight, which makes its steps smaller, fades by this factor at each of
        its updates. Below 1 the model forgets: what counts are the last 1 / (1 - ftrl_decay) rows of a feature. For
        data that change with time, as in ``partial_fit``.
    precision : {"float32", "bfloat16"}, default="float32"
        How ``V`` is kept in training. "bfloat16", for FM and FFM, takes half the bytes for it (not for the optimizer's
        state) and rounds at random, up or down in proportion; ``params_`` and files are float32 in any case.
    burn_in : int or None, default=None
        mcmc: so many iterations do not count; None: a tenth of ``max_iter``. A chain that goes on has no second one.
    groups : "fields", None or int array (n_features,), default="fields"
        mcmc, vb: which features share mean and precision. "fields": the columns of a table, the fields of ``Rows`` or
        of ``fields``, or the one-hot blocks that a matrix is made of, if it is; None: all are one group.
    keep_samples : int, default=50
        mcmc: keep so many samples at most, evenly spaced, for later predictions and in the model file. Each takes
        4 n_features (n_factors + 1) bytes. 0: none, and only the rows of ``eval_set`` are predicted.
    init_scale : float or None, default=None
        ``V`` starts normal with deviation init_scale / sqrt(n_factors). None is 0.05, but for als, mcmc and vb, where
        ``V`` starts with deviation 0.1 for any number of factors: a chain is slow to leave a start near 0.
    normalize : bool, default=False
        Divide the values of every row by their Euclidean length (libffm's instance-wise normalisation).
    fields : int array (n_features,) or None, default=None
        The field of each column of a matrix; None: every column is one, where there are at most 4096. Tables and
        ``Rows`` bring their own. Machines without fields look at them in ``explain`` only.
    columns : list of columns or None, default=None
        How to encode a table; None infers it (see ``infer_columns``). A matrix is taken as it is, and so is a
        DataFrame whose columns have no names. Later tables need the columns of the first, in its order, as
        scikit-learn asks (the command line picks them by name).
    tables : dict of column to table, or None, default=None
        What is known of the entities that a column of ``X`` names: ``{"user": users, "item": items}``, where ``users``
        is a table with a column "user", each value once, and columns that ``X`` does not have. It is as if they were
        joined to ``X``: an entity that the table lacks has missing cells. "als" and "mcmc" never write the join out
        (see ``relate``), which makes lists of hundreds of items cheap. Vocabularies count entities, the key's too.
        ``predict`` needs ``X`` alone; an entity that neither table nor ``X`` had in ``fit`` has a missing key. Warm
        starts stay with the tables of the first fit; ``normalize`` writes the join out. Known models as columns and
        tables: ``crossfm.designs``.
    early_stopping : bool, default=False
        Stop when the validation loss has not fallen by ``tol`` for ``n_iter_no_change`` epochs and keep the
        best epoch's weights. Validation rows are ``eval_set`` of ``fit``, or ``validation_fraction``.
    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=3
    tol : float, default=0
        Of "vb" without early stopping: it ends when the evidence lower bound rises by less than tol times its size.
    shuffle : bool, default=True
        Visit the rows in a new order every epoch.
    n_threads : int, default=1
        0 uses all cores. One thread gives bit-equal results for one seed; several race on the table
        (Hogwild).
    deterministic : bool, default=False
        Synchronous mini-batches: bit-equal results for any number of threads.
    checkpoint : path or None, default=None
        ``fit`` writes the whole state of the training to this file, and goes on from there when it was killed: called
        again with the same data and settings, it ends with the same bits as if nothing had happened (with one thread,
        or ``deterministic``; als and mcmc in any case). Any other data or settings are refused. The file is taken away
        when ``fit`` is done. ``partial_fit`` does not look at it.
    checkpoint_seconds : float, default=60
        It is written at the end of each epoch, and in an epoch when this many seconds have passed; of als and mcmc,
        whose epochs are short, then only: some 4 (1 + n_factors) bytes a row, and all samples so far.
    warm_start : bool, default=False
        ``fit`` goes on from the last fit instead of starting anew.
    random_state : int, RandomState, Generator or None, default=None
    verbose : int, default=0
        1 shows progress on standard error.
    callbacks : list or None, default=None
        ``Callback`` objects or functions (epoch, model); returning True stops the training.

    Attributes
    ----------
    params_ : FMParams
        ``bias`` (), ``w`` (n_features,), ``V`` (n_features, n_factors).
        After "mcmc" ``params_`` is the last sample, which is not what predicts; after "vb" they are means.
    l2_w_, l2_V_ : (n_groups,), (n_groups, n_factors)
        What "sgda" has found; groups are the columns of a table, one for anything else.
    eval_prediction_ : (n_rows,)
        Of "mcmc": predictions of the rows of ``eval_set``, the mean over all samples since the burn-in of this ``fit``,
        not only over those that are kept. It is not in the model file.
    trace_ : dict of arrays
        What "mcmc" drew in each iteration, in the unit of ``y``: ``burn_in`` (n_iter,), whether it did not count,
        ``alpha`` (n_iter,), the precision of ``y`` around the score, ``bias`` (n_iter,), ``precision`` and ``mean``
        (n_iter, n_groups, 1 + n_factors) of ``w`` and each factor of the features of each group. Warm starts append. It
        takes 16 n_groups (1 + n_factors) bytes an iteration, in memory, model file and checkpoint. For ArviZ, where
        the first axis is that of chains::

            trace = model.trace_
            counts = ~trace.pop("burn_in")
            data = arviz.from_dict(posterior={name: array[None, counts] for name, array in trace.items()})
            arviz.summary(data, var_names=["alpha", "bias"])  # effective sample sizes; also arviz.plot_trace(data)

        More chains are fits with other ``random_state``, stacked. Factors have no order and no sign: look at their
        precisions in one chain, not at their means, and not across chains.
    encoder_ : Encoder or None
        How a table became features; None for matrices.
    history_ : list of dict
        Losses and seconds of each epoch. ``n_iter_`` is their number, ``best_iter_`` the epoch kept. Of "als" and
        "mcmc": half the mean squared error of the standardised target after the sweep; on the ``eval_set`` of mcmc
        that of the mean of all samples since the burn-in of this ``fit``. Epochs of "vb" have ``elbo`` too, the
        evidence lower bound, which does not fall.

    References
    ----------
    S. Rendle. Factorization Machines. ICDM 2010, eq. (1), Lemma 3.1. "sgda": S. Rendle. Learning Recommender Systems
    with Adaptive Regularization. WSDM 2012. "als", "mcmc": C. Freudenthaler, L. Schmidt-Thieme, S. Rendle. Bayesian
    Factorization Machines, 2011; S. Rendle. Factorization Machines with libFM. ACM TIST 2012; priors
    and what differs: ``crossfm.solvers.gibbs``; "vb": ``crossfm.solvers.vb``. Ours: with squared loss the target is
    standardised for training and the parameters are scaled back, so the defaults fit any unit; a feature
    that never occurred in ``fit`` gets w = 0 and V = 0 (mcmc: draws from the prior of its group; vb: its mean).
    """

    def __init__(
        self,
        n_factors: int = 8,
        *,
        solver: str = "adagrad",
        loss: str = "squared",
        learning_rate: float | None = None,
        schedule: str = "constant",
        max_iter: int = 20,
        l2_w: float | None = None,
        l2_V: float | None = None,
        l1_w: float = 0.0,
        l1_V: float = 0.0,
        ftrl_decay: float = 1.0,
        precision: str = "float32",
        burn_in: int | None = None,
        groups: Any = "fields",
        keep_samples: int = 50,
        init_scale: float | None = None,
        normalize: bool = False,
        fields: Any = None,
        columns: Any = None,
        tables: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        tol: float = 0.0,
        shuffle: bool = True,
        n_threads: int = 1,
        deterministic: bool = False,
        checkpoint: Any = None,
        checkpoint_seconds: float = 60.0,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = None,
    ) -> None:
        self.n_factors = n_factors
        self.solver = solver
        self.loss = loss
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.max_iter = max_iter
        self.l2_w = l2_w
        self.l2_V = l2_V
        self.l1_w = l1_w
        self.l1_V = l1_V
        self.ftrl_decay = ftrl_decay
        self.precision = precision
        self.burn_in = burn_in
        self.groups = groups
        self.keep_samples = keep_samples
        self.init_scale = init_scale
        self.normalize = normalize
        self.fields = fields
        self.columns = columns
        self.tables = tables
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.shuffle = shuffle
        self.n_threads = n_threads
        self.deterministic = deterministic
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    _y_checks: ClassVar[dict[str, Any]] = {"y_numeric": True}

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, eval_set: Any = None) -> FMRegressor:
        """Fit to ``X`` (a table, a dense or sparse matrix, or ``Rows``) and ``y`` (n_rows,).

        ``y`` may be left out for ``Rows`` that carry a target. ``eval_set`` is (X, y), given for early stopping
        or to follow the validation loss. Raises ``DataError``, ``LabelError``, ``OptionError`` or
        ``DivergenceError``.
        """
        self._fit(X, y, sample_weight, eval_set, fresh=not self.warm_start)
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> FMRegressor:
        """Make one pass over the rows, starting from the present weights and optimizer state.

        The rows may bring features that were not there before: new categories of a table (numbers keep their scale
        and buckets, hashes their size), more columns of a sparse matrix, larger ids of ``Rows``. Their ids stand
        behind the others, V starts as in ``fit``, and what was learnt stays. A dense matrix keeps its number of
        columns. An error leaves the model as it was. ``fit`` with ``warm_start`` keeps the features as they are.
        """
        self._fit(X, y, sample_weight, None, fresh=False, passes=1)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return predictions (n_rows,): the score, or exp(score) for Poisson; of mcmc the mean over the samples kept.

        ``return_std`` adds the deviation (n_rows,) of a new target, noise included, which mcmc and vb know; others
        raise ``OptionError``. That of vb is a little too small, as it knows of no correlations between weights.
        """
        if return_std:
            mean, variance = self._predictive(X)
            return mean * self._target[1] + self._target[0], np.sqrt(variance) * self._target[1]
        scores = self._raw(X)[:, 0] * self._target[1] + self._target[0]
        return self._loss().predict(scores)

    def predict_quantiles(self, X: Any, quantiles: Any = (0.05, 0.5, 0.95)) -> Floats:
        """Return quantiles (n_rows, n_quantiles) of a new target of each row, noise included, which mcmc alone knows.

        They are those of the mixture of one normal for each sample kept, computed and not drawn: the default gives
        the interval that holds 90 % of new targets, and the median. ``quantiles`` (n_quantiles,) lie between 0 and 1.
        Raises ``OptionError`` for others, and for other solvers.
        """
        return self._predictive_quantiles(X, quantiles) * self._target[1] + self._target[0]

    def _loss(self) -> Loss:
        return find_loss(check_choice("loss", self.loss, ("squared", "poisson")))

    def _learn_target(self, y: Any, weight: Any, classes: Any) -> None:
        self._target, self._learned_loss = (0.0, 1.0), self.loss
        if self.loss == "squared":
            self._standardise(*moments(self._targets(y)[0], weight))

    def _standardise(self, mean: float, variance: float) -> None:
        """Let squared loss learn (y - mean) / deviation."""
        spread = float(np.sqrt(variance))
        if not np.isfinite(spread):
            raise LabelError("the targets are too large to be squared; scale them")
        self._target = (mean, spread if spread > 0 else 1.0)

    def _targets(self, y: Any) -> list[Floats]:
        if self.loss != self._learned_loss:
            raise OptionError(
                f"loss={self.loss!r}, but the model to go on with has {self._learned_loss!r}, which stays. Set "
                "it back, or fit anew with warm_start=False."
            )
        try:
            target = np.asarray(y, np.float64).ravel()
        except (TypeError, ValueError) as exc:
            raise LabelError(
                "the target holds text or other things that are no numbers; use FMClassifier"
            ) from exc
        self._loss().check(target)
        return [(target - self._target[0]) / self._target[1]]

    def _rescaled(self, params: Any) -> Any:
        return params.rescaled(*self._target)

    def _said(self, mean: Floats) -> Floats:
        return mean * self._target[1] + self._target[0]

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, meta = super().to_state()
        return arrays, meta | {"target": list(self._target)}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> FMRegressor:
        model = super().from_state(arrays, meta)
        model._target = (float(meta["target"][0]), float(meta["target"][1]))
        model._learned_loss = model.loss
        return model  # type: ignore[no-any-return]


class FMClassifier(ClassifierMixin, BaseFM):  # type: ignore[misc]
    """Factorization machine of degree 2 for classes, with logistic loss.

    Two classes take one machine; more take one machine a class (one against the rest, as in libFM's practice),
    trained in the same passes, whose probabilities are divided by their sum.

    Parameters
    ----------
    monitor : {"loss", "auc"}, default="loss"
        What early stopping watches; "auc" is for two classes.
    class_weight : "balanced", dict of label to weight, or None, default=None
        Times the sample weights, as in scikit-learn: "balanced" is n_rows / (n_classes * rows of the class); labels
        that a dict lacks have 1. Losses are weighted alike, those of validation too, so that early stopping watches
        what is learnt. Probabilities are then those of classes in other proportions: see ``calibrate``.
        ``partial_fit`` keeps the weights of ``fit``.
    calibrate : bool, default=False
        After training, fit slope and offset of each machine's raw score (Platt scaling) on the validation rows:
        ``eval_set``, or ``validation_fraction`` of the rows, under their sample weights, not those of the classes. Only
        ``predict_proba`` uses them: ``predict`` and ``decision_function`` stay with the raw scores, so class weights
        decide on the label, and the probability is the one that comes true. ``partial_fit`` keeps them.

    solver : as in ``FMRegressor``, but for "als"; default="adagrad"
        "mcmc" is for two classes: the mean probability over the samples is what ``predict_proba`` returns, its log-odds
        are the raw score. An epoch's ``train_loss`` is that of the sample before. Weights of rows and classes say how
        often a row counts: whole numbers up to 1000.
        "vb" is for two classes without weights: the probability is Phi(mean / sqrt(1 + variance)) of a score's.
    link : {"probit", "logistic"} or None, default=None
        mcmc: the probability is the normal distribution function of the score, or 1 / (1 + exp(-score)). None is
        probit, the quicker one; other solvers are logistic.

    All other parameters are those of ``FMRegressor`` (there is no ``loss``).

    Attributes
    ----------
    classes_ : (n_classes,)
    params_ : FMParams, or a list with one for each class when there are more than two
    class_weight_ : (n_classes,) or None
    eval_prediction_ : (n_rows, 2)
        Of "mcmc": probabilities of the rows of ``eval_set``, see ``FMRegressor``.
    calibration_ : (n_machines, 2) or None
        Slope and offset of each machine's raw score under ``predict_proba``.
    encoder_, history_, n_iter_, best_iter_, trace_ : as in ``FMRegressor``; ``alpha`` is 1

    References
    ----------
    S. Rendle. Factorization Machines. ICDM 2010, eq. (1), Lemma 3.1. ``calibrate``: J. Platt 1999, see
    ``crossfm.solvers.platt``. "mcmc": see ``crossfm.solvers.gibbs``; "vb": ``crossfm.solvers.vb``.
    """

    calibration_: Floats | None = None
    class_weight_: Floats | None = None

    def __init__(
        self,
        n_factors: int = 8,
        *,
        solver: str = "adagrad",
        learning_rate: float | None = None,
        schedule: str = "constant",
        max_iter: int = 20,
        l2_w: float | None = None,
        l2_V: float | None = None,
        l1_w: float = 0.0,
        l1_V: float = 0.0,
        ftrl_decay: float = 1.0,
        precision: str = "float32",
        burn_in: int | None = None,
        groups: Any = "fields",
        keep_samples: int = 50,
        link: str | None = None,
        init_scale: float | None = None,
        normalize: bool = False,
        fields: Any = None,
        columns: Any = None,
        tables: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        monitor: str = "loss",
        n_iter_no_change: int = 3,
        tol: float = 0.0,
        shuffle: bool = True,
        n_threads: int = 1,
        deterministic: bool = False,
        class_weight: Any = None,
        calibrate: bool = False,
        checkpoint: Any = None,
        checkpoint_seconds: float = 60.0,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = None,
    ) -> None:
        self.n_factors = n_factors
        self.solver = solver
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.max_iter = max_iter
        self.l2_w = l2_w
        self.l2_V = l2_V
        self.l1_w = l1_w
        self.l1_V = l1_V
        self.ftrl_decay = ftrl_decay
        self.precision = precision
        self.burn_in = burn_in
        self.groups = groups
        self.keep_samples = keep_samples
        self.link = link
        self.init_scale = init_scale
        self.normalize = normalize
        self.fields = fields
        self.columns = columns
        self.tables = tables
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.monitor = monitor
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.shuffle = shuffle
        self.n_threads = n_threads
        self.deterministic = deterministic
        self.class_weight = class_weight
        self.calibrate = calibrate
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, eval_set: Any = None) -> FMClassifier:
        """Fit to ``X`` (a table, a dense or sparse matrix, or ``Rows``) and class labels ``y`` (n_rows,).

        ``y`` may be left out for ``Rows`` that carry a target. ``eval_set`` is (X, y), given for early stopping
        or to follow the validation loss. Raises ``DataError``, ``LabelError``, ``OptionError`` or
        ``DivergenceError``.
        """
        self._fit(X, y, sample_weight, eval_set, fresh=not self.warm_start)
        return self

    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, sample_weight: Any = None
    ) -> FMClassifier:
        """Make one pass over the rows, starting from the present weights and optimizer state.

        New features may appear, as in ``FMRegressor.partial_fit``; classes may not. ``classes`` lists all labels;
        it is needed in the first call, unless ``y`` has them all.
        """
        self._fit(X, y, sample_weight, None, fresh=False, passes=1, classes=classes)
        return self

    def decision_function(self, X: Any) -> Floats:
        """Return raw scores: (n_rows,) for two classes, else (n_rows, n_classes)."""
        scores = self._raw(X)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities (n_rows, n_classes), in the order of ``classes_``; see ``calibrate``."""
        scores = self._raw(X)
        if self.calibration_ is not None:
            scores = scores * self.calibration_[:, 0] + self.calibration_[:, 1]
        positive = find_loss("logistic").predict(scores)
        if len(self.classes_) == 2:
            return np.hstack([1.0 - positive, positive])
        total = positive.sum(axis=1, keepdims=True)
        even = np.full_like(positive, 1.0 / len(self.classes_))
        return np.asarray(np.divide(positive, total, out=even, where=total > 0))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the labels (n_rows,) with the largest raw scores: the most likely ones, unless ``calibrate``."""
        scores = self._raw(X)
        best = (scores[:, 0] > 0).astype(np.int64) if len(self.classes_) == 2 else scores.argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _loss(self) -> Loss:
        check_choice("monitor", self.monitor, ("loss", "auc"))
        return find_loss("logistic")

    def _learn_target(self, y: Any, weight: Any, classes: Any) -> None:
        missing = _missing(np.asarray(y).ravel())
        if missing.any():
            raise LabelError(
                f"row {int(np.argmax(missing))} has no label ({int(missing.sum())} in all): Input y contains NaN or "
                "None. Fill or drop such rows."
            )
        check_classification_targets(y)
        self.classes_ = self._find_classes(y, classes)

    def _link(self) -> str:
        return "probit" if self.link is None else self.link

    def _said(self, mean: Floats) -> Floats:
        return np.stack([1.0 - mean, mean], axis=1)

    def _find_classes(self, y: Any, classes: Any) -> NDArray[Any]:
        found = np.unique(y if classes is None else np.asarray(classes))
        if len(found) < 2:
            raise LabelError(
                f"y has one class only ({found[:1].tolist()[0]!r}), but a classifier needs at least two classes"
            )
        if len(found) > 2 and self.monitor == "auc":
            raise OptionError(f'monitor="auc" is for two classes, but there are {len(found)}')
        return found

    def _targets(self, y: Any) -> list[Floats]:
        """Return one 0/1 target a machine."""
        y = np.asarray(y).ravel()
        unknown = ~np.isin(y, self.classes_)
        if unknown.any():
            row = int(np.argmax(unknown))
            raise LabelError(
                f"row {row} has label {y[row : row + 1].tolist()[0]!r}, but the classes are {self.classes_.tolist()}"
            )
        positive = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        return [(y == label).astype(np.float64) for label in positive]

    def _learn_class_weight(
        self, count: Callable[[], tuple[int, list[float]]], *, anew: bool, passes: int | None
    ) -> None:
        if anew:
            self.calibration_ = None
            if self.calibrate and passes is not None:
                raise OptionError(
                    "calibrate=True needs validation rows, which partial_fit has none of: call fit first"
                )
            balanced = isinstance(self.class_weight, str)
            if balanced and passes is not None:
                raise OptionError(
                    f"class_weight={self.class_weight!r} needs all rows, and partial_fit sees some: pass a dict of "
                    "label to weight, or call fit first"
                )
            rows = rows_of_classes(*count()) if balanced else None
            self.class_weight_ = class_weights(self.class_weight, self.classes_, rows)

    def _row_weights(self, weight: Any, targets: list[Floats]) -> Any:
        return weight if self.class_weight_ is None else weigh(weight, targets, self.class_weight_)

    def _calibrate_on(self, scores: list[Any], targets: list[Floats], weight: Any) -> None:
        if self.calibrate:
            pairs = zip(scores, targets, strict=True)
            self.calibration_ = np.array([platt(one, target, weight) for one, target in pairs])

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        check_is_fitted(self, "_machines")
        arrays, meta = super().to_state()
        meta |= {"classes": self.classes_.tolist(), "class_kind": self.classes_.dtype.kind}
        if self.class_weight_ is not None:
            meta["class_weight"] = self.class_weight_.tolist()
        if self.calibration_ is not None:
            meta["calibration"] = self.calibration_.tolist()
        return arrays, meta

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> FMClassifier:
        model = super().from_state(arrays, meta)
        dtype = object if meta["class_kind"] == "O" else None
        model.classes_ = np.array(meta["classes"], dtype=dtype)
        if "class_weight" in meta:
            model.class_weight_ = np.array(meta["class_weight"], np.float64)
            if model.class_weight is None:  # a dict: settings are text and numbers
                model.class_weight = dict(zip(meta["classes"], meta["class_weight"], strict=True))
        if "calibration" in meta:
            model.calibration_ = np.array(meta["calibration"], np.float64)
        return model  # type: ignore[no-any-return]


def _missing(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark labels (n,) that are None, NaN or pandas' NA."""
    if labels.dtype.kind == "f":
        return np.asarray(np.isnan(labels))
    if labels.dtype.kind != "O":
        return np.zeros(len(labels), bool)
    return np.array([type(v).__name__ == "NAType" or v is None or v != v for v in labels.tolist()], bool)
