"""ALS, Gibbs sampling and variational Bayes on MovieLens-100K, ids only, against myFM and fastFM: processor time an
iteration and test RMSE.

    python benchmarks/exact.py FOLDER [--split u3] [--iterations 300] [--factors 8] [--engines vb mcmc myfm fastfm-als]
        [--peer PYTHON_WITH_MYFM] [--fastfm PYTHON_WITH_FASTFM]
    python benchmarks/exact.py FOLDER --coverage

``FOLDER`` has u3.base.gz and u3.test.gz. Peers and we take turns, one thread each, and the median of three turns
counts. fastFM 0.2.10 builds on Python 3.8 after Cython has made its ffm.c again. Predictions are clipped to 1 and 5.
With ``--coverage``: the share of test ratings in the intervals of ``predict_quantiles``, and their width, not clipped.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

USERS, ITEMS = 943, 1682
ENGINES = ("mcmc", "myfm", "als", "vb", "myfm-vb")
MORE = ("ordinal", "fastfm-als", "fastfm-mcmc")


def read(folder: Path, name: str) -> tuple[csr_matrix, np.ndarray]:
    """Return one-hot users and items (n_rows, USERS + ITEMS), and ratings."""
    with gzip.open(folder / name, "rt") as file:
        user, item, rating = np.loadtxt(file, dtype=np.int64, usecols=(0, 1, 2)).T
    ids = np.column_stack([user - 1, USERS + item - 1]).ravel()
    offsets = 2 * np.arange(len(user) + 1)
    return csr_matrix((np.ones(len(ids)), ids, offsets), shape=(len(user), USERS + ITEMS)), rating.astype(
        float
    )


def learner(run: str, n_factors: int, iterations: int, threads: int, seed: int = 0, keep: int = 50) -> Any:
    """Return what fits one-hot users and items to ratings, and the model that predicts then."""
    if run == "myfm":
        import myfm

        model = myfm.MyFMRegressor(rank=n_factors, random_seed=0)
        kept = max(iterations - 20, 1)
        return lambda X, y: model.fit(
            X, y, n_iter=iterations, n_kept_samples=kept, group_shapes=[USERS, ITEMS]
        ), model
    if run == "myfm-vb":
        import myfm

        model = myfm.VariationalFMRegressor(rank=n_factors, random_seed=0)
        return lambda X, y: model.fit(X, y, n_iter=iterations, group_shapes=[USERS, ITEMS]), model
    if run.startswith("fastfm"):
        from fastFM import als, mcmc
        from scipy.sparse import csc_matrix

        sizes = {"n_iter": iterations, "rank": n_factors, "random_state": 0}
        if run == "fastfm-als":
            model = als.FMRegression(l2_reg_w=5, l2_reg_V=10, **sizes)
            model.predict = lambda X, predict=model.predict: predict(csc_matrix(X))
            return lambda X, y: model.fit(csc_matrix(X), y), model
        return None, mcmc.FMRegression(**sizes)
    from crossfm import FMOrdinalRegressor, FMRegressor

    if run == "ordinal":
        levels = FMOrdinalRegressor(
            n_factors, max_iter=iterations, keep_samples=keep, n_threads=threads, random_state=seed
        )
        return levels.fit, levels
    burn_in = 20 if run == "mcmc" and iterations > 20 else None
    model = FMRegressor(
        n_factors,
        solver=run,
        max_iter=iterations,
        burn_in=burn_in,
        keep_samples=keep,
        n_threads=threads,
        random_state=seed,
    )
    return model.fit, model


def one(args: argparse.Namespace) -> None:
    """Do one run in this process and print milliseconds an iteration and RMSE."""
    folder = Path(args.folder)
    X, y = read(folder, f"{args.split}.base.gz")
    test = read(folder, f"{args.split}.test.gz")
    fit, model = learner(args.run, args.factors, args.iterations, args.threads, args.seed, args.keep)
    wall, cpu = time.perf_counter(), time.process_time()
    if fit is None:  # fastFM samples and predicts in one call
        predicted = model.fit_predict(X.tocsc(), y, test[0].tocsc())
    else:
        fit(X, y)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if fit is not None:
        predicted = model.predict(test[0])
    error = np.sqrt(np.mean((np.clip(predicted, 1, 5) - test[1]) ** 2))
    print(f"{1e3 * cpu / args.iterations:.2f} {1e3 * wall / args.iterations:.2f} {error:.4f}")


LEVELS = (0.5, 0.8, 0.9, 0.95)


def coverage(args: argparse.Namespace) -> None:
    """Print which share of the test ratings lie in intervals that promise ``LEVELS``."""
    from crossfm import FMRegressor

    folder = Path(args.folder)
    X, y = read(folder, f"{args.split}.base.gz")
    test, ratings = read(folder, f"{args.split}.test.gz")
    tails = [(1 - level) / 2 for level in LEVELS]
    print("k: " + ", ".join(f"{100 * level:g} % (mean width)" for level in LEVELS))
    for k in (8, 16, 32) if args.factors is None else (args.factors,):
        model = FMRegressor(
            k, solver="mcmc", max_iter=args.iterations, n_threads=args.threads, random_state=0
        ).fit(X, y)
        found = model.predict_quantiles(test, [*tails, *(1 - tail for tail in tails)])
        low, high = found[:, : len(LEVELS)], found[:, len(LEVELS) :]
        held = ((low <= ratings[:, None]) & (ratings[:, None] <= high)).mean(axis=0)
        width = (high - low).mean(axis=0)
        print(f"{k}: " + ", ".join(f"{100 * h:.1f} ({w:.2f})" for h, w in zip(held, width, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--split", default="u3")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--fastfm", default=sys.executable)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--factors", type=int)
    parser.add_argument("--run", choices=(*ENGINES, *MORE))
    parser.add_argument("--engines", choices=(*ENGINES, *MORE), nargs="+", default=ENGINES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=int, default=50, help="samples")
    parser.add_argument("--coverage", action="store_true")
    args = parser.parse_args()
    if args.coverage:
        coverage(args)
        return
    if args.run:
        one(args)
        return
    print("k, engine: processor ms an iteration (median of 3), wall ms; test RMSE", flush=True)
    for k in (8, 16, 32) if args.factors is None else (args.factors,):
        turns: dict[str, list[str]] = {engine: [] for engine in args.engines}
        for _ in range(3):
            for run, lines in turns.items():
                python = {"myfm": args.peer, "fastfm": args.fastfm}.get(run.partition("-")[0], sys.executable)
                words = [
                    python,
                    __file__,
                    args.folder,
                    "--split",
                    args.split,
                    "--run",
                    run,
                    "--factors",
                    str(k),
                ]
                words += ["--threads", str(args.threads), "--iterations", str(args.iterations)]
                alone = os.environ | {"OMP_NUM_THREADS": "1"}
                lines.append(
                    subprocess.run(words, capture_output=True, text=True, check=True, env=alone).stdout
                )
        for run, lines in turns.items():
            cpu, wall = (statistics.median(float(line.split()[at]) for line in lines) for at in (0, 1))
            print(f"{k}, {run}: {cpu:.2f}, {wall:.2f}; {lines[0].split()[2]}", flush=True)


if __name__ == "__main__":
    main()
