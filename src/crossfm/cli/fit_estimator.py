"""``crossfm train`` for classification, regression and ranking."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.cli.checkpoint import Keeper
from crossfm.cli.choosing import Overrides, choose, show_columns
from crossfm.cli.judge import as_classes, judge, numeric
from crossfm.cli.networks import MODEL_OPTIONS, choose_batch_size, known_features, start_from
from crossfm.cli.reading import (
    Reading,
    check_column,
    features,
    find_target,
    is_rows,
    read_table,
    refuse_sides,
    target_values,
    weight_values,
)
from crossfm.cli.show import say, size
from crossfm.errors import LabelError, OptionError

HELD_BACK = 0.1  # of the rows, where nothing is said
FEW = 20  # rows below which nothing is held back unasked
EPOCHS = 100  # at most, where early stopping ends the training and nothing is said
SAMPLES = 200  # iterations of "mcmc"


@dataclass(frozen=True)
class Job:
    """What ``crossfm train`` was asked to do; ``settings`` are estimator parameters that were given."""

    data: Path
    out: Path
    reading: Reading
    task: str
    settings: dict[str, Any]
    machine: str | None = None
    target: str | None = None
    weight: str | None = None
    group: str | None = None
    valid: Path | None = None
    valid_fraction: float | None = None
    early_stopping: bool | None = None
    n_features: int | None = None
    init: Path | None = None
    with_state: bool = False
    overrides: Overrides = field(default_factory=Overrides)
    tables: tuple[tuple[str, Path], ...] = ()
    seed: int = 0
    quiet: bool = False
    tensorboard: Path | None = None
    log_csv: Path | None = None
    mlflow: str | None = None
    memory_limit: int | None = None
    cache: Path | None = None

    def logs(self) -> list[Any]:
        """Return the callbacks that were asked for."""
        from crossfm.solvers.csv_log import CSVLog
        from crossfm.solvers.mlflow_log import MLflowLog
        from crossfm.solvers.tensorboard import TensorBoard

        kinds: list[tuple[Any, Any]] = [
            (TensorBoard, self.tensorboard), (CSVLog, self.log_csv), (MLflowLog, self.mlflow)
        ]  # fmt: skip
        return [kind(where) for kind, where in kinds if where is not None]


@dataclass(frozen=True)
class Part:
    """Rows to train or to validate on: features (``Rows`` or a table), targets, weights and groups."""

    X: Any
    y: NDArray[Any]
    weight: Any = None
    groups: Any = None

    def take(self, index: NDArray[np.int64]) -> Part:
        """Return some of the rows."""
        return Part(
            self.X.take(index),
            self.y[index],
            *(None if a is None else a[index] for a in (self.weight, self.groups)),
        )


def fit_estimator(job: Job) -> None:
    """Read, choose columns, train, save, judge on the validation rows and say what to do next."""
    keeper = Keeper(job.out, with_state=job.with_state, checkpoint=job.settings.get("checkpoint"))
    data = job.reading.read(job.data, n_features=job.n_features)
    target = None if is_rows(data) else find_target(data, job.target)
    whole = read_part(data, target, job)
    model, task = make_model(job, whole.y, target)
    if job.with_state and task == "ranking":
        raise OptionError("--with-state is for models that can go on learning, but a ranker cannot")
    if job.group is not None and (
        task in ("regression", "ordinal") or (len(np.unique(whole.y)) > 2 and task != "ranking")
    ):
        raise OptionError("--group is for ranking and for two classes; leave it out")
    train, valid = hold_back(whole, target, job)
    start = getattr(model, "init", None)
    if job.init is None:
        set_columns(model, train, target, job)
    elif start is not None:
        train = replace(train, X=known_features(train.X, start, job.data))
        if valid is not None:
            valid = replace(valid, X=known_features(valid.X, start, job.valid or job.data))
    else:
        train, valid = (_encoded(part, model, job) for part in (train, valid))
    set_options(model, task, valid, job, [keeper.callback(), *job.logs()])
    if not job.quiet:
        say(f"{task} of {target_name(target)}: {len(train.y):,} rows" + _held(valid))
    choose_batch_size(model, len(train.y), job)
    with keeper.guard():
        fit_part(model, task, train, valid)
        keeper.save(model)
    report(model, task, valid, job)


def read_part(data: Any, target: str | None, job: Job) -> Part:
    """Return the rows of a file with targets, weights and groups; refuses options that do not fit it."""
    if target is None:
        refuse_columns(job)
        return Part(replace(data, target=None), data.target)
    if job.n_features is not None:
        raise OptionError(f"n_features is for libsvm and libffm files, but {job.data} is a table")
    groups = None if job.group is None else target_values(data, check_column(data, job.group, "--group"))
    weight = None if job.weight is None else weight_values(data, job.weight)
    return Part(data, target_values(data, target), weight, groups)


def refuse_columns(job: Job) -> None:
    """Raise ``OptionError`` for options that name a column: the file has none."""
    given = {"--target": job.target, "--weight": job.weight, "--group": job.group, "--table": job.tables}
    for option in [name for name, value in given.items() if value] + [o for _, o in job.overrides.named()]:
        raise OptionError(f"{option} names a column, but {job.data} has numbered features")


def make_model(job: Job, y: NDArray[Any], target: str | None) -> tuple[Any, str]:
    """Return an estimator that is not fitted (or the one to go on with) and its task."""
    from crossfm.estimators.machines import ESTIMATORS, NETWORKS
    from crossfm.estimators.neural import network_class
    from crossfm.models import load

    if job.machine in NETWORKS:
        network_class()  # raises where PyTorch is missing
    if job.init is not None:
        return _go_on(load(job.init), job)
    kinds = ESTIMATORS[job.machine or "fm"]
    task, why = (job.task, "") if job.task != "auto" else _guess_task(y, target)
    if task not in kinds:
        also = " or a network" if task == "ranking" else ""
        raise OptionError(f"--task {task} is for --model fm or linear{also}, not for --model {job.machine}")
    settings = check_settings(
        job.settings,
        kinds[task](),
        f"the task {task}{why}" + (f" with --model {job.machine}" if job.machine else ""),
    )
    if why and not job.quiet:
        say(f"task: {task}{why}; --task says otherwise")
    if task == "classification" and y.dtype.kind == "f" and (y != np.floor(y)).any():
        raise LabelError(
            f"{target_name(target)} holds numbers such as {y[y != np.floor(y)][0]:g}, which are no classes; "
            "use --task regression"
        )
    return kinds[task](**settings, random_state=job.seed), task


def check_settings(settings: dict[str, Any], model: Any, what: str) -> dict[str, Any]:
    """Return the settings when ``model`` has them all; ``OptionError`` for one that means nothing to it."""
    own = model.get_params(deep=False)
    for name in settings:
        if name not in own:
            raise OptionError(f"{name}={settings[name]!r} means nothing for {what}; leave it out")
    return settings


def _go_on(model: Any, job: Job) -> tuple[Any, str]:
    from crossfm.estimators.machines import NETWORKS, machine_and_task

    found = machine_and_task(model)
    if found is None or found[1] == "ranking":
        raise OptionError(
            f"--init {job.init}: a {type(model).__name__} cannot be trained further; train it anew"
        )
    machine, task = found
    starts = job.machine in NETWORKS and machine == "fm" and task != "ordinal"  # where it goes on otherwise
    if job.machine not in (None, machine) and not starts:
        only = "; a network starts at an fm, or goes on" if job.machine in NETWORKS else ""
        raise OptionError(f"--model {job.machine}, but the model in {job.init} is {machine}{only}")
    if job.task not in ("auto", task):
        raise OptionError(f"--task {job.task}, but the model in {job.init} does {task}")
    if job.overrides:
        raise OptionError(f"{job.overrides.named()[0][1]}: the columns of {job.init} stay as they are")
    if job.tables:
        raise OptionError(f"--table: the side tables of {job.init}, if there are any, stay as they are")
    fixed = model.get_params(deep=False)
    for name in ("n_factors", "loss", *MODEL_OPTIONS):
        if name in job.settings and name in fixed and job.settings[name] != fixed[name]:
            own = "the model's own" if fixed[name] is None else repr(fixed[name])
            raise OptionError(f"{name}={job.settings[name]!r}, but {job.init} has {own}, which stays")
    if starts:
        refuse_sides(model, str(job.init), "no network has: join them to the rows and train the fm on these")
        return start_from(model, task, job)
    settings = check_settings(job.settings, model, f"the model in {job.init}")
    return model.set_params(**settings, warm_start=True, random_state=job.seed), task


def _guess_task(y: NDArray[Any], target: str | None) -> tuple[str, str]:
    distinct = np.unique(y)
    name = target_name(target)
    if len(distinct) < 2:
        raise LabelError(f"{name} is {distinct[0].item()!r} in every row: there is nothing to learn")
    if y.dtype.kind not in "iuf":
        return "classification", f" ({name} holds {'text' if y.dtype.kind == 'U' else 'true and false'})"
    if len(distinct) == 2:
        return "classification", f" ({name} has two values, {distinct[0]:g} and {distinct[1]:g})"
    return "regression", f" ({name} has {len(distinct)} different numbers)"


def hold_back(whole: Part, target: str | None, job: Job) -> tuple[Part, Part | None]:
    """Return the rows to train on and to validate on."""
    from crossfm.data.split import group_split, random_split

    if job.valid is not None and job.valid_fraction:
        raise OptionError("--valid and --valid-fraction: give one of them")
    if job.valid is not None:
        held = read_part(
            job.reading.read(job.valid, n_features=job.n_features), target, replace(job, data=job.valid)
        )
        return _same_width(whole, held)
    unasked = job.early_stopping is False or job.task == "ranking" or len(whole.y) < FEW
    wanted = 0.0 if unasked else HELD_BACK
    fraction = wanted if job.valid_fraction is None else job.valid_fraction
    if fraction == 0:
        return whole, None
    if whole.groups is not None:
        train, test = group_split(whole.groups, fraction, job.seed)
    else:
        train, test = random_split(len(whole.y), fraction, job.seed)
    return whole.take(train), whole.take(test)


def _same_width(whole: Part, held: Part) -> tuple[Part, Part]:
    """Count features of both files, so that ids which only the validation has are known (and worth nothing)."""
    if not is_rows(whole.X):
        return whole, held
    n = max(whole.X.n_features, held.X.n_features)
    return replace(whole, X=replace(whole.X, n_features=n)), replace(held, X=replace(held.X, n_features=n))


def set_columns(model: Any, train: Part, target: str | None, job: Job) -> None:
    """Choose the columns of a table, and print them."""
    if target is None:
        return
    exclude = [name for name in (target, job.weight, job.group) if name is not None]
    sides = _read_sides(model, train.X, exclude, job)
    job.overrides.check(train.X, *sides.values())
    named = {name for name, _ in job.overrides.named()}
    keys = tuple(key for key in sides if key not in named)
    overrides = replace(job.overrides, categorical=job.overrides.categorical + keys)
    columns, files = choose(train.X, overrides.of(train.X), exclude=exclude), dict(job.tables)
    columns.reasons |= {key: f"finds the rows of {files[key]}" for key in keys}
    if not job.quiet:
        show_columns("columns:", columns)
    found, holder = list(columns), {column.name: job.data for column in columns}
    for key, side in sides.items():
        others = side.drop_columns(key)
        more = choose(others, overrides.of(others))
        if not job.quiet:
            show_columns(f"columns of {files[key]}:", more)
        for column in more:
            if column.name in holder:
                raise OptionError(
                    f"column {column.name!r} is in {holder[column.name]} and in {files[key]}; rename it in one of them"
                )
            holder[column.name] = files[key]
        found += more
        sides[key] = side.select([key, *(column.name for column in more)])
    if not found:
        raise OptionError(f"no column of {job.data} is left to learn from; see --categorical and --numeric")
    model.set_params(columns=found, **({"tables": sides} if sides else {}))


def _read_sides(model: Any, table: Any, used: list[str], job: Job) -> dict[str, Any]:
    """Return the tables of entities by key. Raises where the model takes none or a key is no column for it."""
    if job.tables and "tables" not in model.get_params(deep=False):
        raise OptionError(
            "--table is for factorization machines of classes and numbers, but the model is a "
            f"{type(model).__name__}: join the table to the rows"
        )
    sides = {}
    for key, path in job.tables:
        if check_column(table, key, "--table") in used:
            raise OptionError(
                f"--table {key}={path}: {key!r} is the target, the weight or the group, so it is no key"
            )
        sides[key] = read_table(path, Reading(encoding=job.reading.encoding, n_threads=job.reading.n_threads))
        check_column(sides[key], key, f"--table {key}={path}")
    return sides


def _encoded(part: Part | None, model: Any, job: Job) -> Any:
    return None if part is None else replace(part, X=features(model, part.X, job.data))


def set_options(model: Any, task: str, valid: Any, job: Job, callbacks: list[Any]) -> None:
    """Set early stopping, the epochs it needs, and who hears of them; ``valid`` is None without validation."""
    if task == "ranking":
        if job.early_stopping:
            raise OptionError("--early-stopping is for classification and regression, not for ranking")
    elif task == "ordinal":
        if job.early_stopping:
            raise OptionError("--early-stopping: --task ordinal draws samples and is not stopped early")
    elif valid is None and job.early_stopping:
        raise OptionError("--early-stopping needs validation rows: pass --valid or --valid-fraction")
    else:
        samples = getattr(model, "solver", None) == "mcmc"  # also that of a model to go on with
        stops = bool(job.early_stopping) if samples else valid is not None and job.early_stopping is not False
        for name in ("n_iter_no_change", "monitor"):
            if name in job.settings and not stops:
                raise OptionError(
                    f"{name}={job.settings[name]!r} means nothing without early stopping; leave it out"
                )
        if valid is None and getattr(model, "calibrate", False):
            raise OptionError("calibrate=True needs validation rows: pass --valid or --valid-fraction")
        model.set_params(early_stopping=stops)
        if stops and "max_iter" not in job.settings:
            model.set_params(max_iter=EPOCHS)
        if samples and "max_iter" not in job.settings:
            model.set_params(max_iter=SAMPLES)
    model.set_params(callbacks=callbacks, verbose=0 if job.quiet else 1)


def fit_part(model: Any, task: str, train: Part, valid: Part | None) -> None:
    """Fit the model to the rows, in the forms that its task takes."""
    X = _selected(model, train.X)
    if task == "ranking":
        model.fit(X, numeric(train.y), groups=train.groups, sample_weight=train.weight)
        return
    y, others = train.y, None if valid is None else valid.y
    if task == "classification":
        known = getattr(model, "init", None) or model
        if getattr(known, "classes_", None) is not None:
            y, others = as_classes(known, y), None if others is None else as_classes(known, others)
    else:
        y, others = numeric(y), None if others is None else numeric(others)
    held = None if valid is None else (_selected(model, valid.X), others)
    model.fit(X, y, sample_weight=train.weight, eval_set=held)


def _selected(model: Any, X: Any) -> Any:
    if is_rows(X):
        return X
    sides = getattr(model, "tables", None) or {}
    theirs = {name for side in sides.values() for name in side.column_names}
    names = [*(column.name for column in model.columns if column.name not in theirs), *sides]
    return X.select([check_column(X, name, "the model") for name in names])


def report(model: Any, task: str, valid: Part | None, job: Job) -> None:
    """Say how the training went, how good the model is on ``valid``, and what to do next."""
    if job.quiet:
        return
    stopped = f", best epoch {model.best_iter_}" if task != "ranking" and model.early_stopping else ""
    say(f"trained {model.n_iter_} epochs{stopped}")
    if stopped and model.best_iter_ == model.history_[-1]["epoch"]:
        say("note: the last epoch was the best one; more --epochs may do better")
    if valid is not None:
        X = valid.X if is_rows(valid.X) else features(model, valid.X, job.valid or job.data)
        judge(model, X, valid.y, title="validation", groups=valid.groups).show()
    say(f"wrote {job.out} ({size(job.out.stat().st_size)})")
    say(f"next: crossfm inspect {job.out}")
    say(f"      crossfm evaluate {job.out} TEST-FILE")
    say(f"      crossfm predict {job.out} NEW-FILE --out predictions.csv")


def target_name(target: str | None) -> str:
    """Write the target for a sentence."""
    return "the label" if target is None else repr(target)


def _held(valid: Part | None) -> str:
    return "" if valid is None else f", {len(valid.y):,} rows held for validation"
