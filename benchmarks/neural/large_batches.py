"""Question: how much do NFM and DeepFM learn in batches of 65,536 rows, with and without CowClip (arXiv 2204.06240)?

    python benchmarks/neural/large_batches.py [--rows 8000000] [--epochs 1] [--seeds 1]

The made click log with 100,000 ids. The learning rate of the layers grows with the root of the batch, as the paper has
it; that of the embeddings stays, as gradients are summed over a batch. Beside it: the same without CowClip, and
without either. Test AUC, mean over the seeds. The exit code is 1 where AUC is lower by more than 0.001.
``benchmarks/papers/movielens_ctr.py --batch-size 65536`` asks the same of real ratings, to the best epoch.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
import paths  # noqa: F401
from about import machine
from job import DIM, HIDDEN
from scores import auc

import data
from crossfm import NeuralFMClassifier, Rows

SMALL, LARGE = 4096, 65536
LIMIT = 0.001


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=["nfm", "deepfm"])
    options = parser.parse_args()
    folder = data.make("100k", options.rows, 100_000)
    sizes = np.load(folder / "sizes.npy")
    n_features = int(sizes.sum()) + data.N_DENSE

    def rows(part: str) -> Rows:
        ids = np.load(folder / f"{part}-ids.npy") + data.starts(sizes)
        numbers = np.broadcast_to(np.arange(sizes.sum(), n_features), (len(ids), data.N_DENSE))
        x = np.concatenate([np.ones(ids.shape, np.float32), np.load(folder / f"{part}-dense.npy")], axis=1)
        every = np.concatenate([ids, numbers], axis=1).astype(np.uint32)
        fields = np.arange(data.N_FIELDS, dtype=np.uint32)
        return Rows(every.ravel(), n_features, width=data.N_FIELDS, values=x.ravel(), fields=fields)

    train, test = rows("train"), rows("test")
    y, y_test = (np.load(folder / f"{part}-y.npy") for part in ("train", "test"))
    print(f"{machine()}\n{options.rows:,} rows, {options.epochs} epochs, {options.seeds} seeds\n")
    root = (LARGE / SMALL) ** 0.5
    ways = {
        "4,096 rows": (SMALL, 1.0, 0.0),
        "65,536 rows": (LARGE, 1.0, 0.0),
        "65,536 rows, layers' rate times 4": (LARGE, root, 0.0),
        "65,536 rows, layers' rate times 4, CowClip 0.1": (LARGE, root, 0.1),
    }
    worst = 0.0
    for name in options.models:
        found = {}
        for way, (batch_size, times, cowclip) in ways.items():
            aucs, start = [], time.process_time()
            for seed in range(options.seeds):
                model = NeuralFMClassifier(
                    model=name, hidden=HIDDEN["nfm"], n_factors=DIM, batch_norm=False, batch_size=batch_size,
                    learning_rate=0.001 * times, cowclip=cowclip, max_iter=options.epochs,
                    n_threads=options.threads, random_state=seed,
                )  # fmt: skip
                aucs.append(auc(y_test, model.fit(train, y).predict_proba(test)[:, 1]))
            found[way] = statistics.mean(aucs)
            seconds = (time.process_time() - start) / options.seeds
            print(f"{name:<7} {way:<48} AUC {found[way]:.4f}  {seconds:6.1f} processor seconds", flush=True)
        small, *_, clipped = found.values()
        worst = max(worst, small - clipped)
    print(f"\nAUC lost with CowClip: {worst:.4f} at most (asked: at most {LIMIT})")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
