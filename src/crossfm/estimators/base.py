"""What all second-order estimators share: options, inputs, the training run, parameters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from crossfm.core.losses import Loss
from crossfm.core.memory import check_memory, show_size
from crossfm.core.options import (
    MAX_FACTORS,
    Hyper,
    check_choice,
    check_count,
    check_number,
    thread_count,
)
from crossfm.core.params import FMParams
from crossfm.core.random import stream
from crossfm.core.rules import ALS, EXACT, MCMC, SGDA, VB, Rule, find_rule
from crossfm.data.relation import expand
from crossfm.data.rows import Rows
from crossfm.data.side import key_names
from crossfm.data.split import random_split
from crossfm.data.stream import RowStream
from crossfm.data.tables import as_table
from crossfm.errors import DataError, LabelError, OptionError
from crossfm.estimators.adaptive import adaptive_visit
from crossfm.estimators.exact import (
    START,
    check_exact,
    describe_sweep,
    exact_bytes,
    exact_training,
    predictive,
    predictive_quantiles,
    relation_bytes,
)
from crossfm.estimators.gathered import gather, gather_validation
from crossfm.estimators.growing import grow, wider_input
from crossfm.estimators.inputs import (
    encoded,
    fit_encoder,
    has_names,
    normalized,
    rows_from_matrix,
    with_fields,
)
from crossfm.estimators.resuming import belong_rows, belong_start, resuming
from crossfm.estimators.state import Stored, params_of
from crossfm.estimators.streamed import Prepared, fit_stream
from crossfm.kernels import ffm, fm, hofm
from crossfm.metrics import auc
from crossfm.scoring.explain import Explanation, explain_rows, mean_explanation
from crossfm.solvers.callbacks import Callback, Callbacks, Record
from crossfm.solvers.epochs import Plan, Scores, Visit, run_epochs
from crossfm.solvers.progress import progress
from crossfm.solvers.resume import Resume
from crossfm.solvers.schedule import SCHEDULES

Floats = NDArray[np.float64]
NO_TARGET = (
    "fit requires y to be passed, but the target y is None: pass it (n_rows,), or pass Rows that carry one"
)


class BaseFM(Stored):
    """Common parts of FMRegressor, FMClassifier and FMRanker; see there."""

    monitor = "loss"
    ftrl_decay: float = 1.0
    precision: str = "float32"
    calibrate: bool = False
    checkpoint: Any = None
    checkpoint_seconds: float = 60.0
    burn_in: int | None = None
    groups: Any = "fields"
    keep_samples: int = 50
    tables: Any = None
    link: str | None = None
    _begin: FMParams | None = None
    _seed: int | None = None  # drawn for this fit, where the user gave none and a checkpoint needs it
    _share_of_l2_V: ClassVar[float] = 1.0  # of the solver's own penalty
    _y_checks: ClassVar[dict[str, Any]] = {}

    # ------------------------------------------------------------------ options

    def _check_options(self) -> tuple[Rule, Hyper, Plan]:
        rule = self._rule()
        check_count("n_factors", self.n_factors, high=MAX_FACTORS)
        if rule.half:
            self._check_half(rule)
        check_choice("schedule", self.schedule, SCHEDULES)
        if rule.name == "ftrl" and self.schedule != "constant":
            raise OptionError('solver="ftrl" has its own decay per coordinate: use schedule="constant"')
        if rule.name != "ftrl" and (self.l1_w or self.l1_V):
            raise OptionError(f'l1_w and l1_V need solver="ftrl", not {rule.name!r}')
        decay = check_number("ftrl_decay", self.ftrl_decay, above=True)
        if decay > 1:
            raise OptionError(
                f"ftrl_decay={decay:g}, but it must be above 0 and at most 1 (which forgets nothing)"
            )
        if rule.name != "ftrl" and decay != 1:
            raise OptionError(f'ftrl_decay needs solver="ftrl", not {rule.name!r}')
        if rule is SGDA and self._machine is not fm:
            raise OptionError('solver="sgda" is for the second-order machine; take another solver')
        if rule is SGDA and thread_count(self.n_threads) != 1:
            raise OptionError(f'solver="sgda" runs on one thread, but n_threads={self.n_threads!r}')
        check_exact(self, rule)
        if self.init_scale is not None:
            check_number("init_scale", self.init_scale)
        rate = rule.learning_rate if self.learning_rate is None else self.learning_rate
        l2_V = self._usual_l2_V(rule) if self.l2_V is None else self.l2_V
        hyper = Hyper(
            learning_rate=check_number("learning_rate", rate, above=True),
            l2_w=check_number("l2_w", rule.l2_w if self.l2_w is None else self.l2_w),
            l2_V=check_number("l2_V", l2_V),
            l1_w=check_number("l1_w", self.l1_w),
            l1_V=check_number("l1_V", self.l1_V),
            ftrl_decay=decay,
        )
        plan = Plan(
            max_iter=check_count("max_iter", self.max_iter, low=1),
            schedule=self.schedule,
            shuffle=bool(self.shuffle),
            patience=check_count("n_iter_no_change", self.n_iter_no_change, low=1)
            if self.early_stopping
            else None,
            tol=check_number("tol", self.tol),
        )
        return rule, hyper, plan

    def _rule(self) -> Rule:
        """Return the update rule that ``solver`` names."""
        return find_rule(self.solver, self.precision)

    def _check_half(self, rule: Rule) -> None:
        """Raise unless the machine can keep its factors in bfloat16."""
        if self._machine not in (fm, ffm):
            raise OptionError('precision="bfloat16" is for FM and FFM; take precision="float32"')
        if rule.name == SGDA.name:
            raise OptionError('solver="sgda" needs precision="float32"')
        if self.n_factors == 0:
            raise OptionError(
                'precision="bfloat16" is for factors, but n_factors=0; take precision="float32"'
            )

    def _usual_l2_V(self, rule: Rule) -> float:
        """Return the solver's own penalty: as a root, so that a pair's weight, a sum over the factors, varies alike."""
        if rule is ALS:
            return rule.l2_V
        return float(rule.l2_V * self._share_of_l2_V * np.sqrt(self.n_factors / 8))

    # ------------------------------------------------------------------- inputs

    def _input(self, X: Any, y: Any = None, *, fit: bool = False, **y_checks: Any) -> tuple[Rows, Any]:
        """Return the rows of ``X`` and the checked ``y``; ``fit`` also learns names and the encoder."""
        rows, y = self._read_input(X, y, fit=fit, **y_checks)
        return self._prepared(rows), y

    def _prepared(self, rows: Rows) -> Rows:
        """Return rows as the machine takes them: with fields where it needs them, normalised where asked for, and
        relations written out but for "als" and "mcmc".
        """
        if rows.relations and (self._rule() not in (ALS, MCMC) or getattr(self, "normalize", False)):
            rows = expand(rows)
        if self._machine.FIELDS:
            rows = with_fields(rows)
        return normalized(rows) if getattr(self, "normalize", False) else rows

    def _read_input(self, X: Any, y: Any, *, fit: bool, **y_checks: Any) -> tuple[Rows, Any]:
        if isinstance(X, Rows):
            return self._input_rows(X, y, fit=fit)
        if isinstance(X, RowStream):
            raise OptionError(
                "a stream is for fitting classifiers and regressors and for their predictions; for the rest iterate "
                "over it and pass its Rows"
            )
        known = None
        if fit:
            self.encoder_, known, self._sides = fit_encoder(X, self.columns, self.tables)
        if self.encoder_ is not None:
            self._check_table(X, fit=fit)
            rows = encoded(self, X) if known is None else known
            if y is not None:
                y = column_or_1d(y, warn=True)
        else:
            checks: dict[str, Any] = {"accept_sparse": "csr", "dtype": [np.float32, np.float64], "reset": fit}
            if y is None:
                X = validate_data(self, X, **checks)
            else:
                X, y = validate_data(self, X, y, **checks, **y_checks)
            rows = self._matrix_rows(X)
        if y is not None and len(y) != rows.n_rows:
            raise DataError(f"X has {rows.n_rows} rows, but y has {len(y)}")
        return rows, y

    def _matrix_rows(self, X: Any) -> Rows:
        return rows_from_matrix(X, getattr(self, "fields", None), needed=self._machine.FIELDS)

    def _check_table(self, X: Any, *, fit: bool = False) -> None:
        """Raise unless ``X`` has the named columns of the first table; ``fit`` learns them."""
        if not has_names(X):
            raise DataError(
                f"the model was fitted on a table with columns {self.encoder_.fields if self.encoder_ else []}, "
                f"but X is a {type(X).__name__} without named columns. Pass a DataFrame with these columns."
            )
        validate_data(self, as_table(X) if isinstance(X, dict) else X, reset=fit, skip_check_array=True)

    def _input_rows(self, rows: Rows, y: Any, *, fit: bool) -> tuple[Rows, Any]:
        if fit:
            self.encoder_, _, self._sides = fit_encoder(rows, self.columns, self.tables)  # none: refuses both
            self.n_features_in_ = rows.n_features
            if rows.n_rows == 0:
                raise DataError("there are no rows to fit on")
            rows.check_ids(rows.n_features)
        else:
            rows.check_ids(self.n_features_in_ if self.encoder_ is None else self.encoder_.n_features)
        if y is None:
            y = rows.target
        return rows, None if y is None else np.asarray(y)

    def _weigh(self, rows: Rows, sample_weight: Any) -> Rows:
        if sample_weight is None:
            sample_weight = rows.weight
        if sample_weight is None:
            return rows
        weight = _check_sample_weight(sample_weight, np.empty((rows.n_rows, 0)), dtype=np.float64)
        if (weight < 0).any():
            raise DataError(f"sample_weight {weight.min():g} is negative; weights must be 0 or more")
        if weight.sum() <= 0:
            raise DataError("sample_weight is 0 everywhere: nothing to fit")
        if weight.max() > np.finfo(np.float32).max:
            raise DataError(
                f"sample_weight {weight.max():g} is too large (float32, up to 3.4e38); scale all of them"
            )
        return replace(rows, weight=weight.astype(np.float32))

    # ----------------------------------------------------------------- training

    def _start_tables(self, rows: Rows | Prepared, biases: list[float], rule: Rule, hyper: Hyper) -> None:
        needed = float(self._machine.table_bytes(rows, self.n_factors, rule) * len(biases))
        if rule in EXACT and isinstance(rows, Rows):
            needed += exact_bytes(self, rule, rows.n_rows, rows.nnz, rows.n_features)
            needed += relation_bytes(rows, self.n_factors)
        if self.verbose:
            print(f"{show_size(needed)} for weights and the optimizer's state", file=sys.stderr)
        check_memory(needed, self._advice(rule))
        rng = self._numbers("start")
        self._machines = [
            self._machine.start(rows, self.n_factors, rng, rule, hyper, scale=self._start_scale(), bias=bias)
            for bias in biases
        ]
        if self._begin is not None:
            for table in self._machines:
                table.start_at(self._begin, hyper)

    def begin_at(self, params: FMParams) -> Any:
        """Have the next fit start from a second-order machine over the same features, instead of at random.

        Features that its rows lack keep what they have there. Raises ``OptionError`` for vectors of another length and
        for machines of a higher degree.
        """
        if params.n_factors != self.n_factors:
            raise OptionError(
                f"n_factors={self.n_factors}, but the machine to start from has vectors of {params.n_factors} numbers: "
                f"set n_factors={params.n_factors}"
            )
        if self._machine is hofm:
            raise OptionError("a machine of degree 3 cannot start from one of degree 2")
        self._begin = params
        return self

    def _layer_bytes(
        self, rows: Prepared, n_machines: int, n_rows: int, nonzeros: float, *, fresh: bool, judged: bool
    ) -> float:
        """Return what training on a stream takes beside the tables of features; see ``Network.layer_bytes``."""
        return 0.0

    def _advice(self, rule: Rule) -> str:
        advice = ["fewer n_factors"]
        if rule is MCMC:
            advice.append("fewer keep_samples")
        if not rule.row_wise and rule.states:
            advice.append('solver="adagrad-row" (one accumulator a feature)')
        if self._machine.FIELDS:
            advice.append("fewer fields, or FwFM (one vector a feature)")
        return ", ".join([*advice, "or hash rare features together (Categorical(name, hash_buckets=...))"])

    def _start_scale(self) -> float:
        if self.init_scale is None and self._rule() in EXACT:
            return START
        return float((0.05 if self.init_scale is None else self.init_scale) / np.sqrt(max(self.n_factors, 1)))

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        eval_set: Any,
        *,
        fresh: bool,
        passes: int | None = None,
        classes: Any = None,
    ) -> None:
        """Fit anew or go on; ``passes`` overrides ``max_iter`` and early stopping."""
        rule, hyper, plan = self._check_options()
        if rule in EXACT and passes is not None:
            raise OptionError(f"partial_fit: solver={rule.name!r} looks at all rows again and again; use fit")
        if self.tables is not None and (passes is not None or isinstance(X, RowStream)):
            raise OptionError("tables is for fit, on a table in memory: join them to X, and leave tables out")
        if (
            self._sides
            and not isinstance(X, Rows)
            and (passes is not None or (isinstance(X, RowStream) and not fresh))
        ):
            raise OptionError(
                f"the model has side tables (of {key_names(self._sides)}), so it goes on with fit and "
                "warm_start, on a table in memory"
            )
        if isinstance(X, RowStream):
            self._sides = ()
        loss = self._loss()
        resume = resuming(self) if passes is None else None
        self._seed = None if resume is None else resume.seed
        fresh = fresh or not hasattr(self, "_machines")
        if not fresh and self.n_factors != self._machines[0].rank:
            raise OptionError(
                f"n_factors={self.n_factors}, but the model to go on with has {self._machines[0].rank}, which "
                "stays. Set it back, or fit anew with warm_start=False."
            )
        streamed = isinstance(X, RowStream)
        if streamed and rule not in EXACT:
            fit_stream(
                self,
                X,
                y,
                sample_weight,
                eval_set,
                fresh=fresh,
                passes=passes,
                classes=classes,
                resume=resume,
            )
            return
        growing, encoder = passes is not None and not fresh, None
        if growing:
            rows, y, encoder = wider_input(self, X, y)
        else:
            if streamed:
                X, y = gather(self, X, y, sample_weight, fresh=fresh)
            rows, y = self._input(X, y, fit=fresh and not streamed, **self._y_checks)
        if y is None:
            raise LabelError(NO_TARGET)
        if not fresh:
            self._check_going_on(rows)
        rows = self._weigh(rows, sample_weight)
        if fresh:
            self.history_, self._chain, self._posterior = [], None, None
            self._learn_target(y, rows.weight, classes)
        targets = self._targets(y)
        positives = [float(target.sum()) for target in targets]
        self._learn_class_weight(
            lambda: (rows.n_rows, positives), anew=fresh or passes is None, passes=passes
        )
        weight = self._row_weights(rows.weight, targets)
        if weight is not None and not weight.any():
            raise DataError("the rows of all classes with a class_weight above 0 have sample_weight 0")
        biases = (
            [loss.start(float(np.average(target, weights=weight))) for target in targets] if fresh else []
        )
        if passes is not None:
            plan = replace(plan, max_iter=passes, patience=None)
        valid = None
        if eval_set is not None:
            valid = self._eval_rows(gather_validation(self, eval_set) if rule in EXACT else eval_set)
        elif plan.patience is not None or rule is SGDA or (self.calibrate and passes is None):
            train, held = self._split(rows)
            valid = (rows.take(held), [target[held] for target in targets])
            rows, targets = rows.take(train), [target[train] for target in targets]
            for part, own, name in ((rows, targets, "trained on"), (*valid, "held back for validation")):
                weight = self._row_weights(part.weight, own)
                if weight is not None and not weight.any():
                    raise DataError(
                        f"sample_weight is 0 in all {part.n_rows} rows {name}. Pass eval_set, or change "
                        "validation_fraction or random_state."
                    )
        if growing:
            grow(self, rows.n_features, encoder)
        if fresh:
            self._start_tables(rows, biases, rule, hyper)
            if passes is None:  # before training, so that checkpoints have no random vectors either
                self._forget_unseen(rows)
        else:
            if resume is not None:
                belong_start(resume, self)
            self._wake(rows, hyper, more=passes is not None)
        if resume is not None:
            belong_rows(resume, rows, targets)
            if valid is not None:
                belong_rows(resume, *valid, "validation rows")
        self._train(rows, targets, loss, hyper, plan, valid=valid, resume=resume)
        if valid is not None and self.calibrate and passes is None:
            self._calibrate_on(self._scores(valid[0]), valid[1], valid[0].weight)
        if resume is not None:
            resume.remove()

    def _check_going_on(self, rows: Rows | Prepared) -> None:
        """Raise, before anything is changed, for rows that the machines cannot learn from."""

    def _eval_rows(self, eval_set: Any) -> tuple[Rows, list[Floats]]:
        """Return the rows and targets of ``eval_set``."""
        if not (isinstance(eval_set, (tuple, list)) and len(eval_set) == 2):
            raise OptionError(f"eval_set is a {type(eval_set).__name__}, but one pair (X, y) is expected")
        rows, y = self._input(*eval_set, **self._y_checks)
        if y is None:
            raise LabelError("eval_set is (X, None), but its targets are needed: pass (X, y)")
        return rows, self._targets(y)

    def _loss(self) -> Loss:
        raise NotImplementedError

    def _link(self) -> str:
        """Return how targets come from scores where a solver draws them: see ``crossfm.solvers.latent``."""
        return "normal"

    def _learn_target(self, y: Any, weight: Any, classes: Any) -> None:
        """Learn from the first ``y`` what its later forms need: the classes, or mean and spread."""
        raise NotImplementedError

    def _targets(self, y: Any) -> list[Floats]:
        """Return one checked target (n_rows,) a machine."""
        raise NotImplementedError

    def _learn_class_weight(
        self, count: Callable[[], tuple[int, list[float]]], *, anew: bool, passes: int | None
    ) -> None:
        """Learn what rows of each class weigh; ``count`` gives the rows, and the sum of each machine's target."""

    def _row_weights(self, weight: Any, targets: list[Floats]) -> Any:
        """Return the weights (n_rows,), or None, under which rows are learnt and validated."""
        return weight

    def _calibrate_on(self, scores: list[Any], targets: list[Floats], weight: Any) -> None:
        """Fit the probabilities to validation rows: scores and targets (n_rows,), one of each a machine."""

    def _numbers(self, name: str) -> np.random.Generator:
        """Return the random numbers of this fit for one purpose."""
        return stream(self.random_state if self._seed is None else self._seed, name)

    def _train(
        self,
        rows: Rows,
        targets: list[Floats],
        loss: Loss,
        hyper: Hyper,
        plan: Plan,
        *,
        valid: tuple[Rows, list[Floats]] | None = None,
        resume: Resume | None = None,
    ) -> None:
        """Run the epochs over ``rows``, one target (n_rows,) a machine."""
        tables = self._tables()
        weight = self._row_weights(rows.weight, targets)
        data = [rows.with_target(target, weight) for target in targets]
        threads = thread_count(self.n_threads)

        def plain(order: NDArray[np.int64], hyper: Hyper) -> float:
            return self._visit(data, order, loss, hyper, threads)

        visit: Visit = plain
        exact = None
        self._chain = self._chain if tables[0].rule is MCMC else None
        self._posterior = self._posterior if tables[0].rule is VB else None
        if tables[0].rule in EXACT:
            exact = exact_training(self, data, valid, tables[0], hyper, plan, threads)
            visit, tables = exact.visit, [*tables, *exact.beside]
            if resume is not None:
                exact.keep_in(resume)
        if tables[0].rule is SGDA:
            assert valid is not None
            held_weight = self._row_weights(valid[0].weight, valid[1])
            held = [valid[0].with_target(target, held_weight) for target in valid[1]]
            draws = self._numbers(f"adapt {self._epochs_done()}")
            visit = adaptive_visit(self, data, held, tables, loss, hyper, draws)
            if resume is not None:
                resume.generators["adapt"] = draws

        def validate() -> Scores:
            assert valid is not None
            if exact is not None:
                held_weight = self._row_weights(valid[0].weight, valid[1])
                return self._judge([exact.valid_scores()], valid[1], held_weight, loss)
            return self._validation_scores(valid[0], valid[1], loss, threads)

        judge = validate if valid else None
        callback = self._callback()
        if exact is not None:
            callback = Callbacks([callback, *exact.callbacks])
            judge = exact.with_bound(judge)

        done = self._epochs_done()
        run_epochs(
            tables,
            visit,
            rows.n_rows,
            hyper,
            plan,
            self._numbers(f"order {done}"),
            total_weight=rows.n_rows if weight is None else float(weight.sum(dtype=np.float64)),
            nnz=rows.nnz * len(tables),
            validate=judge,
            callback=callback,
            model=self,
            first_epoch=done,
            orders=exact.orders if exact is not None else None,
            resume=resume,
        )

    def _visit(
        self, data: list[Rows], order: NDArray[np.int64], loss: Loss, hyper: Hyper, threads: int
    ) -> float:
        """Move each machine over the rows of its own ``data`` in ``order``; return the summed loss."""
        return sum(
            self._machine.train_pass(
                rows, order, table, loss, hyper, n_threads=threads, deterministic=self.deterministic
            )
            for rows, table in zip(data, self._tables(), strict=True)
        )

    def _epochs_done(self) -> int:
        return int(self.history_[-1]["epoch"]) if self.history_ else 0

    def _callback(self) -> Callbacks:
        given = self.callbacks or []
        if not isinstance(given, (list, tuple)) or not all(
            isinstance(c, Callback) or callable(c) for c in given
        ):
            raise OptionError(f"callbacks={given!r}, but it must be a list of Callback objects or functions")
        words = describe_sweep if self._rule() in EXACT else None
        return Callbacks([Record(), *given, *([progress(words=words)] if self.verbose else [])])

    def _validation_scores(self, rows: Rows, targets: list[Floats], loss: Loss, threads: int) -> Scores:
        scores = [self._machine.scores(rows, table, n_threads=threads) for table in self._tables()]
        return self._judge(scores, targets, self._row_weights(rows.weight, targets), loss)

    def _judge(self, each: list[NDArray[Any]], targets: list[Floats], weights: Any, loss: Loss) -> Scores:
        """Return the validation of scores and targets (n_rows,), one of each a machine."""
        weight = np.ones(len(targets[0])) if weights is None else weights.astype(np.float64)
        value, area = 0.0, None
        for raw, target in zip(each, targets, strict=True):
            scores = raw.astype(np.float64)
            value += float(np.average(loss.value(scores, target), weights=weight))
            if self.monitor == "auc":
                area = auc(target, scores, weight)
        if area is not None:
            return Scores(value, area, area)
        return Scores(value, None, -value if np.isfinite(value) else -np.inf)

    def _split(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows to train on and those to validate on."""
        seed = int(self._numbers("validation").integers(2**31))
        return random_split(rows.n_rows, self.validation_fraction, seed)

    def _tables(self) -> list[Any]:
        """Return the training tables; made from the parameters after loading, or for another solver."""
        rule, hyper, _ = self._check_options()
        self._machines = [
            machine
            if getattr(machine, "rule", None) == rule
            else self._machine.table(params_of(machine), rule, hyper)
            for machine in self._machines
        ]
        return self._machines

    def _forget_unseen(self, rows: Rows | Prepared) -> None:
        """Zero vectors of features that no row has, and that were not learnt before."""
        if self._begin is not None:
            return
        for table in self._tables():
            self._machine.forget_unseen(table, rows, self._check_options()[1])

    def _wake(self, rows: Rows | Prepared, hyper: Hyper, *, more: bool) -> None:
        """Give features of ``rows`` vectors where they have none to learn from.

        ``more``: they come beside the rows of before, where machines have counted these; else in their place.
        """
        rng = self._numbers(f"revive {self._epochs_done()}")
        self._machines = [
            self._machine.wake(table, rows, rng, hyper, scale=self._start_scale()) for table in self._tables()
        ]

    # -------------------------------------------------------------------- after

    @property
    def params_(self) -> Any:
        """Parameters as ``FMParams``; a list with one for each class when there are more than two."""
        if not hasattr(self, "_machines"):
            raise AttributeError("params_ is there after fit")
        machines = [self._rescaled(params_of(machine)) for machine in self._machines]
        return machines[0] if len(machines) == 1 else machines

    @property
    def trace_(self) -> dict[str, NDArray[Any]]:
        """What "mcmc" drew beside the weights, as arrays whose first axis are all iterations so far."""
        if self._chain is None:
            raise AttributeError('trace_ is there after fit with solver="mcmc"')
        return self._chain.trace.rescaled(*getattr(self, "_target", (0.0, 1.0)))

    @property
    def l2_w_(self) -> Floats:
        """L2 on ``w`` that solver="sgda" has found (n_groups,); (n_classes, n_groups) for more than two classes."""
        return self._found("l2_w_", lambda lambdas, k: lambdas[:, 0])

    @property
    def l2_V_(self) -> Floats:
        """L2 on ``V`` that solver="sgda" has found (n_groups, n_factors), with classes as ``l2_w_``."""
        return self._found("l2_V_", lambda lambdas, k: lambdas[:, 1 : 1 + k])

    def _found(self, name: str, part: Callable[[Any, int], Any]) -> Floats:
        lambdas = [getattr(machine, "penalty", None) for machine in getattr(self, "_machines", [None])]
        if any(one is None for one in lambdas):
            raise AttributeError(f'{name} is there after fit with solver="sgda"')
        found = [2.0 * part(one, self.n_factors).astype(np.float64) for one in lambdas]
        return found[0] if len(found) == 1 else np.stack(found)

    def _rescaled(self, params: Any) -> Any:
        return params

    def _raw(self, X: Any) -> Floats:
        """Return scores (n_rows, n_machines), float64."""
        check_is_fitted(self, "_machines")
        if isinstance(X, RowStream):
            self._refuse_stream()
            return np.concatenate(list(map(self._raw, X)))
        rows, _ = self._input(X)
        return np.stack(self._scores(rows), axis=1).astype(np.float64)

    def _predictive(self, X: Any) -> tuple[Floats, Floats]:
        """Return mean and variance (n_rows,) of new targets, as they are standardised."""
        check_is_fitted(self, "_machines")
        each = [predictive(self, rows, thread_count(self.n_threads)) for rows in self._parts(X)]
        return np.concatenate([mean for mean, _ in each]), np.concatenate([spread for _, spread in each])

    def _predictive_quantiles(self, X: Any, quantiles: Any) -> Floats:
        """Return quantiles (n_rows, n_quantiles) of new targets, as they are standardised."""
        check_is_fitted(self, "_machines")
        threads = thread_count(self.n_threads)
        return np.concatenate([predictive_quantiles(self, p, quantiles, threads) for p in self._parts(X)])

    def _parts(self, X: Any) -> Iterator[Rows]:
        """Yield the rows of a stream window by window, or those of ``X``."""
        if isinstance(X, RowStream):
            self._refuse_stream()
        for part in X if isinstance(X, RowStream) else [X]:
            yield self._input(part)[0]

    def _refuse_stream(self) -> None:
        """Raise where the rows of a stream would lack what side tables say."""
        if self._sides:
            raise OptionError(
                f"the model has side tables (of {key_names(self._sides)}), which a stream's rows know "
                "nothing of: pass tables"
            )

    def _said(self, mean: Floats) -> Floats:
        """Return as predictions (n_rows,) or (n_rows, n_classes) what the samples of a chain say in the mean."""
        return mean

    def _scores(self, rows: Rows) -> list[NDArray[Any]]:
        """Return raw scores (n_rows,) of each machine."""
        threads = thread_count(self.n_threads)
        if self._chain is not None and self._chain.keep == 0 and self._chain.drawn:
            raise OptionError(
                "keep_samples=0: no samples were kept to predict with. Predictions of the eval_set of fit are in "
                "eval_prediction_; for other rows keep some"
            )
        if self._chain is not None and self._chain.samples:
            return [self._chain.scores(rows, n_threads=threads)]
        if self._posterior is not None:
            return [self._posterior.scores(expand(rows), self._machines[0], n_threads=threads)]
        if self._chain is not None:  # in the burn-in: what the last draw says
            score = self._machine.scores(rows, self._machines[0], n_threads=threads)
            return [self._chain.combined(self._chain.said(score))]
        return [self._machine.scores(rows, machine, n_threads=threads) for machine in self._machines]

    def explain(self, X: Any, *, machine: int = 0) -> Explanation:
        """Split each row's raw score into what the bias, each column and each pair of columns gave.

        Parameters
        ----------
        X : table, matrix or Rows (n_rows, ...)
        machine : int, default=0
            Which class, when there are more than two.

        Returns
        -------
        Explanation
            Its parts add up to the raw score (before any link) of each row. Of "mcmc" they are means over the
            samples, in ``FMClassifier`` of the score under the probit.
        """
        check_is_fitted(self, "_machines")
        rows = expand(self._input(X)[0])
        check_count("machine", machine, high=len(self._machines) - 1)
        params = self.params_
        chosen = params[machine] if isinstance(params, list) else params
        names = None if self.encoder_ is None else self.encoder_.fields
        if names is None and hasattr(self, "feature_names_in_"):
            names = [str(name) for name in self.feature_names_in_]
        if self._chain is None or not self._chain.samples:
            return explain_rows(rows, chosen, names)
        return mean_explanation(explain_rows(rows, self._rescaled(p), names) for p in self._chain.samples)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
