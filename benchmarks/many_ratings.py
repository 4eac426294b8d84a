"""Gibbs sampling on 20 million made ratings: seconds an iteration and memory.

    python benchmarks/many_ratings.py [--ratings 20000000] [--factors 32] [--iterations 5] [--threads 1]

As many users (138,493) and movies (26,744) as MovieLens-20M has, their numbers of ratings log-normal, scores of a
machine with 8 factors and noise of deviation 0.8.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from crossfm import FMRegressor, Rows

USERS, MOVIES = 138_493, 26_744


def ratings(n: int) -> tuple[Rows, np.ndarray]:
    """Return one-hot users and movies, and ratings."""
    rng = np.random.default_rng(0)
    ids = []
    for size, spread in ((USERS, 1.1), (MOVIES, 2.0)):
        chances = np.exp(spread * rng.standard_normal(size))
        ids.append(rng.choice(size, n, p=chances / chances.sum()).astype(np.uint32))
    user, movie = ids
    y = 3.5 + 0.8 * rng.standard_normal(n, np.float32)
    for id_, size in ((user, USERS), (movie, MOVIES)):
        y += rng.normal(0, 0.4, size).astype(np.float32)[id_]
    for _ in range(8):
        y += (
            rng.normal(0, 0.4, USERS).astype(np.float32)[user]
            * rng.normal(0, 0.3, MOVIES).astype(np.float32)[movie]
        )
    both = np.empty((n, 2), np.uint32)
    both[:, 0], both[:, 1] = user, movie + USERS
    return Rows(both.ravel(), USERS + MOVIES, width=2, fields=np.array([0, 1], np.uint32)), y.astype(
        np.float64
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ratings", type=int, default=20_000_000)
    parser.add_argument("--factors", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    X, y = ratings(args.ratings + 100_000)
    some = np.arange(args.ratings)
    train, test = X.take(some), X.take(np.arange(args.ratings, X.n_rows))
    held = y[args.ratings :]
    del X
    began = time.perf_counter()
    marks = []
    model = FMRegressor(
        args.factors, solver="mcmc", max_iter=args.iterations, burn_in=args.iterations // 2, keep_samples=5,
        n_threads=args.threads, random_state=0, callbacks=[lambda *_: marks.append(time.perf_counter())],
    )  # fmt: skip
    model.fit(train, y[: args.ratings])
    each = np.diff(marks)
    error = np.sqrt(np.mean((model.predict(test) - held) ** 2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    print(
        f"{args.ratings:,} ratings, k = {args.factors}, {args.threads} threads: {np.median(each):.2f} s an iteration "
        f"(range {each.min():.2f} to {each.max():.2f}), {marks[0] - began - np.median(each):.1f} s before the first, "
        f"{peak:.1f} GiB at most, RMSE {error:.4f} after {args.iterations} iterations"
    )


if __name__ == "__main__":
    main()
