"""Fits networks and writes what they say to a file a process; run by ``torchrun``, or alone."""

from __future__ import annotations

import os
import sys

import numpy as np

from crossfm import NeuralFMClassifier, Rows

MODELS = {"fm": {}, "nfm": {"batch_norm": False}, "deepfm": {"hidden": [8], "clip_norm": 1.0}}


def main(folder: str) -> None:
    rng = np.random.default_rng(0)
    n_rows, n_fields, each = 1501, 4, 30
    ids = rng.integers(0, each, (n_rows, n_fields)) + np.arange(n_fields) * each
    y = ids.sum(1) % 3 == 0
    rows = Rows(
        ids.ravel().astype(np.uint32),
        n_fields * each,
        width=n_fields,
        fields=np.arange(n_fields, dtype=np.uint32),
    )
    out = {}
    for name, options in MODELS.items():
        model = NeuralFMClassifier(
            model=name, n_factors=4, batch_size=250, max_iter=2, random_state=0, **options
        )
        model.fit(rows, y)
        out[f"{name} V"], out[f"{name} chance"] = model.params_.V, model.predict_proba(rows)[:, 1]
        out[f"{name} loss"] = np.array([epoch["train_loss"] for epoch in model.history_])
    np.savez(os.path.join(folder, f"{os.environ.get('RANK', 'alone')}.npz"), **out)


if __name__ == "__main__":
    main(sys.argv[1])
