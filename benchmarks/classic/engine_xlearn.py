"""xLearn: FM, AdaGrad, lock-free on one thread.

Instance-wise normalisation is off (with it its FM is no better than a linear model) and the initial scale is
0.1 (the best of a short search; its default 0.66 is far worse here). It reads text, and keeps a binary copy.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
from adapter import Answer, Job, main

EPOCH = re.compile(r"%.*?\]\S*\s+(\d+)\s+([\d.]+)\s+([\d.]+)\s*$", re.MULTILINE)


def engine(job: Job) -> Answer:
    """One epoch; the tool prints its seconds, to two decimals."""
    os.environ.setdefault("USER", "benchmark")  # it aborts without a user name
    import xlearn

    settings = {
        "lr": 0.05,
        "lambda": 2e-5,
        "init": 0.1,
        "opt": "adagrad",
        "epoch": 1,
        "k": job.factors,
        "nthread": 1,
    }
    model = xlearn.create_fm()
    model.disableNorm()
    model.setTrain(str(job.folder / "train.libsvm"))
    weights, out = str(job.scratch / "model.bin"), str(job.scratch / "out.txt")
    printed = _printed(lambda: model.fit({"task": "binary", **settings}, weights), job.scratch / "log.txt")
    seconds = [float(found) for _, _, found in EPOCH.findall(printed)]
    model.setTest(str(job.folder / "test.libsvm"))
    model.setSigmoid()
    model.predict(weights, out)
    return Answer(seconds, "printed by it", np.loadtxt(out), {**settings, "norm": False})


def _printed(call, path: Path) -> str:
    """Run ``call`` and return what the library below Python writes to standard output."""
    sys.stdout.flush()
    keep = os.dup(1)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        try:
            call()
        finally:
            os.dup2(keep, 1)
            os.close(keep)
    return path.read_text(errors="replace")


if __name__ == "__main__":
    main("xlearn", engine)
