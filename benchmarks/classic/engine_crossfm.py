"""crossfm; learning rates and initial scales are the best of a short search, as for the peers."""

from __future__ import annotations

from typing import Any

import numpy as np
from adapter import N_IDS, Answer, Job, main

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("fm", "adagrad"): {"learning_rate": 0.04, "init_scale": 0.03},
    ("fm", "adagrad-row"): {"learning_rate": 0.04, "init_scale": 0.03},
    ("fm", "ftrl"): {"learning_rate": 0.05, "l2_V": 50.0},
    ("linear", "adagrad"): {"learning_rate": 0.04},
    ("ffm", "adagrad"): {"learning_rate": 0.04, "init_scale": 0.03},
    ("ffm", "adagrad-row"): {"learning_rate": 0.04, "init_scale": 0.03},
}


def engine(job: Job) -> Answer:
    """The estimator's history has the seconds of its epochs."""
    import crossfm

    kind = crossfm.FFMClassifier if job.machine == "ffm" else crossfm.FMClassifier
    settings = {
        "n_factors": 0 if job.machine == "linear" else job.factors,
        "solver": job.solver,
        **SETTINGS[job.machine, job.solver],
        "max_iter": job.epochs,
        "n_threads": job.threads,
    }
    test, y = rows(job, "test")
    log_losses = []

    def note(epoch: Any, model: Any) -> None:
        log_losses.append(log_loss(y, model.predict_proba(test)[:, 1]))

    model = kind(**settings, random_state=job.seed, callbacks=[note] if job.epochs > 1 else None)
    model.fit(*rows(job, "train"))
    seconds = [epoch["seconds"] for epoch in model.history_]
    return Answer(seconds, "its history", model.predict_proba(test)[:, 1], settings, log_losses)


def rows(job: Job, part: str) -> tuple[Any, np.ndarray]:
    """Return the one-hot rows with their fields, and labels."""
    from crossfm import Rows

    ids, y = job.rows(part)
    width = ids.shape[1]
    return Rows(ids.ravel(), N_IDS, width=width, fields=np.arange(width, dtype=np.uint32)), y


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log likelihood."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


if __name__ == "__main__":
    main("crossfm", engine)
