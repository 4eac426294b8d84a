"""xLearn: FM, LR and FFM, AdaGrad, lock-free.

FM: instance-wise normalisation is off (with it its FM is no better than a linear model) and the initial scale is 0.1
(the best of a short search; its default 0.66 is far worse). LR: learning rate 0.1; FFM: its defaults. With
several epochs it validates on the test rows after each, and its times include that. It reads text, and keeps a binary
copy.
"""

from __future__ import annotations

import os
import re

import numpy as np
from adapter import Answer, Job, main, printed_by

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
    if job.follow:
        model.setValidate(str(job.folder / f"test.{form}"))
        model.disableEarlyStop()
    weights, out = str(job.scratch / "model.bin"), str(job.scratch / "out.txt")
    printed = printed_by(lambda: model.fit({"task": "binary", **settings}, weights), job.scratch / "log.txt")
    lines = [[float(number) for number in NUMBER.findall(text)] for text in EPOCH.findall(printed)]
    seconds = [line[-1] for line in lines]
    log_losses = [line[-2] for line in lines] if job.follow else []
    model.setTest(str(job.folder / f"test.{form}"))
    model.setSigmoid()
    model.predict(weights, out)
    return Answer(
        seconds, "printed by it", np.loadtxt(out), {**settings, "norm": job.machine == "ffm"}, log_losses
    )


if __name__ == "__main__":
    main("xlearn", engine)
