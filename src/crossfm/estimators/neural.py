"""Neural factorization machines as scikit-learn estimators."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from crossfm.core.memory import show_size
from crossfm.core.options import Hyper, check_choice, check_count, check_number
from crossfm.core.rules import Rule, find_rule
from crossfm.errors import OptionError
from crossfm.estimators.base import BaseFM
from crossfm.estimators.fm import FMClassifier, FMRegressor
from crossfm.kernels.embedding import RULES, Penalties
from crossfm.kernels.machine import Machine
from crossfm.solvers.epochs import Plan

# Usual step sizes of the embeddings and of the linear weights under each rule.
RATES = {"adagrad-row": (0.02, 0.03), "adagrad": (0.02, 0.03), "adam": (0.001, 0.001), "sgd": (0.01, 0.01)}
START = 1e-8  # AdaGrad's accumulators: a batch's gradient is a sum, and that of a rare feature is small

Kind = TypeVar("Kind", bound=type)


class Neural(BaseFM):
    """The part of an estimator that makes its machine a network; the rest is that of the classic machines."""

    model: str
    deterministic = True  # the same bits for any number of threads, but for PyTorch's own sums
    normalize = False
    l1_w = 0.0
    l1_V = 0.0

    @property
    def _machine(self) -> Machine:  # type: ignore[override]
        try:
            from crossfm.neural.network import Network
        except ModuleNotFoundError as exc:
            if exc.name is None or exc.name.partition(".")[0] == "crossfm":
                raise
            raise OptionError(
                f"neural machines need {exc.name}, which is not installed: pip install 'crossfm[neural]'"
            ) from exc
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
            penalties=Penalties(
                l2_V=check_number("l2_V", self.l2_V),
                l2_w=check_number("l2_w", self.l2_w),
                clip=check_number("cowclip", self.cowclip),
            ),
            clip_norm=check_number("clip_norm", self.clip_norm),
            warmup=check_count("warmup", self.warmup),
            precision=check_choice("precision", self.precision, ("float32", "bfloat16")),
            device=self.device,
            compiled=bool(self.compile),
        )

    def _model_options(self) -> dict[str, Any]:
        """Return the options of the model's constructor, those left at None being its own business."""
        named = {"hidden": self.hidden, "dropout": self.dropout, "batch_norm": self.batch_norm, "activation": self.activation}
        more = self.model_options or {}
        if not isinstance(more, dict):
            raise OptionError(f"model_options={more!r}, but it must be a dict of options of the model")
        return {name: value for name, value in named.items() if value is not None} | more

    def _rule(self) -> Rule:
        return find_rule(check_choice("solver", self.solver, RULES))

    def _check_options(self) -> tuple[Rule, Hyper, Plan]:
        rule, hyper, plan = super()._check_options()
        return rule, replace(hyper, initial_accumulator=START), plan


class NeuralFMRegressor(Neural, FMRegressor):
    """TODO"""

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
        l2_V: float = 0.0,
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
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks


class NeuralFMClassifier(Neural, FMClassifier):
    """TODO"""

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
        solver: str = "adagrad-row",
        learning_rate: float = 0.001,
        learning_rate_V: float | None = None,
        learning_rate_w: float | None = None,
        schedule: str = "constant",
        warmup: int = 0,
        max_iter: int = 20,
        batch_size: int = 1024,
        l2_w: float = 0.0,
        l2_V: float = 0.0,
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
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
