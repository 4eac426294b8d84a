"""crossfm; settings were chosen on rows held out of the training part, never on the test rows:

    python benchmarks/classic/search.py

It says how: the lowest log loss over the first two epochs, for 8, 16 and 32 factors at once (adam and sgd: 8), where no
second epoch is worse than the first. What VARIANTS leaves out is the estimator's own setting.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from adapter import FROM_TEXT, N_IDS, Answer, Job, main
from scores import log_loss

ADAGRAD = {"schedule": "inverse", "init_scale": 0.02}
FFM = {"schedule": "inverse"}
HALF = {"precision": "bfloat16"}
# What a solver of the benchmark's means; what the estimators have no option for is left out.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "fm": {
        "adagrad": ADAGRAD,
        "adagrad-row": {"solver": "adagrad-row", **ADAGRAD},
        "adagrad bfloat16": {**ADAGRAD, **HALF},
        "adagrad-row bfloat16": {"solver": "adagrad-row", **ADAGRAD, **HALF},
        "ftrl": {"solver": "ftrl", "l2_V": 80.0, "init_scale": 0.033},
        "ftrl" + FROM_TEXT: {"solver": "ftrl", "l2_V": 80.0, "init_scale": 0.033},
        "adam": {"solver": "adam", "learning_rate": 0.00067, "l2_V": 0.01},
        "sgd": {"solver": "sgd", "learning_rate": 0.002, "init_scale": 0.033},
    },
    "linear": {"adagrad": {"learning_rate": 0.04, "schedule": "inverse"}},
    "ffm": {
        "adagrad": FFM,
        "adagrad-row": {"solver": "adagrad-row", **FFM},
        "adagrad-row bfloat16": {"solver": "adagrad-row", **FFM, **HALF},
    },
}


def solvers(machine: str) -> list[str]:
    """Names of the variants that this version of crossfm has."""
    import crossfm

    known = crossfm.FMClassifier().get_params()
    return [name for name, options in VARIANTS[machine].items() if options.keys() <= known.keys()]


def kind(machine: str) -> Any:
    """Return the estimator of a machine; "linear" is an FM without factors."""
    import crossfm

    return crossfm.FFMClassifier if machine == "ffm" else crossfm.FMClassifier


def engine(job: Job) -> Answer:
    """The estimator's history has the seconds of its epochs."""
    settings = {
        "n_factors": job.factors,
        **VARIANTS[job.machine][job.solver],
        "max_iter": job.epochs,
        "n_threads": job.threads,
    }
    test, y = rows(job, "test")
    log_losses = []

    def note(epoch: Any, model: Any) -> None:
        log_losses.append(log_loss(y, model.predict_proba(test)[:, 1]))

    model = kind(job.machine)(**settings, random_state=job.seed, callbacks=[note] if job.follow else None)
    start = time.perf_counter()
    if job.solver.endswith(FROM_TEXT):
        model.fit(read(job))
        seconds, how = [(time.perf_counter() - start) / job.epochs] * job.epochs, "reading and fit"
    else:
        model.fit(*rows(job, "train"))
        seconds, how = [epoch["seconds"] for epoch in model.history_], "its history"
    return Answer(seconds, how, model.predict_proba(test)[:, 1], settings, log_losses)


def rows(job: Job, part: str) -> tuple[Any, np.ndarray]:
    """Return the one-hot rows with their fields, and labels."""
    ids, y = job.rows(part)
    return as_rows(ids), y


def as_rows(ids: np.ndarray) -> Any:
    """Return one-hot rows (rows, 39) with their fields."""
    from crossfm import Rows

    width = ids.shape[1]
    return Rows(ids.ravel(), N_IDS, width=width, fields=np.arange(width, dtype=np.uint32))


def read(job: Job) -> Any:
    """Read the training rows from text."""
    from crossfm.data.formats import Format
    from crossfm.data.text import read_text

    path = job.folder / "train.libsvm"
    return read_text(path, Format("libsvm"), n_features=N_IDS, zero_based=True, n_threads=job.threads).rows


if __name__ == "__main__":
    main("crossfm", engine)
