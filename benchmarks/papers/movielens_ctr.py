"""MovieLens-1M as clicks: 4 and 5 stars are clicks, 1 and 2 are none, 3 is left out; 80/10/10 at random.

The protocol, and the published numbers, of W. Song et al., AutoInt, CIKM 2019, table 2: embeddings of 16, batches of
1,024, means of 10 runs. AutoInt is without a deep part, with three layers of two heads of 32; their NFM has one layer
of 200. ``--with-threes`` keeps 3 stars as no clicks (rating >= 4), for which that paper has no numbers.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from reproduction import Report, arguments, chosen

from crossfm import Categorical, MultiCategorical, NeuralFMClassifier
from crossfm.metrics import auc, log_loss

PUBLISHED = {
    "fm": (0.8252, 0.3998),
    "afm": (0.8227, 0.4048),
    "nfm": (0.8357, 0.3883),
    "autoint": (0.8456, 0.3797),
}
COLUMNS = [
    *(Categorical(name) for name in ("user", "movie", "gender", "age", "occupation", "zip")),
    MultiCategorical("genres", combiner="mean"),
]
SETTINGS: dict[str, dict[str, Any]] = {
    "fm": {"l2_V": 1e-4},
    "afm": {"l2_V": 1e-4},
    "nfm": {"hidden": [64], "dropout": 0.2, "l2_V": 1e-4},
    "autoint": {"hidden": [], "model_options": {"attention_dim": 32}, "l2_V": 1e-4},
    "deepfm": {"hidden": [400, 400], "dropout": 0.2, "l2_V": 1e-4},
}


def read(folder: Path, name: str) -> list[list[str]]:
    with gzip.open(folder / name, "rt", encoding="latin-1") as file:
        return [line.rstrip("\n").split("::") for line in file]


def clicks(folder: Path, with_threes: bool) -> tuple[pa.Table, np.ndarray]:
    """Return the table of ratings with what is known of users and movies, and who clicked."""
    ratings = read(folder, "ratings.dat.gz")
    stars = np.array([int(row[2]) for row in ratings])
    kept = np.flatnonzero(np.ones(len(stars), bool) if with_threes else stars != 3)
    users = {row[0]: row for row in read(folder, "users.dat.gz")}
    movies = {row[0]: row for row in read(folder, "movies.dat.gz")}
    rows = [ratings[at] for at in kept.tolist()]
    about = [users[row[0]] for row in rows]
    table = pa.table(
        {
            "user": [row[0] for row in rows],
            "movie": [row[1] for row in rows],
            **{
                name: [user[at] for user in about]
                for at, name in enumerate(("gender", "age", "occupation", "zip"), 1)
            },
            "genres": [movies[row[1]][2] for row in rows],
        }
    )
    return table, stars[kept] >= 4


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--with-threes", action="store_true")
    parser.add_argument("--batch-size", type=int, default=1024)
    args = parser.parse_args()
    table, y = clicks(args.data / "ml-1m", args.with_threes)
    order = np.random.default_rng(2019).permutation(len(y))
    cut = [int(0.8 * len(y)), int(0.9 * len(y))]
    parts = [(table.take(part), y[part]) for part in np.split(order, cut)]
    print(f"{len(y):,} rows, {y.mean():.3f} clicks\n")
    report = Report(("AUC", "log loss"), args.output)
    for name in chosen(list(SETTINGS), args.models):

        def fit(seed: int, name: str = name) -> tuple[tuple[float, float], int]:
            model = NeuralFMClassifier(
                model=name, n_factors=16, columns=COLUMNS, batch_size=args.batch_size, max_iter=30, early_stopping=True,
                monitor="auc", n_iter_no_change=2, n_threads=args.threads, random_state=seed, **SETTINGS[name],
            )  # fmt: skip
            model.fit(*parts[0], eval_set=parts[1])
            chance = model.predict_proba(parts[2][0])[:, 1]
            return (auc(parts[2][1], chance), log_loss(parts[2][1], chance)), model.best_iter_

        published = (None, None) if args.with_threes else PUBLISHED.get(name, (None, None))
        report.run(name, published, SETTINGS[name], args.seeds, fit)


if __name__ == "__main__":
    main()
