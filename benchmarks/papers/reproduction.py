"""What the reproductions share: where the data are, seeds, and a table with the published number beside ours."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any


def arguments(text: str) -> argparse.ArgumentParser:
    """Return a parser with what all reproductions take."""
    parser = argparse.ArgumentParser(description=text)
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=beside, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each model; means are printed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", help="a,b: these only")
    parser.add_argument("--output", type=Path, help="JSON of all results")
    return parser


def chosen(models: Sequence[str], wanted: str | None) -> list[str]:
    """Return the models that ``--models`` names, or all."""
    if wanted is None:
        return list(models)
    names = wanted.split(",")
    unknown = [name for name in names if name not in models]
    if unknown:
        sys.exit(f"no model {unknown[0]!r}; there are {', '.join(models)}")
    return names


class Report:
    """Prints a row a model as it comes: ours, the published value, the settings."""

    def __init__(self, columns: Sequence[str], output: Path | None) -> None:
        self.columns, self.output, self.rows = columns, output, []
        print(
            f"{'model':<10} "
            + " ".join(f"{name:>10} {'published':>10}" for name in columns)
            + "   epochs seconds  settings"
        )

    def run(
        self, name: str, published: Sequence[float | None], settings: dict[str, Any], seeds: int,
        fit: Callable[[int], tuple[Sequence[float], int]],
    ) -> None:  # fmt: skip
        """Call ``fit(seed)`` for each seed, which returns a value a column and the best epoch, and print means."""
        start = time.perf_counter()
        runs = [fit(seed) for seed in range(seeds)]
        seconds = (time.perf_counter() - start) / seeds
        values = [mean(run[0][at] for run in runs) for at in range(len(self.columns))]
        cells = [
            f"{v:>10.4f} {'-' if p is None else f'{p:.4f}':>10}"
            for v, p in zip(values, published, strict=True)
        ]
        epochs = mean(run[1] for run in runs)
        shown = " ".join(f"{key}={value}" for key, value in settings.items())
        print(f"{name:<10} {' '.join(cells)}   {epochs:6.0f} {seconds:7.0f}  {shown}", flush=True)
        self.rows.append(
            {
                "model": name,
                "published": list(published),
                "runs": [list(run[0]) for run in runs],
                "settings": settings,
            }
        )
        if self.output is not None:
            self.output.write_text(
                json.dumps({"columns": list(self.columns), "rows": self.rows}, indent=1, default=str)
            )
