"""Claim: a training step of crossfm's NFM takes at most 1.3 times as long with 2,000,000 ids as with 100,000.

    python benchmarks/neural/step_time.py [--rounds 5] [--model nfm] [--engine crossfm]

The two take turns; processor seconds of an epoch over its steps. The exit code is 1 where the claim fails.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys

from job import BATCH
from turns import ENGINES, MODELS, OURS, Setting, run_once

import data

LIMIT = 1.3


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--model", choices=MODELS, default="nfm")
    parser.add_argument("--engine", choices=ENGINES, default=OURS)
    options = parser.parse_args()
    folders = {v: data.make(v, options.rows, 50_000) for v in data.LOGS}
    steps = math.ceil(options.rows / BATCH)
    times: dict[str, list[float]] = {v: [] for v in data.LOGS}
    for number in range(options.rounds):
        for vocabulary, folder in folders.items():
            run = run_once(Setting(vocabulary, options.model, options.engine), folder, number, [])
            times[vocabulary].append(1e3 * run["train_seconds"] / steps)
    medians = {v: statistics.median(found) for v, found in times.items()}
    for vocabulary, found in times.items():
        print(f"{vocabulary} ids: {medians[vocabulary]:.2f} ms a step ({min(found):.2f} to {max(found):.2f})")
    few, many = data.LOGS
    ratio = medians[many] / medians[few]
    print(f"{many} over {few}: {ratio:.2f} (claimed: at most {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
