"""Ratings with all that is known of users, movies and time, by the Bayesian machine: test RMSE.

    python benchmarks/ratings.py FOLDER [--run u3,u3-attributes,u1,u1-all,ml-1m] [--factors 10] [--iterations 300]

``FOLDER`` holds ml-100k and ml-1m with the original files, gzipped. u3 and u1 are official splits of MovieLens-100K,
ml-1m is a random tenth of MovieLens-1M (seed 0). "attributes": age, gender, occupation and the zip code's first digit,
release year and genres; "implicit": the movies that a user rated and the users that rated a movie, in the training
part; "neighbours": the movies that a user rated, with the ratings; "all": attributes, implicit, and the day.
Predictions are clipped to 1 and 5.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

from crossfm import Categorical, FMOrdinalRegressor, FMRegressor, MultiCategorical, designs
from crossfm.datasets.movielens import GENRES
from crossfm.designs import Design

KEYS = ["user", "movie"]
PERSON = ["age", "gender", "job", "zip"]


def ml_100k(folder: Path, split: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return train, test, users and movies."""
    read = {"sep": "\t", "names": [*KEYS, "rating", "time"]}
    train, test = (pd.read_csv(folder / f"{split}.{part}.gz", **read) for part in ("base", "test"))
    users = pd.read_csv(folder / "u.user.gz", sep="|", names=["user", *PERSON])
    names = ["movie", "title", "release", "video", "url", *GENRES]
    movies = pd.read_csv(folder / "u.item.gz", sep="|", encoding="latin-1", names=names)
    flags = movies[list(GENRES)].to_numpy().astype(bool)
    movies["genres"] = [list(np.array(GENRES)[row]) for row in flags]
    movies["year"] = movies.release.str[-4:]
    return train, test, users, movies[["movie", "genres", "year"]]


def ml_1m(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    read = {"sep": "::", "engine": "python", "encoding": "latin-1"}
    ratings = pd.read_csv(folder / "ratings.dat.gz", names=[*KEYS, "rating", "time"], **read)
    users = pd.read_csv(folder / "users.dat.gz", names=["user", "gender", "age", "job", "zip"], **read)
    movies = pd.read_csv(folder / "movies.dat.gz", names=["movie", "title", "genres"], **read)
    movies["genres"] = movies.genres.str.split("|")
    movies["year"] = movies.title.str.extract(r"\((\d{4})\)$")[0]
    held = np.random.default_rng(0).random(len(ratings)) < 0.1
    return ratings[~held], ratings[held], users, movies.drop(columns="title")


def problem(folder: Path, run: str) -> tuple[pd.DataFrame, pd.DataFrame, Design]:
    """Return train, test, and the design of the model."""
    name, _, what = run.partition("-") if not run.startswith("ml-1m") else ("ml-1m", "", run[6:])
    train, test, users, movies = (
        ml_1m(folder / "ml-1m") if name == "ml-1m" else ml_100k(folder / "ml-100k", name)
    )
    for part in (train, test):
        part["day"] = part.time // 86400
    users = users.assign(zip=users.zip.str[0], age=users.age // 5 * 5)
    design = designs.mf(*KEYS)
    if what in ("attributes", "all"):
        design += designs.attributes("user", users, [Categorical(one) for one in PERSON])
        kinds = [Categorical("year"), MultiCategorical("genres", combiner="sqrtn")]
        design += designs.attributes("movie", movies, kinds)
    if what in ("implicit", "all"):
        design += designs.implicit(train, "user", "movie") + designs.implicit(train, "movie", "user")
    if what == "neighbours":
        design += designs.neighbours(train, "user", "movie", "rating")
    if what == "all":
        design += designs.time_bins("day", None)
    return train, test, design


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--run", default="u3,u3-attributes,u1,u1-attributes,u1-implicit,u1-all,ml-1m,ml-1m-implicit"
    )
    parser.add_argument("--levels", action="store_true", help="ordered probit")
    parser.add_argument("--factors", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for run in args.run.split(","):
        train, test, design = problem(args.folder, run)
        kind = FMOrdinalRegressor if args.levels else FMRegressor
        model = kind(
            args.factors, solver="mcmc", max_iter=args.iterations, burn_in=min(20, args.iterations - 1),
            keep_samples=args.iterations, n_threads=args.threads, random_state=args.seed, **design,
        )  # fmt: skip
        wall = time.perf_counter()
        model.fit(train[[*KEYS, "day"]], train.rating)
        wall = time.perf_counter() - wall
        error = np.sqrt(np.mean((np.clip(model.predict(test[[*KEYS, "day"]]), 1, 5) - test.rating) ** 2))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"{run}: k = {args.factors}, RMSE {error:.4f}, {1e3 * wall / args.iterations:.1f} ms an iteration, "
            f"{peak} MiB at most",
            flush=True,
        )


if __name__ == "__main__":
    main()
