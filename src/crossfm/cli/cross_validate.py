"""``crossfm train --cv K``: how well the options do on rows that were not trained on, K times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crossfm.cli.fit_estimator import (
    Job,
    fit_part,
    hold_back,
    make_model,
    read_part,
    set_columns,
    set_options,
    target_name,
)
from crossfm.cli.judge import Report, judge
from crossfm.cli.networks import choose_batch_size
from crossfm.cli.reading import features, find_target, is_rows
from crossfm.cli.show import number, print_table, say
from crossfm.core.options import check_count
from crossfm.errors import DataError, LabelError, OptionError


def cross_validate(job: Job, n_folds: int) -> list[Report]:
    """Train ``n_folds`` models, judge each on the rows that it alone has not seen, and print the metrics.

    Each model holds back rows of its own for early stopping, as ``crossfm train`` does: the fold that it is judged on
    decides nothing. Classes are spread evenly over the folds. The columns are chosen once, on all rows.
    """
    from sklearn.base import clone

    check_count("cv", n_folds, low=2)
    data = job.reading.read(job.data, n_features=job.n_features)
    target = None if is_rows(data) else find_target(data, job.target)
    whole = read_part(data, target, job)
    template, task = make_model(job, whole.y, target)
    if task == "ranking":
        raise OptionError("--cv is for classification and regression, not for ranking")
    set_columns(template, whole, target, job)
    reports = []
    for train, test in _folds(whole.y, task, n_folds, job.seed):
        model = clone(template)
        learn, valid = hold_back(whole.take(train), target, job)
        choose_batch_size(model, len(learn.y), replace(job, quiet=True))
        set_options(model, task, valid, replace(job, quiet=True), [])
        fit_part(model, task, learn, valid)
        held = whole.take(test)
        X = held.X if is_rows(held.X) else features(model, held.X, job.data)
        reports.append(judge(model, X, held.y, groups=held.groups))
        if not job.quiet:
            name, (value, _) = next(iter(reports[-1].metrics.items()))
            say(f"fold {len(reports)} of {n_folds}: {name} {number(value)}, {model.n_iter_} epochs", err=True)
    _show(f"{task} of {target_name(target)}, {n_folds} folds of {len(whole.y):,} rows", reports)
    return reports


def _folds(
    y: NDArray[np.generic], task: str, n_folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw rows to train on and to judge on, ``n_folds`` times."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if len(y) < n_folds:
        raise DataError(f"{len(y)} rows cannot be parted in {n_folds} folds; lower --cv")
    if task in ("regression", "ordinal"):
        return iter(KFold(n_folds, shuffle=True, random_state=seed).split(y))
    labels, counts = np.unique(y, return_counts=True)
    if counts.min() < n_folds:
        label = labels[counts.argmin()].item()
        raise LabelError(
            f"class {label!r} has {counts.min()} rows, too few for one in each of {n_folds} folds; lower --cv"
        )
    return iter(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(y, y))


def _show(title: str, reports: list[Report]) -> None:
    """Print a row a fold, their mean and deviation (of the sample), and the mean of the baseline."""
    names = list(reports[0].metrics)

    def values(side: int) -> NDArray[np.float64]:
        return np.array([[report.metrics[name][side] for name in names] for report in reports], np.float64)

    ours = values(0)
    rows = [(f"fold {at}", *map(number, row)) for at, row in enumerate(ours.tolist(), 1)]
    rows += [("mean", *map(number, ours.mean(axis=0).tolist()))]
    rows += [("± deviation", *map(number, ours.std(axis=0, ddof=1).tolist()))]
    rows += [(f"{reports[0].baseline}, mean", *map(number, values(1).mean(axis=0).tolist()))]
    print_table(title, ("", *names), rows)
    say(f"note: {reports[0].notes[0]}")
