"""Figures for the dashboard that move like a server's, from the clock; experiments that never change."""

from __future__ import annotations

import time
from typing import Any

EXPERIMENTS: list[dict[str, Any]] = [
    {
        "name": "more-variety",
        "share": 0.5,
        "event": "click",
        "window_seconds": 86_400,
        "variants": [
            {"name": "control", "weight": 1, "diversity": None},
            {"name": "diverse", "weight": 1, "diversity": 0.3},
        ],
        "outcome": [
            {
                "variant": "control",
                "users": 2048,
                "converted": 166,
                "rate": 0.0811,
                "low": 0.07,
                "high": 0.0936,
            },
            {
                "variant": "diverse",
                "users": 1992,
                "converted": 191,
                "rate": 0.0959,
                "low": 0.0837,
                "high": 0.1096,
            },
        ],
    }
]
STAGES = {"query": 0.05, "recall": 0.61, "rank": 2.4, "rerank": 0.3, "total": 3.5}
ROUTES = {"POST /v1/recommend": 4.4, "POST /v1/feedback": 1.9, "GET /v1/items/{id}": 0.4}
SHOWN = {"1": 0.61, "4": 0.42, "2": 0.4, "9": 0.31, "6": 0.2}


def times(p50: float) -> dict[str, Any]:
    """Counts and quantiles around a median."""
    now = time.time()
    median, tail = p50 * (1 + 0.2 * (now % 7) / 7), 3.1 * p50 * (1 + 0.3 * (now % 11) / 11)
    counts = {"count": 52_000, "errors": 2, "recent": 8_400}
    return {**counts, "mean": 1.2 * p50, "p50": median, "p90": 1.8 * p50, "p95": 2.2 * p50, "p99": tail}


def check(name: str, share: float | None, of: int, limit: float, column: str | None = None) -> dict[str, Any]:
    """One line of the checks."""
    verdict = "too few" if share is None or of < 20 else "look" if share > limit else "ok"
    return {"check": name, "column": column, "share": share, "of": of, "limit": limit, "verdict": verdict}


CHECKS = [
    check("unknown users", 0.02, 900, 0.3),
    check("unknown items", None, 0, 0.05),
    check("context never met", 0.21, 900, 0.05, "device"),
    check("context drift", 0.11, 700, 0.25, "daypart"),
]


def spread(low: float, high: float, n: int) -> dict[str, Any]:
    """Quantiles and bars of numbers between two ends."""
    marks = {f"p{at}": low + (high - low) * at / 100 for at in (10, 25, 50, 75, 90)}
    return {"count": n, **marks, "bars": {"low": low, "high": high, "counts": [n // 30] * 30}}


def course() -> dict[str, Any]:
    """Ten minutes; nothing came in the third."""
    begin = int(time.time()) // 60 * 60 - 9 * 60
    quiet = [None if at == 2 else at for at in range(10)]

    def line(base: float, step: float) -> list[float | None]:
        return [None if at is None else base + step * at for at in quiet]

    return {
        "step_seconds": 60,
        "begin": begin,
        "answers": [0 if at is None else 90 for at in quiet],
        "coverage": line(0.5, 0.02),
        "gini": line(0.45, -0.01),
        "stages": {stage: {"p50": line(p50, 0), "p99": line(3 * p50, 0.1)} for stage, p50 in STAGES.items()},
    }


def figures(n_items: int, n_users: int, events: int) -> dict[str, Any]:
    """Return what /v1/stats tells besides versions and experiments."""
    load = [round(20 + 8 * ((i * 7919) % 13) / 13 + 6 * ((i // 6) % 3), 1) for i in range(60)]
    failed = [0.4 if i in (20, 21) else 0 for i in range(60)]
    return {
        "uptime_seconds": 4_012.5,
        "window_seconds": 300,
        "memory_bytes": 212_000_000,
        "routes": [{"route": route, **times(p50)} for route, p50 in ROUTES.items()],
        "stages": [{"stage": stage, **times(p50)} for stage, p50 in STAGES.items()],
        "qps": {"step_seconds": 5, "end": int(time.time()) // 5 * 5, "series": load, "errors": failed},
        "funnel": {
            "answers": 900,
            "catalogue": 80,
            "allowed": 71.3,
            "recalled": 40,
            "ranked": 40,
            "returned": 10,
            "known": 0.93,
        },
        "coverage": {
            "answers": 900,
            "distinct_items": 61,
            "share": 0.7625,
            "gini": 0.41,
            "top": [{"item": film, "share": share} for film, share in SHOWN.items()],
        },
        "course": course(),
        "scores": {
            "score": spread(0.4, 2.0, 9_000),
            "probability": spread(0.02, 0.4, 9_000),
            "popularity": None,
            "own_share": {**spread(0.0, 1.0, 900), "mean": 0.42},
        },
        "quality": {"seconds": 3_600, "requests": 900, "events": 300, "checks": CHECKS},
        "index": {
            "kind": "ivf",
            "n_items": n_items,
            "dim": 17,
            "bytes": 5_440,
            "recall": {"k": 100, "value": 0.9962, "target": 0.99, "probes": 24},
        },
        "counts": {
            "model_items": n_items,
            "model_users": n_users,
            "events": 18_204 + events,
            "impressions": 412_331,
        },
        "store": "ok",
        "draining": False,
    }
