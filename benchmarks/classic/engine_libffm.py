"""libffm by pylibffm: FFM with its defaults (AdaGrad, instance-wise normalisation, lock-free threads).

Called below the package's Python, which hides the validation: the library prints seconds (to one decimal, without the
validation) and the log loss of the test rows after each epoch. The weights that the package returns are read after they
were freed, and all its predictions are 0.5. Reading its binary file back in every epoch is part of an epoch.
"""

from __future__ import annotations

import re

import numpy as np
from adapter import N_IDS, Answer, Job, as_csr, main, printed_by

LINE = re.compile(r"^\s*\d+\s+[\d.]+\s+([\d.]+)\s+([\d.]+)\s*$", re.MULTILINE)


def engine(job: Job) -> Answer:
    """Threads are OpenMP's, from the environment."""
    from pylibffm import make_bin, wrapper

    settings = {"eta": 0.2, "lambda": 2e-5, "k": job.factors, "normalization": True}
    ids, y = job.rows("train")
    fields = np.zeros(N_IDS, np.int32)
    fields[ids] = np.arange(ids.shape[1])
    train = make_bin(str(job.scratch), as_csr(ids), y, fields)[0]
    del ids
    ids, y = job.rows("test")
    fields[ids] = np.arange(ids.shape[1])
    test = make_bin(str(job.scratch), as_csr(ids), y, fields)[0]
    printed = printed_by(
        lambda: wrapper.train_on_disk(train, test, 0.2, 2e-5, job.epochs, job.factors, True, False),
        job.scratch / "log.txt",
    )
    lines = np.array(LINE.findall(printed), float).reshape(-1, 2)
    return Answer(
        np.diff(lines[:, 1], prepend=0).tolist(), "printed by it", None, settings, lines[:, 0].tolist()
    )


if __name__ == "__main__":
    main("pylibffm", engine)
