"""``crossfm train``: from a file of rows to a model file."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.choosing import Overrides, parse_multi, parse_share, parse_tables
from crossfm.cli.errors import verb
from crossfm.cli.networks import (
    ActivationOption,
    BatchNormOption,
    BatchSizeOption,
    ClipOption,
    CompileOption,
    CowClipOption,
    DeviceOption,
    DropoutOption,
    HiddenOption,
    LayersOption,
    ModelOption,
    RateVOption,
    RateWOption,
    WarmupOption,
    model_options,
    rates,
    widths,
)
from crossfm.cli.reading import (
    CacheOption,
    EncodingOption,
    FormatOption,
    HeaderOption,
    LimitOption,
    NamesOption,
    Reading,
    SeparatorOption,
    check_out,
    memory_limit,
    names,
)
from crossfm.cli.show import examples
from crossfm.errors import OptionError

EXAMPLES = examples(
    "crossfm train clicks.csv --out clicks.crossfm --target click",
    "crossfm train clicks.csv --target click --cv 5",
    "crossfm train train.libsvm.gz --valid valid.libsvm.gz --factors 10 --out ctr.crossfm",
    "crossfm train u.data --no-header --column-names user,item,rating,time --drop time --out ratings.crossfm",
    "crossfm train ratings.tsv --task recommendation --user user_id --item item_id --time timestamp "
    "--users users.tsv --items items.tsv --valid-fraction 0.1 --out movies.crossfm",
)
COLUMNS, LEARNING, VALIDATION, LISTS = "Columns", "Learning", "Validation", "Recommendation"


class Task(str, Enum):
    """What to learn."""

    auto = "auto"
    classification = "classification"
    regression = "regression"
    ordinal = "ordinal"
    ranking = "ranking"
    recommendation = "recommendation"


class Machine(str, Enum):
    """Which machine."""

    fm = "fm"
    ffm = "ffm"
    fwfm = "fwfm"
    fmfm = "fmfm"
    hofm = "hofm"
    linear = "linear"
    nfm = "nfm"
    deepfm = "deepfm"
    widedeep = "widedeep"
    fnn = "fnn"
    ipnn = "ipnn"
    opnn = "opnn"
    afm = "afm"
    xdeepfm = "xdeepfm"
    dcn = "dcn"
    dcnv2 = "dcnv2"
    autoint = "autoint"
    fibinet = "fibinet"
    finalmlp = "finalmlp"


class Groups(str, Enum):
    """Which features share a prior."""

    fields = "fields"
    none = "none"


def _option(*flags: str, help: str, panel: str) -> Any:
    return typer.Option(*flags, help=help, rich_help_panel=panel)


Text = Optional[str]  # noqa: UP045  (typer reads these at run time, on Python 3.10 too)
Number = Optional[float]  # noqa: UP045
Whole = Optional[int]  # noqa: UP045
Flag = Optional[bool]  # noqa: UP045
File = Optional[Path]  # noqa: UP045


@verb
def train(
    data: Annotated[
        Path, typer.Argument(help="Rows: libsvm, libffm, csv, tsv, parquet, arrow; .gz and .zst too.")
    ],
    out: Annotated[File, typer.Option("--out", "-o", help="The model file to write; none for --cv.")] = None,
    task: Annotated[
        Task,
        typer.Option(help="auto looks at the target (and at --user, --item); ordinal: levels such as stars."),
    ] = Task.auto,
    target: Annotated[
        Text,
        _option(
            "--target", help="Column to predict; else one called label, rating, click, ...", panel=COLUMNS
        ),
    ] = None,
    categorical: Annotated[
        Text, _option("--categorical", help="Columns a,b of ids and categories.", panel=COLUMNS)
    ] = None,
    numeric: Annotated[Text, _option("--numeric", help="Columns a,b of numbers.", panel=COLUMNS)] = None,
    multi: Annotated[
        Optional[list[str]],  # noqa: UP045
        _option(
            "--multi",
            help="Column with several values a cell, and what parts them: 'genres:|'.",
            panel=COLUMNS,
        ),
    ] = None,
    drop: Annotated[Text, _option("--drop", help="Columns a,b to leave out.", panel=COLUMNS)] = None,
    share: Annotated[
        Optional[list[str]],  # noqa: UP045
        _option(
            "--share",
            help="Column with the values of another, whose weights and factors it uses: last_items=item.",
            panel=COLUMNS,
        ),
    ] = None,
    table: Annotated[
        Optional[list[str]],  # noqa: UP045
        _option(
            "--table",
            help="Table with what is known of a column's values, found by that column: user=users.csv.",
            panel=COLUMNS,
        ),
    ] = None,
    weight: Annotated[Text, _option("--weight", help="Column of sample weights.", panel=COLUMNS)] = None,
    group: Annotated[
        Text,
        _option("--group", help="Column of groups (ranking: only rows of one are compared).", panel=COLUMNS),
    ] = None,
    n_features: Annotated[
        Whole, _option("--n-features", help="libsvm, libffm: number of features.", panel=COLUMNS)
    ] = None,
    model: Annotated[
        Optional[Machine],  # noqa: UP045
        typer.Option(
            help="fm; with fields ffm (a vector), fwfm (a weight), fmfm (a matrix); hofm (degree 3); linear. "
            "Networks (extra neural): FM inside: nfm, deepfm, afm; layers alone: widedeep, fnn, ipnn, opnn, finalmlp; "
            "crosses: dcn, dcnv2, xdeepfm; attention: autoint, fibinet.",
            show_choices=False,
        ),
    ] = None,
    factors: Annotated[
        Whole, _option("--factors", "-k", help="Length of each factor vector.", panel=LEARNING)
    ] = None,
    solver: Annotated[
        Text,
        _option(
            "--solver",
            help="adagrad, adagrad-row, sgd, adam, ftrl, sgda; FM in memory also als, mcmc, vb; networks the first 4.",
            panel=LEARNING,
        ),
    ] = None,
    link: Annotated[
        Text,
        _option("--link", help="Classes with mcmc: probit, or logistic.", panel=LEARNING),
    ] = None,
    loss: Annotated[
        Text,
        _option(
            "--loss",
            help="Regression: squared or poisson (counts). Lists: bpr, warp, softmax or ensfm.",
            panel=LEARNING,
        ),
    ] = None,
    epochs: Annotated[
        Whole,
        _option(
            "--epochs",
            "--iterations",
            help="Passes over the rows; else 100 at most with early stopping, 20 without, 200 of mcmc.",
            panel=LEARNING,
        ),
    ] = None,
    burn_in: Annotated[
        Whole,
        _option("--burn-in", help="Iterations that do not count; else a tenth (mcmc).", panel=LEARNING),
    ] = None,
    groups: Annotated[
        Optional[Groups],  # noqa: UP045
        _option(
            "--groups",
            help="Which features share mean and precision; else fields (mcmc, vb).",
            panel=LEARNING,
        ),
    ] = None,
    keep_samples: Annotated[
        Whole,
        _option("--keep-samples", help="Samples in the model file; else 50 at most (mcmc).", panel=LEARNING),
    ] = None,
    learning_rate: Annotated[
        Number, _option("--learning-rate", help="Step size; else the solver's own.", panel=LEARNING)
    ] = None,
    schedule: Annotated[
        Text, _option("--schedule", help="constant, inverse, linear or cosine.", panel=LEARNING)
    ] = None,
    l2_w: Annotated[Number, _option("--l2-w", help="L2 penalty on linear weights.", panel=LEARNING)] = None,
    l2_v: Annotated[
        Number, _option("--l2-v", help="L2 penalty on factors; else the solver's own.", panel=LEARNING)
    ] = None,
    l1_w: Annotated[
        Number, _option("--l1-w", help="L1 penalty on linear weights (ftrl).", panel=LEARNING)
    ] = None,
    l1_v: Annotated[Number, _option("--l1-v", help="L1 penalty on factors (ftrl).", panel=LEARNING)] = None,
    ftrl_decay: Annotated[
        Number,
        _option(
            "--ftrl-decay", help="Below 1 old rows fade at each update of a weight (ftrl).", panel=LEARNING
        ),
    ] = None,
    precision: Annotated[
        Text,
        _option(
            "--precision",
            help="float32 or bfloat16: of factors in training (fm, ffm), of a network's layers.",
            panel=LEARNING,
        ),
    ] = None,
    init_scale: Annotated[
        Number, _option("--init-scale", help="Size of the random start of the factors.", panel=LEARNING)
    ] = None,
    init: Annotated[
        File,
        _option(
            "--init",
            help="Go on from this model file; with a network as --model, start at its fm.",
            panel=LEARNING,
        ),
    ] = None,
    with_state: Annotated[
        bool,
        _option(
            "--with-state",
            help="Keep the optimizer's state in the file: --init then goes on as if it had not been saved.",
            panel=LEARNING,
        ),
    ] = False,
    normalize: Annotated[
        bool, _option("--normalize", help="Scale every row to length 1, as libffm does.", panel=LEARNING)
    ] = False,
    threads: Annotated[
        Whole, _option("--threads", help="0 takes all cores; one is repeatable bit for bit.", panel=LEARNING)
    ] = None,
    deterministic: Annotated[
        bool, _option("--deterministic", help="Many threads, same bits.", panel=LEARNING)
    ] = False,
    class_weight: Annotated[
        Text,
        _option(
            "--class-weight",
            help="balanced: rows of rare classes count more, so that all classes count alike.",
            panel=LEARNING,
        ),
    ] = None,
    seed: Annotated[int, _option("--seed", help="Same seed, same model.", panel=LEARNING)] = 0,
    hidden: HiddenOption = None,
    dropout: DropoutOption = None,
    batch_norm: BatchNormOption = None,
    activation: ActivationOption = None,
    option: ModelOption = None,
    batch_size: BatchSizeOption = None,
    learning_rate_v: RateVOption = None,
    learning_rate_w: RateWOption = None,
    l2_layers: LayersOption = None,
    clip_norm: ClipOption = None,
    warmup: WarmupOption = None,
    cowclip: CowClipOption = None,
    device: DeviceOption = None,
    compile: CompileOption = False,
    valid: Annotated[File, _option("--valid", help="File to validate on.", panel=VALIDATION)] = None,
    valid_fraction: Annotated[
        Number,
        _option(
            "--valid-fraction",
            help="Share of the rows to hold back; else 0.1 (ranking and lists: 0).",
            panel=VALIDATION,
        ),
    ] = None,
    cv: Annotated[
        Whole,
        _option(
            "--cv",
            help="Write no model, but train and judge this many, each on other rows (folds).",
            panel=VALIDATION,
        ),
    ] = None,
    early_stopping: Annotated[
        Flag,
        _option(
            "--early-stopping/--no-early-stopping",
            help="Keep the best epoch; on where there is validation.",
            panel=VALIDATION,
        ),
    ] = None,
    patience: Annotated[
        Whole, _option("--patience", help="Epochs without a better one.", panel=VALIDATION)
    ] = None,
    monitor: Annotated[
        Text, _option("--monitor", help="What is best: loss, or auc (two classes).", panel=VALIDATION)
    ] = None,
    calibrate: Annotated[
        bool,
        _option(
            "--calibrate",
            help="Fit the probabilities of classes to the validation rows (Platt scaling).",
            panel=VALIDATION,
        ),
    ] = False,
    user: Annotated[Text, _option("--user", help="Column of users.", panel=LISTS)] = None,
    item: Annotated[Text, _option("--item", help="Column of items.", panel=LISTS)] = None,
    time: Annotated[
        Text, _option("--time", help="Column of times: validation is the latest part.", panel=LISTS)
    ] = None,
    context: Annotated[
        Text, _option("--context", help="Columns a,b known when a list is asked for.", panel=LISTS)
    ] = None,
    users: Annotated[File, _option("--users", help="Table of users' features.", panel=LISTS)] = None,
    items: Annotated[File, _option("--items", help="Table of items' features.", panel=LISTS)] = None,
    half_life: Annotated[
        Number, _option("--half-life", help="Days after which an interaction counts half.", panel=LISTS)
    ] = None,
    format: FormatOption = None,
    separator: SeparatorOption = None,
    header: HeaderOption = None,
    column_names: NamesOption = None,
    encoding: EncodingOption = None,
    tensorboard: Annotated[
        File, typer.Option("--tensorboard", help="Folder for TensorBoard logs of the epochs.")
    ] = None,
    log_csv: Annotated[
        File, typer.Option("--log-csv", help="CSV file to which each epoch appends a line.")
    ] = None,
    mlflow: Annotated[
        Text, typer.Option("--mlflow", help="MLflow server, data base or folder for a run of the epochs.")
    ] = None,
    checkpoint: Annotated[
        File,
        typer.Option(
            "--checkpoint",
            help="File for the state of the training: after a kill, the same command goes on from there.",
        ),
    ] = None,
    checkpoint_seconds: Annotated[
        Number,
        typer.Option("--checkpoint-seconds", help="How often it is written in an epoch; else every 60 s."),
    ] = None,
    limit: LimitOption = None,
    cache: CacheOption = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors only; with --cv the table alone.")
    ] = False,
) -> None:
    """Train a factorization machine on a file and save it.

    The best epoch so far is always in the model file: Ctrl-C keeps it.
    """
    from crossfm.cli.cross_validate import cross_validate
    from crossfm.cli.fit_estimator import Job, fit_estimator
    from crossfm.cli.fit_recommender import Roles, fit_recommender
    from crossfm.cli.fit_stream import fit_stream, say_if_large
    from crossfm.core.options import check_count

    if model is Machine.linear:
        for name, given in {
            "--factors": factors,
            "--l2-v": l2_v,
            "--l1-v": l1_v,
            "--init-scale": init_scale,
        }.items():
            if given:
                raise OptionError(f"--model linear has no factors, but {name} is {given:g}")
    settings: dict[str, Any] = {
        "n_factors": 0 if model is Machine.linear else factors,
        "solver": solver,
        "link": link,
        "loss": loss,
        "max_iter": epochs,
        "burn_in": burn_in,
        "keep_samples": keep_samples,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "l2_w": l2_w,
        "l2_V": l2_v,
        "l1_w": l1_w,
        "l1_V": l1_v,
        "ftrl_decay": ftrl_decay,
        "precision": precision,
        "init_scale": init_scale,
        "normalize": normalize or None,
        "n_threads": threads,
        "deterministic": deterministic or None,
        "n_iter_no_change": patience,
        "monitor": monitor,
        "class_weight": class_weight,
        "calibrate": calibrate or None,
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "checkpoint_seconds": checkpoint_seconds,
        "hidden": widths(hidden),
        "dropout": rates(dropout),
        "batch_norm": batch_norm,
        "activation": activation,
        "model_options": model_options(option),
        "batch_size": batch_size,
        "learning_rate_V": learning_rate_v,
        "learning_rate_w": learning_rate_w,
        "l2_layers": l2_layers,
        "clip_norm": clip_norm,
        "warmup": warmup,
        "cowclip": cowclip,
        "device": device,
        "compile": compile or None,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    if groups is not None:
        settings["groups"] = None if groups is Groups.none else groups.value
    check_count("random_state", seed)
    if keep_samples == 0:
        raise OptionError("--keep-samples 0 would leave a model file that cannot predict; keep at least 1")
    if valid_fraction is not None and not 0 <= valid_fraction < 1:
        raise OptionError(f"--valid-fraction {valid_fraction:g}, but it must be at least 0 and below 1")
    sides = parse_tables(table or ())
    if cv is None:
        if out is None:
            raise OptionError("--out is missing: name the model file to write, or pass --cv to measure only")
        sources = [data, valid, users, items, *(path for _, path in sides)]
        check_out(out, sources)
        for flag, path in (("--checkpoint", checkpoint), ("--log-csv", log_csv)):
            if path is not None:
                check_out(path, [*sources, init])
                if path.resolve() == out.resolve():
                    raise OptionError(f"{flag} {path} is the model file too; choose another name")
        if checkpoint is None and checkpoint_seconds is not None:
            raise OptionError("--checkpoint-seconds means nothing without --checkpoint")
    job = Job(
        data=data,
        out=out or Path(),  # not used by --cv
        reading=Reading(format, separator, header, column_names, encoding, threads or 0),
        task=task.value,
        machine=None if model is None else "fm" if model is Machine.linear else model.value,
        settings=settings,
        target=target,
        weight=weight,
        group=group,
        valid=valid,
        valid_fraction=valid_fraction,
        early_stopping=early_stopping,
        n_features=n_features,
        init=init,
        with_state=with_state,
        overrides=Overrides(
            tuple(names(categorical)),
            tuple(names(numeric)),
            parse_multi(multi or ()),
            tuple(names(drop)),
            parse_share(share or ()),
        ),
        tables=sides,
        seed=seed,
        quiet=quiet,
        tensorboard=tensorboard,
        log_csv=log_csv,
        mlflow=mlflow,
        memory_limit=memory_limit(limit, cache),
        cache=cache,
    )
    roles = Roles(user, item, time, tuple(names(context)), users, items, half_life)
    _check_roles(job.task, roles, target)
    lists = task is Task.recommendation or (task is Task.auto and (user or item))
    if job.machine not in (None, "fm") and lists:
        raise OptionError(
            f"--model {job.machine} does not recommend; recommendation needs --model fm or linear"
        )
    if cv is not None:
        _check_cv(
            {
                "--out": out,
                "--init": init,
                "--valid": valid,
                "--with-state": with_state,
                "--tensorboard": tensorboard,
                "--log-csv": log_csv,
                "--mlflow": mlflow,
                "--checkpoint": checkpoint,
                "--memory-limit": limit,
            }
        )
        if task is Task.recommendation or user or item:
            raise OptionError("--cv is for classification and regression, not for recommendation")
        cross_validate(job, cv)
    elif job.memory_limit is not None:
        if lists:
            raise OptionError(
                "--memory-limit is for classification and regression, not for --task recommendation"
            )
        if job.tables:
            raise OptionError(
                "--memory-limit cannot join a --table; join it to the rows, or leave the limit out"
            )
        fit_stream(job)
    elif lists:
        fit_recommender(job, roles)
    else:
        if not quiet:
            say_if_large(data)
        fit_estimator(job)


def _check_cv(options: dict[str, Any]) -> None:
    for option, value in options.items():
        if value:
            raise OptionError(
                f"{option} means nothing with --cv, which writes nothing and parts the rows itself"
            )


def _check_roles(task: str, roles: Any, target: str | None) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in vars(roles).items() if value]
    if task == "auto" and (roles.user or roles.item):
        if target:
            raise OptionError(
                "--target asks for a prediction, --user and --item for lists; say which with --task"
            )
    elif given and task != "recommendation":
        raise OptionError(f"{given[0]} is for --task recommendation, but the task is {task}")
