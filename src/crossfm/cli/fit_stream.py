"""``crossfm train --memory-limit``: rows that do not fit into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.cli.checkpoint import Keeper
from crossfm.cli.choosing import choose, show_columns
from crossfm.cli.fit_estimator import (
    FEW,
    HELD_BACK,
    Job,
    Part,
    make_model,
    refuse_columns,
    report,
    set_options,
    target_name,
)
from crossfm.cli.networks import choose_batch_size, known_features
from crossfm.cli.reading import check_column, find_target, refuse_sides
from crossfm.cli.show import say, size
from crossfm.errors import OptionError

MANY = 1000  # different targets: no classes
JUDGED = 100  # bytes that a validation row takes when it is judged


def fit_stream(job: Job) -> None:
    """Do what ``fit_estimator`` does, window by window."""
    from crossfm.core.memory import available, resident

    if job.task == "ranking" or job.group is not None:
        raise OptionError("--memory-limit is for classification and regression without groups; leave it out")
    if job.with_state:
        raise OptionError(
            "--with-state takes the table's size once more: it cannot be used with --memory-limit"
        )
    keeper = Keeper(job.out, checkpoint=job.settings.get("checkpoint"))
    train, valid, target = _open(job)
    model, task = make_model(job, _some_labels(train), target)
    if valid is None:
        fraction = _fraction(job, train.n_rows)
        if fraction:
            train, valid = train.split(fraction, job.seed)
    elif valid.encoder is None:
        train.n_features = max(train.n_features, valid.n_features)
    if getattr(model, "init", None) is not None:
        for part, path in ((train, job.data), (valid, job.valid or job.data)):
            if part is not None:
                known_features(part, model.init, path)
    set_options(model, task, valid, job, [keeper.callback(), *job.logs()])
    if not job.quiet:
        cache = train.cache.path
        say(f"block cache: {cache} ({size(cache.stat().st_size)})")
        held = "" if valid is None else f", {valid.n_rows:,} rows held for validation"
        say(f"{task} of {target_name(target)}: {train.n_rows:,} rows{held}")
    choose_batch_size(model, train.n_rows, job)
    with keeper.guard():
        model.fit(train, eval_set=valid)
        keeper.save(model)
    part = None
    if valid is not None and not job.quiet:
        free = (
            (available() or JUDGED * valid.n_rows)
            if job.memory_limit is None
            else job.memory_limit - resident()
        )
        if JUDGED * valid.n_rows <= free:
            part = Part(valid, valid.all_labels())
        else:
            say("note: too many validation rows for a full report in this memory; see their loss above")
    report(model, task, part, job)


def open_stream(job: Job, path: Path, target: str | None, **more: Any) -> Any:
    """Open one of the files of ``job`` as a stream."""
    from crossfm.data.streaming import stream

    options = job.reading.options() | {"n_features": job.n_features}
    where = {
        "memory_limit": job.memory_limit,
        "cache": job.cache,
        "n_threads": job.settings.get("n_threads", 1),
    }
    return stream(path, target=target, weight=job.weight, **options, **where, **more)


def _open(job: Job) -> tuple[Any, Any, str | None]:
    """Return the streams to train and to validate on, and the column of the target."""
    from crossfm.data.pieces import Source
    from crossfm.models import load

    source = Source.of(job.data, job.reading.options() | {"n_features": job.n_features})
    target: str | None = None
    how: dict[str, Any] = {}
    if source.is_text:
        refuse_columns(job)
    else:
        head = next(source.pieces(source.piece_bytes(job.memory_limit)))
        target = find_target(head, job.target)
        if job.weight is not None:
            check_column(head, job.weight, "--weight")
        if job.init is None:
            how = {"columns": _columns(head, target, job)}
        else:
            start = load(job.init)
            refuse_sides(start, job.init, "--memory-limit cannot join; leave it out")
            how = {"encoder": start.encoder_}
    if job.valid is not None and job.valid_fraction:
        raise OptionError("--valid and --valid-fraction: give one of them")
    train = open_stream(job, job.data, target, **how)
    more = {} if source.is_text else {"encoder": train.encoder}
    valid = None if job.valid is None else open_stream(job, job.valid, target, **more)
    return train, valid, target


def _columns(head: Any, target: str, job: Job) -> list[Any]:
    job.overrides.check(head)
    exclude = [name for name in (target, job.weight) if name is not None]
    columns = choose(head, job.overrides, exclude=exclude)
    if not job.quiet:
        show_columns(f"columns, by the first {head.num_rows:,} rows:", columns)
    if not columns:
        raise OptionError(f"no column of {job.data} is left to learn from; see --categorical and --numeric")
    return list(columns)


def _some_labels(train: Any) -> NDArray[Any]:
    """Return the different targets, or the first of them where they are many."""
    found = np.zeros(0)
    for target, _ in train.targets():
        found = np.union1d(found, target)
        if len(found) > MANY:
            break
    labels: NDArray[Any] = train.labels(found)
    return labels


def _fraction(job: Job, n_rows: int) -> float:
    if job.valid_fraction is not None:
        return job.valid_fraction
    return 0.0 if job.early_stopping is False or n_rows < FEW else HELD_BACK


def say_if_large(path: Path) -> None:
    """Say where a limit would help: the file is larger than what is free."""
    from crossfm.core.memory import available

    free = available()
    if free is not None and path.is_file() and path.stat().st_size > free:
        say(
            f"note: {path} has {size(path.stat().st_size)}, more than the {size(free)} of memory that are free; "
            "--memory-limit trains on it piece by piece"
        )
