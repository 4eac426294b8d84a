"""Frappe as in the NFM paper: targets +1 and -1, squared loss, test RMSE of predictions cut to that range.

X. He, T.-S. Chua. Neural Factorization Machines for Sparse Predictive Analytics. SIGIR 2017, table 2: k = 128.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from reproduction import Report, arguments, chosen

from crossfm import NeuralFMRegressor
from crossfm.datasets import frappe
from crossfm.metrics import rmse

PUBLISHED: dict[str, float | None] = {"fm": None, "nfm": 0.3127}
SETTINGS: dict[str, dict[str, Any]] = {
    "fm": {"learning_rate_V": 0.05, "l2_V": 3e-4},
    "nfm": {"hidden": [128], "dropout": [0.3, 0.2], "solver": "adam", "learning_rate_V": 0.001, "l2_V": 1e-5},
}


def main() -> None:
    args = arguments(__doc__ or "").parse_args()
    data = frappe(args.data / "frappe")
    if data.resampled:
        print("Frappe with re-drawn training negatives\n")
    fields = np.arange(10, dtype=np.uint32)
    parts = [replace(part, fields=fields) for part in (data.train, data.validation, data.test)]
    report = Report(("RMSE",), args.output)
    for name in chosen(list(PUBLISHED), args.models):

        def fit(seed: int, name: str = name) -> tuple[tuple[float], int]:
            model = NeuralFMRegressor(
                model=name, n_factors=128, batch_size=4096, max_iter=60, early_stopping=True, n_iter_no_change=4,
                n_threads=args.threads, random_state=seed, **SETTINGS[name],
            )  # fmt: skip
            model.fit(parts[0], eval_set=(parts[1], parts[1].target))
            return (rmse(parts[2].target, np.clip(model.predict(parts[2]), -1, 1)),), model.best_iter_

        report.run(name, (PUBLISHED[name],), SETTINGS[name], args.seeds, fit)


if __name__ == "__main__":
    main()
