"""crossfm: the neural estimator in either precision, and the row-by-row FM of the compiled core."""

from __future__ import annotations

from typing import Any

import numpy as np
from job import BATCH, DIM, Job, Ready, main

import data


def estimator(job: Job) -> Any:
    """Return what the variant names: "float32", "bfloat16" or "rows"."""
    if job.variant == "rows":
        from crossfm import FMClassifier

        return FMClassifier(n_factors=DIM, max_iter=1, n_threads=1, random_state=job.seed)
    from crossfm import NeuralFMClassifier

    layers = (
        {"hidden": job.hidden, "dropout": 0.0, "batch_norm": False} if job.hidden else {}
    )  # the FM has none
    return NeuralFMClassifier(
        model=job.model,
        n_factors=DIM,
        batch_size=BATCH,
        max_iter=1,
        l2_V=0.0,
        precision=job.variant,
        n_threads=1,
        random_state=job.seed,
        **layers,
    )


def engine(job: Job) -> Ready:
    """Rows as they come from a table: an id and a value a field, and which field it is.

    A model trains on one batch first, not timed: PyTorch is imported by the first fit, as it is before in the peers.
    """
    from crossfm import Rows

    def rows(part: str, n_rows: int | None = None) -> Rows:
        ids, values = (of[:n_rows] for of in job.one_table(part))
        fields = np.arange(data.N_FIELDS, dtype=np.uint32)
        ids = ids.ravel().astype(np.uint32)
        return Rows(ids, job.n_features, width=data.N_FIELDS, values=values.ravel(), fields=fields)

    few, y = rows("train", BATCH), job.read("train", "y")
    estimator(job).fit(few, y[:BATCH]).predict_proba(few)
    model, train, test = estimator(job), rows("train"), rows("test")
    return Ready(
        lambda: model.fit(train, y),
        lambda: model.predict_proba(test)[:, 1],
        {key: value for key, value in model.get_params().items() if isinstance(value, int | float | str)},
    )


if __name__ == "__main__":
    main("crossfm", engine)
