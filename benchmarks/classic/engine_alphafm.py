"""alphaFM: FM, FTRL-Proximal, one pass over text on its standard input, which it parses as it learns.

It is not in the package index: build ``fm_train`` from its sources (github.com/CastellanZhang/alphaFM) and name that
program in the environment variable ALPHAFM. Seconds are by the wall clock from its start to the end of its pass,
parsing included and writing the model left out. Settings: the best that are known on data like these.
"""

from __future__ import annotations

import os
import subprocess
import time

import numpy as np
from adapter import N_IDS, Answer, Job, main
from process import peak_mb
from scores import log_loss

SETTINGS = {"w_l1": 0.01, "w_l2": 1.0, "v_l1": 0.0, "v_l2": 1.0}


def engine(job: Job) -> Answer:
    """Several epochs are several passes, all in one run: their text follows each other."""
    seconds, losses = [], []
    for epochs in range(1, job.epochs + 1):
        taken, peak = one_run(job, epochs)
        seconds.append(taken - sum(seconds))
        ids, y = job.rows("test")
        probabilities = predict(job, ids)
        losses.append(log_loss(y, probabilities))
    return Answer(
        seconds, "its run, parsing included", probabilities, SETTINGS, losses if job.follow else [], peak
    )


def one_run(job: Job, epochs: int) -> tuple[float, float]:
    """Train on the text ``epochs`` times over; return the seconds until it writes the model, and its peak of memory."""
    options = [str(part) for name, value in SETTINGS.items() for part in (f"-{name}", value)]
    options += ["-dim", f"1,1,{job.factors}", "-core", str(job.threads), "-m", str(job.scratch / "model.txt")]
    start = time.perf_counter()
    text = subprocess.Popen(["cat", *[str(job.folder / "train.libsvm")] * epochs], stdout=subprocess.PIPE)
    run = subprocess.Popen(
        [os.environ["ALPHAFM"], *options], stdin=text.stdout, stdout=subprocess.PIPE, text=True
    )
    taken = peak = 0.0
    for line in run.stdout or ():
        if line.startswith("output model"):
            taken, peak = time.perf_counter() - start, peak_mb(run.pid)
    if run.wait() or text.wait() or not taken:
        raise RuntimeError(f"alphaFM ended with code {run.returncode}")
    return taken, peak


def predict(job: Job, ids: np.ndarray) -> np.ndarray:
    """Score rows with the text model: a line a feature, its name, w, V and what FTRL keeps."""
    w, V = np.zeros(N_IDS, np.float32), np.zeros((N_IDS, job.factors), np.float32)
    with (job.scratch / "model.txt").open() as file:
        bias = float(next(file).split(maxsplit=2)[1])
        for line in file:
            name, *values = line.split(maxsplit=job.factors + 2)
            w[int(name)] = values[0]
            V[int(name)] = values[1 : job.factors + 1]
    scores = np.empty(len(ids))
    for start in range(0, len(ids), 10_000):
        part = ids[start : start + 10_000]
        v = V[part]
        pairs = 0.5 * ((v.sum(axis=1) ** 2).sum(axis=1) - (v**2).sum(axis=(1, 2)))
        scores[start : start + 10_000] = bias + w[part].sum(axis=1) + pairs
    return 1 / (1 + np.exp(-scores))


if __name__ == "__main__":
    main("alphaFM", engine)
