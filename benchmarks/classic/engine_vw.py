"""Vowpal Wabbit: a linear model (it has no factorization machine), for scale."""

from __future__ import annotations

import time

import numpy as np
from adapter import Answer, Job, main


def engine(job: Job) -> Answer:
    """It tells no times: a pass over its binary cache is half the difference of three passes and one."""
    from vowpalwabbit import Workspace

    options = "--loss_function logistic --link logistic -b 20 --noconstant -l 0.5"
    train, cache = job.folder / "train.vw", job.scratch / "train.cache"
    weights, out = job.scratch / "model.vw", job.scratch / "out.txt"
    common = f"{options} -d {train} --cache_file {cache} --holdout_off --quiet"
    Workspace(f"{common} --passes 1").finish()  # makes the cache
    times = {}
    for passes in (3, 1):
        start = time.perf_counter()
        Workspace(f"{common} --passes {passes} -f {weights}").finish()
        times[passes] = time.perf_counter() - start
    Workspace(f"-i {weights} -t -d {job.folder / 'test.vw'} -p {out} --quiet").finish()
    return Answer([(times[3] - times[1]) / 2], "3 passes less 1", np.loadtxt(out), {"options": options})


if __name__ == "__main__":
    main("vowpalwabbit", engine)
