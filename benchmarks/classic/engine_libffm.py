"""libffm by pylibffm: FFM with its defaults (AdaGrad, instance-wise normalisation, lock-free threads).

It tells no times. The matrix is converted to libffm's binary file first, which is not counted; reading that file back
in every epoch is, as in libffm itself.
"""

from __future__ import annotations

import numpy as np
from adapter import N_IDS, Answer, Job, as_csr, by_difference, main


def engine(job: Job) -> Answer:
    """Threads are OpenMP's, from the environment."""
    from pylibffm import make_bin, train_with_bin

    settings = {"eta": 0.2, "lambda": 2e-5, "k": job.factors}
    ids, y = job.rows("train")
    fields = np.zeros(N_IDS, np.int32)
    fields[ids] = np.arange(ids.shape[1])
    path, _ = make_bin(str(job.scratch), as_csr(ids), y.astype(np.float32), fields)
    del ids
    test = as_csr(job.rows("test")[0])
    seconds, probabilities, losses = by_difference(
        job,
        lambda epochs: train_with_bin(path, {**settings, "nr_iters": epochs}),
        lambda model: model.predict(test, fields),
    )
    return Answer(seconds, "fits of 3 epochs less 1", probabilities, settings, losses)


if __name__ == "__main__":
    main("pylibffm", engine)
