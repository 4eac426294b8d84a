"""Frappe as in BARS (frappe_x1): k = 10, logistic loss, the epoch with the best validation AUC.

Training negatives of the copy at hand may be a new draw (the original file could not be had); it is said then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from reproduction import Report, arguments, chosen

from crossfm import NeuralFMClassifier
from crossfm.datasets import frappe
from crossfm.metrics import auc, log_loss

# Test AUC and log loss that BARS gives.
PUBLISHED = {
    "fm": (0.9671, 0.2065),
    "afm": (0.9697, 0.2264),
    "nfm": (0.9804, 0.2058),
    "deepfm": (0.9842, 0.1482),
    "xdeepfm": (0.9845, 0.1466),
    "dcnv2": (0.9845, 0.1491),
    "finalmlp": (0.9861, 0.1484),
}
LINEAR: dict[str, Any] = {"schedule": "linear", "max_iter": 20, "n_iter_no_change": 20}
DEEP: dict[str, Any] = {
    "hidden": [400, 400, 400], "dropout": 0.3, "batch_norm": True, "l2_V": 3e-3, "learning_rate_V": 0.2,
    "precision": "bfloat16", **LINEAR,
}  # fmt: skip
# Chosen by the validation rows, a few trials a model.
SETTINGS: dict[str, dict[str, Any]] = {
    "fm": {"learning_rate_V": 0.2, "l2_V": 1e-5, "l2_w": 1e-6, "init_scale": 0.3, "batch_size": 1024},
    "afm": {"learning_rate_V": 0.2, "l2_V": 1e-5, "init_scale": 0.3, "batch_size": 1024},
    "nfm": {"hidden": [64], "dropout": 0.3, "l2_V": 1e-4},
    "deepfm": DEEP | {"dropout": 0.2},
    "xdeepfm": DEEP | {"model_options": {"cin": [32, 32]}},
    "dcnv2": DEEP,
    "finalmlp": DEEP
    | {"hidden": [400], "dropout": 0.2, "model_options": {"hidden_2": [800], "gates": False, "n_heads": 10}},
}


def main() -> None:
    args = arguments(__doc__ or "").parse_args()
    data = frappe(args.data / "frappe")
    if data.resampled:
        print("Frappe with re-drawn training negatives\n")
    fields = np.arange(10, dtype=np.uint32)
    parts = [replace(part, fields=fields, target=None) for part in (data.train, data.validation, data.test)]
    labels = [part.target > 0 for part in (data.train, data.validation, data.test) if part.target is not None]
    report = Report(("AUC", "log loss"), args.output)
    for name in chosen(list(PUBLISHED), args.models):

        def fit(seed: int, name: str = name) -> tuple[tuple[float, float], int]:
            options = {"batch_size": 4096, "max_iter": 60, "n_iter_no_change": 4, **SETTINGS[name]}
            model = NeuralFMClassifier(
                model=name, n_factors=10, early_stopping=True, monitor="auc", n_threads=args.threads, random_state=seed,
                **options,
            )  # fmt: skip
            model.fit(parts[0], labels[0], eval_set=(parts[1], labels[1]))
            chance = model.predict_proba(parts[2])[:, 1]
            return (auc(labels[2], chance), log_loss(labels[2], chance)), model.best_iter_

        report.run(name, PUBLISHED[name], SETTINGS[name], args.seeds, fit)


if __name__ == "__main__":
    main()
