"""xLearn: FM, LR and FFM, AdaGrad, lock-free.

FM: instance-wise normalisation is off (with it its FM is no better than a linear model) and the initial scale is 0.1
(the best of a short search; its default 0.66 is far worse). LR: learning rate 0.1; FFM: its defaults. With
several epochs it validates on the test rows after each, and its times include that. It reads text, and keeps a binary
copy.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
from adapter import Answer, Job, main

EPOCH = re.compile(r"%.*?\]\S*((?:\s+[\d.]+){3,4})\s*$", re.MULTILINE)
NUMBER = re.compile(r"[\d.]+")


def engine(job: Job) -> Answer:
    """One epoch; the tool prints its seconds, to two decimals."""
    os.environ.setdefault("USER", "benchmark")  # it aborts without a user name
    import xlearn

    settings = {"lambda": 2e-5, "opt": "adagrad", "epoch": job.epochs, "nthread": job.threads}
    form = "libffm" if job.machine == "ffm" else "libsvm"
    if job.machine == "linear":
        model = xlearn.create_linear()
        settings["lr"] = 0.1
    elif job.machine == "ffm":
        model = xlearn.create_ffm()
        settings |= {"lr": 0.2, "k": job.factors}
    else:
        model = xlearn.create_fm()
        settings |= {"lr": 0.05, "init": 0.1, "k": job.factors}
    if job.machine != "ffm":
        model.disableNorm()
    model.setTrain(str(job.folder / f"train.{form}"))
    if job.epochs > 1:
        model.setValidate(str(job.folder / f"test.{form}"))
        model.disableEarlyStop()
    weights, out = str(job.scratch / "model.bin"), str(job.scratch / "out.txt")
    printed = _printed(lambda: model.fit({"task": "binary", **settings}, weights), job.scratch / "log.txt")
    lines = [[float(number) for number in NUMBER.findall(text)] for text in EPOCH.findall(printed)]
    seconds = [line[-1] for line in lines]
    log_losses = [line[-2] for line in lines] if job.epochs > 1 else []
    model.setTest(str(job.folder / f"test.{form}"))
    model.setSigmoid()
    model.predict(weights, out)
    return Answer(
        seconds, "printed by it", np.loadtxt(out), {**settings, "norm": job.machine == "ffm"}, log_losses
    )


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
