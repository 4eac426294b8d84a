"""What came of experiments, from the log of what was shown and the events after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from crossfm.serving.settings import Experiment


def report(experiments: Sequence[Experiment], store: Any) -> list[dict[str, Any]]:
    """Return each experiment's settings and the outcome of its variants. Raises ``StoreError``."""
    return [
        {
            "name": experiment.name,
            "share": experiment.share,
            "event": experiment.event,
            "window_seconds": experiment.window_seconds,
            "variants": [variant.model_dump() for variant in experiment.variants],
            "outcome": [
                _plain(row)
                for row in store.outcome(experiment.name, experiment.event, experiment.window_seconds)
            ],
        }
        for experiment in experiments
    ]


def _plain(row: Any) -> dict[str, Any]:
    return asdict(row) if is_dataclass(row) and not isinstance(row, type) else dict(row)
