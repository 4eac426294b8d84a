"""The engines, running one alone in its process, and the medians of what they answer."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paths  # noqa: F401
from environments import python_of
from process import alone
from scores import auc, log_loss
from setup_envs import PEERS

import data

HERE = Path(__file__).resolve().parent
OURS = "crossfm"
BY_US = {OURS, "crossfm-bfloat16", "crossfm-rows", "pytorch"}  # run by our interpreter
ENGINES = [OURS, "crossfm-bfloat16", "crossfm-rows", *PEERS, "pytorch"]
VARIANTS = {OURS: "float32", "crossfm-bfloat16": "bfloat16", "crossfm-rows": "rows"}
MODELS = ["nfm", "deepfm", "fm"]
Run = dict[str, Any]


class Setting(NamedTuple):
    """What is timed."""

    vocabulary: str
    model: str
    engine: str

    def __str__(self) -> str:
        return f"{self.engine} {self.model}, {self.vocabulary} ids"


def settings(vocabularies: Iterable[str], models: Iterable[str], engines: Iterable[str]) -> list[Setting]:
    """Return what is run in a round: the row-by-row core has the FM alone."""
    found = [Setting(v, m, e) for v in vocabularies for m in models for e in engines]
    return [one for one in found if one.engine != "crossfm-rows" or one.model == "fm"]


def run_once(setting: Setting, folder: Path, seed: int, wrap: list[str]) -> Run:
    """Run one engine in its own process, behind the command ``wrap``; raises ``RuntimeError`` with its last words."""
    engine = setting.engine
    python = Path(sys.executable) if engine in BY_US else python_of(engine)
    script = HERE / f"engine_{OURS if engine in VARIANTS else engine}.py"
    variant = VARIANTS.get(engine, "")
    job = {"folder": str(folder), "model": setting.model, "variant": variant, "seed": seed}
    found = alone(python, script, job, data.FOLDER, threads=1, wrap=wrap)
    y = np.load(folder / "test-y.npy")
    p = found.probabilities
    if p is None or len(p) != len(y) or not np.isfinite(p).all():
        raise RuntimeError("no probability for some test rows")
    n_rows = len(np.load(folder / "train-y.npy", mmap_mode="r"))
    train, predict = found.answer["train"], found.answer["predict"]
    return {
        **setting._asdict(),
        "version": found.answer["version"],
        "settings": found.answer["settings"],
        "train_seconds": train["cpu"],
        "train_rate": n_rows / train["cpu"],
        "train_wall_rate": n_rows / train["wall"],
        "predict_rate": len(y) / predict["cpu"],
        "predict_wall_rate": len(y) / predict["wall"],
        "auc": auc(y, p),
        "log_loss": log_loss(y, p),
        "peak_mb": found.peak_mb,
    }


def summaries(runs: list[Run]) -> list[Run]:
    """Return medians over rounds of each setting, with ``ratio``: training of ours is so many times as fast."""
    grouped: dict[Setting, list[Run]] = {}
    for run in runs:
        grouped.setdefault(Setting(run["vocabulary"], run["model"], run["engine"]), []).append(run)
    found = []
    for setting, same in grouped.items():
        numbers = [key for key, value in same[0].items() if isinstance(value, float)]
        medians = {key: statistics.median(run[key] for run in same) for key in numbers}
        rates = [run["train_rate"] for run in same]
        ours = grouped.get(setting._replace(engine=OURS), [])
        medians["ratio"] = statistics.median(run["train_rate"] for run in ours) if ours else float("nan")
        medians["ratio"] /= medians["train_rate"]
        found.append({**same[0], **medians, "rounds": len(same), "range": [min(rates), max(rates)]})
    order = [*data.LOGS, *MODELS]
    found.sort(key=lambda r: (order.index(r["vocabulary"]), order.index(r["model"]), -r["train_rate"]))
    return found
