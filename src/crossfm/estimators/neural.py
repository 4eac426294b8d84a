"""Neural factorization machines as scikit-learn estimators."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from crossfm.core.options import Hyper, check_choice, check_count, check_number
from crossfm.core.params import FMParams
from crossfm.core.rules import Rule, find_rule
from crossfm.data.rows import Rows
from crossfm.data.stream import RowStream
from crossfm.errors import MissingLibraryError, OptionError
from crossfm.estimators.base import BaseFM
from crossfm.estimators.fm import FMClassifier, FMRegressor
from crossfm.estimators.inputs import has_names
from crossfm.estimators.pretrained import listed_vectors
from crossfm.estimators.state import params_of
from crossfm.estimators.streamed import Prepared, alike
from crossfm.kernels.embedding import RULES, Penalties
from crossfm.kernels.machine import windows
from crossfm.solvers.epochs import Plan

# Usual step sizes of the embeddings and of the linear weights under each rule.
RATES = {"adagrad-row": (0.05, 0.05), "adagrad": (0.05, 0.05), "adam": (0.002, 0.002), "sgd": (0.01, 0.01)}
PRIOR = 5.0  # usual l2_V over all rows together: fewer rows are held more firmly
BUILT = ("model", "hidden", "dropout", "batch_norm", "activation", "model_options")  # what makes the layers

Kind = TypeVar("Kind", bound=type)


def network_class() -> Any:
    """Return the machine of all networks; raises ``MissingLibraryError`` where PyTorch is not installed."""
    try:
        from crossfm.neural.network import Network
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] == "crossfm":
            raise
        raise MissingLibraryError(
            f"neural machines need {exc.name}, which is not installed: pip install 'crossfm[neural]'"
        ) from exc
    return Network


class Neural(BaseFM):
    """The part of an estimator that makes its machine a network; the rest is that of the classic machines."""

    _of_one_fit: ClassVar[set[str]] = {*BaseFM._of_one_fit, "pretrained"}
    model: str
    init: Any
    pretrained: Any
    l2_V: Any
    deterministic = True  # nothing races
    normalize = False
    l1_w = 0.0
    l1_V = 0.0

    @property
    def _machine(self) -> Any:  # type: ignore[override]
        """The network, made anew from the options; ``Any``, as its room is loaded only when it is used."""
        Network = network_class()
        rate_V, rate_w = RATES[check_choice("solver", self.solver, RULES)]
        rate_V = rate_V if self.learning_rate_V is None else self.learning_rate_V
        rate_w = rate_w if self.learning_rate_w is None else self.learning_rate_w
        return Network(
            model=self.model,
            options=self._model_options(),
            batch_size=check_count("batch_size", self.batch_size, low=1),
            learning_rate=check_number("learning_rate", self.learning_rate, above=True),
            learning_rate_V=check_number("learning_rate_V", rate_V, above=True),
            learning_rate_w=check_number("learning_rate_w", rate_w, above=True),
            l2_layers=check_number("l2_layers", self.l2_layers),
            prior=PRIOR if self.l2_V is None else 0.0,
            penalties=Penalties(
                l2_V=0.0 if self.l2_V is None else check_number("l2_V", self.l2_V),
                l2_w=check_number("l2_w", self.l2_w),
                clip=check_number("cowclip", self.cowclip),
            ),
            clip_norm=check_number("clip_norm", self.clip_norm),
            warmup=check_count("warmup", self.warmup),
            precision=check_choice("precision", self.precision, ("float32", "bfloat16")),
            device=self.device,
            compiled=bool(self.compile),
            least_fields=self._known_fields(),
        )

    def _known_fields(self) -> int:
        """Return the number of fields of what is being fitted, as far as it is known without the rows."""
        encoder = getattr(self, "encoder_", None)
        return 0 if encoder is None else len(encoder.fields)

    def _model_options(self) -> dict[str, Any]:
        """Return the options of the model's constructor; what is left at None is the model's own choice."""
        names = ("hidden", "dropout", "batch_norm", "activation")
        named = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        more = {} if self.model_options is None else self.model_options
        if not isinstance(more, dict):
            raise OptionError(f"model_options={more!r}, but it must be a dict of options of the model")
        return {**named, **more}

    def _rule(self) -> Rule:
        return find_rule(check_choice("solver", self.solver, RULES))

    def _check_options(self) -> tuple[Rule, Hyper, Plan]:
        check_count("n_factors", self.n_factors, low=1)
        return super()._check_options()

    def _fit(self, X: Any, *args: Any, fresh: bool, **options: Any) -> None:
        """Check the options of the model before anything is learnt."""
        if fresh or not hasattr(self, "_machines"):
            self._check_options()
            self._machine.check(self.n_factors)
        else:
            self._check_built()
        super()._fit(X, *args, fresh=fresh, **options)

    def _check_built(self) -> None:
        """Raise ``OptionError`` where options differ from those that the network was built with, which stay."""
        for name, built in self._built.items():
            now = getattr(self, name)
            if not (now is built or bool(np.array_equal(now, built))):
                raise OptionError(
                    f"{name}={now!r}, but the network to go on with was built with {built!r}, which stays. Set it "
                    "back, or fit anew with warm_start=False."
                )

    def _check_going_on(self, rows: Rows | Prepared) -> None:
        if self._machine.FIELDS and self.encoder_ is None:
            for part in windows(rows):
                self._machine.check_fields(part, self._machines[0])
                del part  # a stream reads the next ones

    def to_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        check_is_fitted(self, "_machines")
        self._check_built()
        return super().to_state()

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> Any:
        model = super().from_state(arrays, meta)
        model._built = {name: getattr(model, name) for name in BUILT}
        return model

    def __sklearn_clone__(self) -> Any:
        """Keep ``init`` and ``pretrained`` as they are: a clone of the first has learnt nothing, the other is large."""
        options, kept = self.get_params(deep=False), ("init", "pretrained")
        return type(self)(**{n: v if n in kept else clone(v, safe=False) for n, v in options.items()})

    def _layer_bytes(
        self, rows: Prepared, n_machines: int, n_rows: int, nonzeros: float, *, fresh: bool, judged: bool
    ) -> float:
        shape = self._machine.survey(rows) if fresh else self._machines[0]
        weights, batch = self._machine.layer_bytes(shape, self.n_factors, n_rows, nonzeros, judged=judged)
        copies = (
            4 + 3 * self.early_stopping
        )  # with gradients and Adam's moments, which the best epoch has too
        return float(n_machines * copies * weights + batch)

    def _advice(self, rule: Rule) -> str:
        return "fewer n_factors, or hash rare features together (Categorical(name, hash_buckets=...))"

    def _read_input(self, X: Any, y: Any, *, fit: bool, **y_checks: Any) -> tuple[Rows, Any]:
        """Read a table as the FM of ``init`` did: with its vocabularies."""
        encoder = getattr(self.init, "encoder_", None)
        if fit and getattr(self.init, "_sides", None):
            raise OptionError(
                "init has side tables, which networks do not take: join them to X and fit it anew"
            )
        if not fit or encoder is None or isinstance(X, (Rows, RowStream)) or not has_names(X):
            return super()._read_input(X, y, fit=fit, **y_checks)
        if self.columns is not None and tuple(self.columns) != tuple(encoder.columns):
            raise OptionError("columns differ from those of init, which encodes the table: leave them out")
        self.encoder_, self.n_features_in_ = encoder, self.init.n_features_in_
        self.feature_names_in_ = np.array(encoder.fields, dtype=object)
        return super()._read_input(X, y, fit=False, **y_checks)

    def _forget_unseen(self, rows: Rows | Prepared) -> None:
        """Forget nothing that was learnt before: what these rows lack, the rows of ``init`` had.

        The vectors of ``pretrained`` stay too.
        """
        if self.init is None:
            super()._forget_unseen(rows)
        self._start_listed(self._listed(), self._check_options()[1])

    def _wake(self, rows: Rows | Prepared, hyper: Hyper, *, more: bool) -> None:
        if not more:
            for table in self._tables():
                table.counts[:] = 0
        super()._wake(rows, hyper, more=more)

    def _listed(self) -> Any:
        """Return features and vectors of ``pretrained``, None where there are none."""
        if self.pretrained is None:
            return None
        if self._machine.dim(2, self.n_factors) != self.n_factors:
            raise OptionError(
                f"model={self.model!r} has a vector for each field, so pretrained cannot say how a feature starts; "
                "choose another model"
            )
        return listed_vectors(self.pretrained, self.encoder_, self.n_factors)

    def _start_listed(self, listed: Any, hyper: Hyper) -> None:
        if listed is not None:
            for table in self._machines:
                table.start_V(*listed, hyper)

    def _start_tables(self, rows: Rows | Prepared, biases: list[float], rule: Rule, hyper: Hyper) -> None:
        listed = self._listed()  # raises before anything is changed
        self._start_networks(rows, biases, rule, hyper)
        self._start_listed(listed, hyper)

    def _start_networks(self, rows: Rows | Prepared, biases: list[float], rule: Rule, hyper: Hyper) -> None:
        """Make the networks, at random or as ``init`` has learnt."""
        super()._start_tables(rows, biases, rule, hyper)
        self._built = {name: copy.copy(getattr(self, name)) for name in BUILT}
        if self.init is None:
            return
        learnt = self._learnt_by(self.init)
        if len(learnt) != len(self._machines):
            raise OptionError(
                f"init has {len(learnt)} machines, but {len(self._machines)} are needed: it has other classes"
            )
        for table, params in zip(self._machines, learnt, strict=True):
            table.start_at(params, hyper)

    def _learnt_by(self, init: Any) -> list[Any]:
        """Return the parameters of a fitted FM, one of each machine; raise unless they are of the same features.

        Where both learn a standardised target, they are put into the units of this one.
        """
        if not isinstance(init, (FMClassifier, FMRegressor)) or not hasattr(init, "_machines"):
            raise OptionError(f"init is {init!r}, but a fitted FMClassifier or FMRegressor is expected")
        params = [params_of(machine) for machine in init._machines]
        if not isinstance(params[0], FMParams):
            raise OptionError(
                f"init is a {type(init).__name__}, whose machine is another; fit an FMClassifier or FMRegressor"
            )
        (mean, spread), (own_mean, own_spread) = (getattr(m, "_target", (0.0, 1.0)) for m in (init, self))
        if (mean, spread) != (own_mean, own_spread):
            params = [
                p.rescaled(mean, spread).rescaled(-own_mean / own_spread, 1 / own_spread) for p in params
            ]
        mine: Any
        its: Any
        mine, its = getattr(self, "classes_", None), getattr(init, "classes_", None)
        if mine is not None and its is not None and not np.array_equal(mine, its):
            raise OptionError(f"init has classes {its.tolist()}, but {mine.tolist()} are to be learnt")
        shape = params[0].V.shape
        expected = (self._machines[0].n_features, self._machines[0].V.shape[1])
        if shape != expected:
            raise OptionError(
                f"init has {shape[0]} features with vectors of {shape[1:]} numbers, but {expected[0]} with vectors of "
                f"{expected[1]} are needed: fit it on the same rows, with n_factors={self.n_factors}"
            )
        if getattr(init, "normalize", False):
            raise OptionError("init was fitted with normalize=True, which networks do not do: fit it without")
        encoders = (self.encoder_, init.encoder_)
        if None not in encoders and not alike(*encoders):
            raise OptionError("init encodes its columns in another way: fit it on the same table and columns")
        return params

    def explain(self, X: Any, *, machine: int = 0) -> Any:
        """Raise ``OptionError``: what a network adds up cannot be split by pairs of columns."""
        raise OptionError(
            f"a {type(self).__name__} is a network, whose scores do not split into parts of columns and pairs; "
            "explain an FMClassifier or FMRegressor fitted on the same rows"
        )


def named(model: str, **defaults: Any) -> Callable[[Kind], Kind]:
    """Make an estimator class of one model: the constructor is its base's without ``model``, with these defaults."""

    def dress(kind: Kind) -> Kind:
        base = inspect.signature(kind.__init__)  # type: ignore[misc]
        parameters = [
            p.replace(default=defaults.get(p.name, p.default))
            for p in base.parameters.values()
            if p.name != "model"
        ]
        signature = base.replace(parameters=parameters)
        parent = kind.__init__  # type: ignore[misc]

        @functools.wraps(parent)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            parent(*bound.args, **bound.kwargs)
            del self.model  # the class has it

        __init__.__signature__ = signature  # type: ignore[attr-defined]
        kind.__init__ = __init__  # type: ignore[misc]
        kind.model = model  # type: ignore[attr-defined]
        return kind

    return dress


class NeuralFMRegressor(Neural, FMRegressor):
    """A neural machine of the family for real-valued targets and counts.

    Embeddings are kept and moved by the compiled core, a batch touching only its own features; layers are PyTorch's.
    Needs the extra ``neural``.

    Parameters
    ----------
    n_factors : int, default=16
        Length of an embedding.
    model : str, default="nfm"
        fm, ffm, fwfm, nfm, deepfm, widedeep, fnn, ipnn, opnn, afm, xdeepfm, dcn, dcnv2, autoint, fibinet or finalmlp;
        see ``crossfm.neural.models`` for the papers, the layers and the options of each.
    hidden, dropout, batch_norm, activation : default=None
        Of the model's layers, where it has them; None is the model's own choice. ``hidden`` lists the width of each
        layer, ``dropout`` is a share or a list of them.
    model_options : dict or None, default=None
        More options of the model, by their names there: ``{"n_cross": 3}``.
    init : fitted FMRegressor or FMClassifier, or None, default=None
        Start at the embeddings, linear weights and bias of an FM of the same features and ``n_factors``. A table is
        encoded as the FM did, with its vocabularies; features that it knows and these rows lack are kept.
    pretrained : dict or None, default=None
        Embeddings to start from, {column: (values, vectors)}: ``values`` (n,) of the column, compared as
        ``Categorical`` does, ``vectors`` (n, n_factors); or {column: {value: vector}}. They are trained as the others
        are, and come before those of ``init``. Values of the column that are not listed start as usual; listed ones
        that its vocabulary lacks are ignored, also when they join later. Columns that share a vocabulary share the
        vectors. Only the first ``fit`` or ``partial_fit`` looks at them, and model files do not keep them. They are for
        tables, columns that are not hashed, and models with one vector a feature (not "ffm").
    loss : {"squared", "poisson"}, default="squared"
    solver : {"adagrad-row", "adagrad", "adam", "sgd"}, default="adagrad-row"
        Of the embeddings; layers have Adam. "adagrad-row" keeps one number for an embedding and one for its linear
        weight. "adam" is lazy: features that a batch does not have stay as they are.
    learning_rate : float, default=0.001
        Of the layers.
    learning_rate_V, learning_rate_w : float or None, default=None
        Of embeddings and linear weights; None takes the solver's own: adagrad-row and adagrad 0.05, adam 0.002,
        sgd 0.01. Gradients are summed over a batch, so they mean the same for batches of any size.
    schedule : {"constant", "inverse", "linear", "cosine"}, default="constant"
        How all three fall over the epochs.
    warmup : int, default=0
        Steps in which the learning rate of the layers rises to what it is.
    max_iter : int, default=20
        Epochs.
    batch_size : int, default=1024
        Rows of a step, at most: an epoch is parted into batches of equal size.
    l2_w : float, default=0
    l2_V : float or None, default=None
        Penalties l2 / 2 |w|^2 and l2 / 2 |V|^2 on the whole table, beside the mean loss. A feature feels its share
        in the rows that have it, so what is not in a batch is not touched, the strength does not depend on the size of
        a batch, and a rare feature is held as firmly as a frequent one. (``FMRegressor`` has penalties a row.)
        None: 5 over the number of rows to learn from, which is a penalty of 2.5 |V|^2 beside the sum of all losses, or
        a normal prior of variance 0.2 (docs/design.md).
    l2_layers : float, default=0
        Weight decay of the layers.
    clip_norm : float, default=0
        Largest length of the layers' gradient; 0 clips nothing.
    cowclip : float, default=0
        For batches of tens of thousands: the gradient of the summed loss by an embedding v that is in n rows of a batch
        is at most n max(cowclip |v|, 1e-5) long (Zheng et al., AAAI 2023, who bound that of the mean). 0 clips nothing;
        0.1 helped where an epoch was few steps, and did harm where there were enough (docs/benchmarks.md).
    init_scale : float, default=0.05
        Embeddings start normal with deviation init_scale / sqrt(n_factors).
    precision : {"float32", "bfloat16"}, default="float32"
        Of the layers' arithmetic; weights are float32.
    device : str, default="cpu"
    compile : bool, default=False
        Whether layers go through ``torch.compile``.
    fields, columns, early_stopping, validation_fraction, n_iter_no_change, tol, shuffle, n_threads, checkpoint,
    checkpoint_seconds, warm_start, random_state, verbose, callbacks
        As in ``FMRegressor``. One seed gives the same bits for the same number of threads.

    Attributes
    ----------
    params_ : NetworkParams
        ``bias``, ``w`` (n_features,), ``V`` (n_features, embedding dim), ``layers`` by PyTorch's names.
    encoder_, history_, n_iter_, best_iter_ : as in ``FMRegressor``

    References
    ----------
    The papers of the models: ``crossfm.neural.models.MODELS``. With squared loss the target is standardised.
    """

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
        init: Any = None,
        pretrained: Any = None,
        loss: str = "squared",
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
        fields: Any = None,
        columns: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
        tol: float = 0.0,
        shuffle: bool = True,
        n_threads: int = 1,
        checkpoint: Any = None,
        checkpoint_seconds: float = 60.0,
        warm_start: bool = False,
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
        self.init = init
        self.pretrained = pretrained
        self.loss = loss
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
        self.fields = fields
        self.columns = columns
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.shuffle = shuffle
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks


class NeuralFMClassifier(Neural, FMClassifier):
    """A neural machine of the family for classes, with logistic loss; see ``NeuralFMRegressor`` for the machine.

    More than two classes take a network each (one against the rest).

    Parameters
    ----------
    monitor : {"loss", "auc"}, default="loss"
        What early stopping watches; "auc" is for two classes.
    class_weight, calibrate
        As in ``FMClassifier``.

    All other parameters are those of ``NeuralFMRegressor`` (there is no ``loss``).

    Attributes
    ----------
    classes_ : (n_classes,)
    params_ : NetworkParams, or a list with one for each class when there are more than two
    encoder_, history_, n_iter_, best_iter_ : as in ``FMRegressor``
    """

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
        init: Any = None,
        pretrained: Any = None,
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
        fields: Any = None,
        columns: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        monitor: str = "loss",
        n_iter_no_change: int = 3,
        tol: float = 0.0,
        shuffle: bool = True,
        n_threads: int = 1,
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
        self.model = model
        self.hidden = hidden
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.activation = activation
        self.model_options = model_options
        self.init = init
        self.pretrained = pretrained
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
        self.fields = fields
        self.columns = columns
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.monitor = monitor
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.shuffle = shuffle
        self.n_threads = n_threads
        self.class_weight = class_weight
        self.calibrate = calibrate
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks


@named("nfm", dropout=0.3)
class NFMRegressor(NeuralFMRegressor):
    """Neural factorization machine for real-valued targets and counts.

    y(x) = w0 + sum_i w_i x_i + h^T MLP(sum_{i<j} (x_i v_i) * (x_j v_j)).

    Parameters and attributes are those of ``NeuralFMRegressor`` without ``model``; ``dropout`` is 0.3 by default, on
    the pooled pairs and on each hidden layer: the paper tunes it and finds that the network overfits without.

    References
    ----------
    X. He, T.-S. Chua. Neural Factorization Machines for Sparse Predictive Analytics. SIGIR 2017.
    """


@named("nfm", dropout=0.3)
class NFMClassifier(NeuralFMClassifier):
    """Neural factorization machine for classes; see ``NFMRegressor``, and ``NeuralFMClassifier`` for the parameters."""


@named("deepfm")
class DeepFMRegressor(NeuralFMRegressor):
    """DeepFM for real-valued targets and counts: a factorization machine and an MLP on the same embeddings.

    Parameters and attributes are those of ``NeuralFMRegressor`` without ``model``.

    References
    ----------
    H. Guo, R. Tang, Y. Ye, Z. Li, X. He. DeepFM: A Factorization-Machine based Neural Network for CTR Prediction.
    IJCAI 2017.
    """


@named("deepfm")
class DeepFMClassifier(NeuralFMClassifier):
    """DeepFM for classes; see ``DeepFMRegressor``, and ``NeuralFMClassifier`` for the parameters."""
