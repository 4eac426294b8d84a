"""DeepCTR-Torch: all inputs become one float32 matrix (ids are below 2^24 here); numbers are not in the FM.

Its FM is DeepFM without layers.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["https_proxy"] = "http://127.0.0.1:9"  # importing it asks the package index for news

from job import BATCH, CATEGORICAL, DENSE, DIM, Job, Ready, main


def engine(job: Job) -> Ready:
    """Its ``fit`` takes arrays; "adam" has the learning rate asked for."""
    import torch
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import NFM, DeepFM

    torch.set_num_threads(1)
    sizes = zip(CATEGORICAL, job.sizes.tolist(), strict=True)
    columns: list[Any] = [SparseFeat(name, vocabulary_size=n, embedding_dim=DIM) for name, n in sizes]
    columns += [DenseFeat(name, 1) for name in DENSE]
    kind = NFM if job.model == "nfm" else DeepFM
    model = kind(
        columns,
        columns,
        dnn_hidden_units=job.hidden,
        l2_reg_embedding=0,
        l2_reg_linear=0,
        seed=job.seed,
    )
    model.compile("adam", "binary_crossentropy")
    x, y, held = job.columns("train"), job.read("train", "y").astype("float32"), job.columns("test")
    return Ready(
        lambda: model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0),
        lambda: model.predict(held, batch_size=BATCH),
        {"torch": torch.__version__},
    )


if __name__ == "__main__":
    main("deepctr-torch", engine)
