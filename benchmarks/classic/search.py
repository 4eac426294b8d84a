"""Choose crossfm's settings for the benchmark on rows cut from the training part; the test rows are never read.

    python benchmarks/classic/search.py                                            # all: hours on one core
    python benchmarks/classic/search.py --machines fm --solvers ftrl --factors 8 --seeds 1      # a small part
    python benchmarks/classic/search.py --defaults                        # how the estimators' own settings do

The last 100,000 of the 1,000,000 training rows of ``data.py`` are held out, always the same. For a machine and solver:

1. every setting of ``GRIDS`` and the neighbours of the best, one number a step smaller or larger: three epochs with one
   seed, at the fewest and the most factors;
2. the best few of them with all seeds, at all numbers of factors.

A setting costs the mean log loss of the first two epochs, over seeds and factors, on the rows held out: what counts is
where it is early. Chosen is the cheapest that is worse at the second epoch than at the first for no number of factors;
if there is none, the cheapest.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from engine_crossfm import VARIANTS, as_rows, kind
from scores import log_loss

import data

HELD_OUT = 100_000
EPOCHS = 3
STEP = 1.5  # a neighbour has one number so much larger or smaller
Settings = dict[str, Any]

# Where to look was found by a coarser look at the same rows: "constant" was never better than "inverse".
ADAGRAD: dict[str, list[Any]] = {
    "learning_rate": [0.05],
    "schedule": ["inverse"],
    "l2_V": [None, 0.005, 0.01, 0.02],  # None: the estimator's own, which grows with the factors
    "init_scale": [0.02, 0.05],
}
FFM: dict[str, list[Any]] = {"learning_rate": [0.05], "schedule": ["inverse"], "l2_V": [None, 0.0005, 0.002]}
GRIDS: dict[str, dict[str, dict[str, list[Any]]]] = {
    "fm": {
        "adagrad": ADAGRAD,
        "adagrad-row": ADAGRAD,
        "ftrl": {"learning_rate": [0.05], "l2_V": [20.0, 40.0, 80.0, 160.0], "init_scale": [0.05]},
        "adam": {"learning_rate": [0.0003, 0.001], "l2_V": [0.0, 0.01], "init_scale": [0.05]},
        "sgd": {"learning_rate": [0.001, 0.002, 0.004, 0.008], "init_scale": [0.05]},
    },
    "linear": {"adagrad": {"learning_rate": [0.02, 0.04], "schedule": ["constant", "inverse"]}},
    "ffm": {"adagrad": FFM, "adagrad-row": FFM},
}


@dataclass(frozen=True)
class Log:
    """Training rows, and those held out of them."""

    train: Any
    y: np.ndarray
    held: Any
    held_y: np.ndarray

    @classmethod
    def cut(cls) -> Log:
        """Cut the training part of the log."""
        with np.load(data.make(1_000_000, 100_000) / "train.npz") as rows:
            ids, y = rows["ids"], rows["y"]
        return cls(as_rows(ids[:-HELD_OUT]), y[:-HELD_OUT], as_rows(ids[-HELD_OUT:]), y[-HELD_OUT:])

    def log_losses(self, machine: str, factors: int, settings: Settings, seed: int) -> list[float]:
        """Train and return the log loss of the rows held out after each epoch."""
        found = []

        def note(_: Any, model: Any) -> None:
            found.append(log_loss(self.held_y, model.predict_proba(self.held)[:, 1]))

        model = kind(machine)(factors, **settings, max_iter=EPOCHS, random_state=seed, callbacks=[note])
        model.fit(self.train, self.y)
        return found


@dataclass(frozen=True)
class Result:
    """Log losses (factors, seeds, epochs) of one setting."""

    settings: Settings
    losses: np.ndarray

    @property
    def cost(self) -> float:
        """Mean over the first two epochs, the seeds and the factors."""
        return float(self.losses[:, :, :2].mean())

    @property
    def holds(self) -> bool:
        """Whether no number of factors is worse at the second epoch than at the first."""
        means = self.losses.mean(axis=1)
        return bool((means[:, 1] <= means[:, 0]).all())


def neighbours(settings: Settings) -> Iterator[Settings]:
    """Yield settings with one number a step smaller or larger."""
    for name, value in settings.items():
        if isinstance(value, float) and value:
            for other in (value / STEP, value * STEP):
                yield {**settings, name: float(f"{other:.2g}")}


def tried(log: Log, machine: str, solver: str, settings: Settings, factors: list[int], seeds: int) -> Result:
    """Train with every seed and number of factors; print a line for each of the latter."""
    asked = {"solver": solver, **settings}
    losses = np.array([[log.log_losses(machine, k, asked, seed) for seed in range(seeds)] for k in factors])
    shown = (
        ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None) or "defaults"
    )
    for k, of_k in zip(factors, losses, strict=True):
        means = ", ".join(f"{mean:.4f}" for mean in of_k.mean(axis=0))
        spreads = ", ".join(f"{spread:.4f}" for spread in np.ptp(of_k, axis=0))
        print(f"| {machine} | {solver} | {k} | {shown} | {means} | {spreads} |", flush=True)
    return Result(settings, losses)


def search(log: Log, machine: str, solver: str, factors: list[int], seeds: int, keep: int) -> Result:
    """Search one machine and solver: the grid, the neighbours of its best, and the best of both with all seeds."""
    grid = GRIDS[machine][solver]
    ends = sorted({min(factors), max(factors)})
    here = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    rough = [tried(log, machine, solver, settings, ends, 1) for settings in here]
    here = list(neighbours(min(rough, key=order).settings))
    rough += [tried(log, machine, solver, settings, ends, 1) for settings in here]
    best = sorted(rough, key=order)[:keep]
    return min((tried(log, machine, solver, one.settings, factors, seeds) for one in best), key=order)


def order(result: Result) -> tuple[bool, float]:
    """Sort what holds first, then by cost."""
    return not result.holds, result.cost


def main() -> None:
    """Print a line for each setting and number of factors, and the chosen settings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--machines", nargs="+", choices=list(GRIDS), default=list(GRIDS))
    add("--solvers", nargs="+", help="default: all of the machine")
    add("--factors", type=int, nargs="+", default=[8, 16, 32], help="of FM")
    add("--ffm-factors", type=int, nargs="+", default=[4], help="of FFM")
    add("--seeds", type=int, default=3)
    add("--keep", type=int, default=3, help="how many are tried with all seeds and factors")
    add("--defaults", action="store_true", help="do not search: try the estimators' own settings")
    add("--chosen", action="store_true", help="do not search: try the settings of engine_crossfm.py")
    asked = parser.parse_args()
    factors = {"fm": asked.factors, "ffm": asked.ffm_factors, "linear": [0]}
    log = Log.cut()
    print("| machine | solver | k | settings | log loss by epoch | largest - smallest of the seeds |")
    print("|---|---|---|---|---|---|")
    chosen = []
    for machine in asked.machines:
        for solver in GRIDS[machine]:
            if asked.solvers is not None and solver not in asked.solvers:
                continue
            here = (log, machine, solver)
            if asked.defaults or asked.chosen:
                tried(
                    *here, {} if asked.defaults else VARIANTS[machine][solver], factors[machine], asked.seeds
                )
                continue
            found = search(*here, factors[machine], asked.seeds, asked.keep)
            held = "" if found.holds else "; worse at the second epoch"
            chosen.append(f"{machine} {solver}: {found.settings} (cost {found.cost:.4f}{held})")
    print("\n".join(chosen))


if __name__ == "__main__":
    main()
