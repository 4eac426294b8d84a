"""modern-fm: FM and FFM, AdaGrad in mini-batches of 4,096 rows (its fastest), and FM with FTRL row by row (its best).

FTRL's settings are the best that are known on data like these. FFM is slow (some 100 seconds an epoch, and 5 GB): it
is timed on a share of the rows, times the rest, and its log loss is not given.
"""

from __future__ import annotations

import numpy as np
from adapter import N_IDS, Answer, Job, as_csr, by_difference, main

SHARE = 20  # of the rows, for FFM
SETTINGS = {
    "adagrad": {"optimizer": "adagrad", "learning_rate": 0.05, "batch_size": 4096},
    "ftrl": {"optimizer": "ftrl", "learning_rate": 0.05, "l2_linear": 1.0, "l2_factors": 1.0},
}


def engine(job: Job) -> Answer:
    """It tells no times."""
    from modern_fm import FFMClassifier, FMClassifier

    settings = {**SETTINGS[job.solver], "n_factors": job.factors, "n_jobs": job.threads}
    ids, y = job.rows("train")
    kind, more, share = FMClassifier, {}, 1
    if job.machine == "ffm":
        fields = np.zeros(N_IDS, np.int64)
        fields[ids] = np.arange(ids.shape[1])
        kind, more, share = FFMClassifier, {"field_ids": fields}, SHARE
    n_rows = len(y) // share
    X, y = as_csr(ids[:n_rows]), y[:n_rows]
    del ids
    test = as_csr(job.rows("test")[0])
    seconds, probabilities, losses = by_difference(
        job,
        lambda epochs: kind(**settings, max_iter=epochs, random_state=job.seed).fit(X, y, **more),
        lambda model: model.predict_proba(test)[:, 1],
    )
    how = f"fits of 3 epochs less {job.epochs}" + (f", {share} times {n_rows:,} rows" if share > 1 else "")
    return Answer([s * share for s in seconds], how, probabilities, settings, losses, comparable=share == 1)


if __name__ == "__main__":
    main("modern-fm", engine)
