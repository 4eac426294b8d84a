"""Criteo's display advertising log with raw strings and missing values, the first 10,000 rows: 8,000 train, 2,000 test.

Far too few rows for the published numbers (BARS Criteo_x4, 45 million rows: test AUC), which are printed beside ours to
show how far; what is shown is that the raw log goes in as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from reproduction import Report, arguments, chosen

from crossfm import Categorical, NeuralFMClassifier, Numeric
from crossfm.metrics import auc, log_loss

PUBLISHED = {"nfm": 0.8093, "deepfm": 0.8138}
NUMBERS, STRINGS = [f"I{n}" for n in range(1, 14)], [f"C{n}" for n in range(1, 27)]
COLUMNS = [
    *(Numeric(name, "log") for name in NUMBERS),
    *(Categorical(name, min_count=5) for name in STRINGS),
]
SETTINGS: dict[str, dict[str, Any]] = {
    "fm": {"l2_V": 1e-2, "l2_w": 1e-4},
    "nfm": {"hidden": [64], "dropout": 0.3, "l2_V": 1e-2, "l2_w": 1e-4},
    "deepfm": {"hidden": [64, 64], "dropout": 0.3, "l2_V": 1e-2, "l2_w": 1e-4},
    "dcnv2": {"hidden": [64, 64], "dropout": 0.3, "l2_V": 1e-2, "l2_w": 1e-4},
}


def main() -> None:
    args = arguments(__doc__ or "").parse_args()
    table = pa.csv.read_csv(
        args.data / "criteo" / "criteo_train_head10k.txt.gz",
        read_options=pa.csv.ReadOptions(column_names=["label", *NUMBERS, *STRINGS]),
        parse_options=pa.csv.ParseOptions(delimiter="\t"),
        convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(STRINGS, pa.string())),
    )
    y = np.asarray(table["label"])
    missing = sum(pc.sum(pc.is_null(table[name])).as_py() for name in NUMBERS)
    print(f"{len(y):,} rows, {y.mean():.3f} clicks, {missing:,} missing numbers\n")
    train, test = table.slice(0, 8000), table.slice(8000)
    report = Report(("AUC", "log loss"), args.output)
    for name in chosen(list(SETTINGS), args.models):

        def fit(seed: int, name: str = name) -> tuple[tuple[float, float], int]:
            model = NeuralFMClassifier(
                model=name, n_factors=16, columns=COLUMNS, batch_size=256, max_iter=30, early_stopping=True,
                n_iter_no_change=2, n_threads=args.threads, random_state=seed, **SETTINGS[name],
            )  # fmt: skip
            model.fit(train.drop_columns(["label"]), y[:8000])
            chance = model.predict_proba(test.drop_columns(["label"]))[:, 1]
            return (auc(y[8000:], chance), log_loss(y[8000:], chance)), model.best_iter_

        report.run(name, (PUBLISHED.get(name), None), SETTINGS[name], args.seeds, fit)


if __name__ == "__main__":
    main()
