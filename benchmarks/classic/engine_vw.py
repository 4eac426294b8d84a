"""Vowpal Wabbit: a linear model (it has no factorization machine)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from adapter import Answer, Job, by_difference, main


def engine(job: Job) -> Answer:
    """It tells no times; passes are over its binary cache."""
    from vowpalwabbit import Workspace

    options = "--loss_function logistic --link logistic -b 20 --noconstant -l 0.5"
    train, cache = job.folder / "train.vw", job.scratch / "train.cache"
    weights, out = job.scratch / "model.vw", job.scratch / "out.txt"
    common = f"{options} -d {train} --cache_file {cache} --holdout_off --quiet"
    Workspace(f"{common} --passes 1").finish()  # makes the cache

    def fit(passes: int) -> Path:
        Workspace(f"{common} --passes {passes} -f {weights}").finish()
        return weights

    def predict(weights: Path) -> np.ndarray:
        Workspace(f"-i {weights} -t -d {job.folder / 'test.vw'} -p {out} --quiet").finish()
        return np.loadtxt(out)

    seconds, probabilities, losses = by_difference(job, fit, predict)
    return Answer(seconds, "3 passes less 1", probabilities, {"options": options}, losses)


if __name__ == "__main__":
    main("vowpalwabbit", engine)
