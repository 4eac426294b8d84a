"""fastFM: FM, plain SGD (it has no AdaGrad), logistic loss; step size: the best of a short search."""

from __future__ import annotations

import numpy as np
from adapter import Answer, Job, as_csr, by_difference, main


def engine(job: Job) -> Answer:
    """It tells no times."""
    from fastFM.sgd import FMClassification

    settings = {"rank": job.factors, "step_size": 0.002, "init_stdev": 0.02, "l2_reg_w": 0, "l2_reg_V": 0}
    ids, y = job.rows("train")
    X, signs = as_csr(ids, np.float64), 2.0 * y - 1
    del ids
    test = as_csr(job.rows("test")[0], np.float64)
    found = by_difference(
        job,
        lambda epochs: FMClassification(**settings, n_iter=epochs * len(y), random_state=job.seed).fit(
            X, signs
        ),
        lambda model: model.predict_proba(test),
    )
    seconds, probabilities, losses = found
    return Answer(seconds, f"fits of 3 epochs less {job.epochs}", probabilities, settings, losses)


if __name__ == "__main__":
    main("fastFM", engine)
