"""Machines of both stages with settings that did well; ``benchmarks/two_stage.py`` and ``rankers.py`` measure them."""

from __future__ import annotations

from typing import Any

from crossfm.estimators.ranker import FMRanker

N_FACTORS = 16
CLASSIC = ("fm", "ffm", "fwfm")


def default_retriever(random_state: Any = 0) -> FMRanker:
    """Return the machine that did best on three time windows inside the training part of ML-100K: strong L2."""
    return FMRanker(
        n_factors=N_FACTORS,
        negatives="popularity",
        learning_rate=0.05,
        schedule="linear",
        max_iter=15,
        l2_w=0.01,
        l2_V=0.05,
        random_state=random_state,
    )


def default_ranker(machine: str = "ffm", *, n_factors: int = N_FACTORS, random_state: Any = 0) -> Any:
    """Return a machine for the second stage, which learns a little from where it starts: two epochs.

    Parameters
    ----------
    machine : str, default="ffm"
        "ffm", the best of them in every time split of ML-100K and ML-1M, "fm", "fwfm", or the name of a neural model:
        "nfm", "deepfm", ...; see ``NeuralFMClassifier``.
    n_factors : int, default=16
        That of the retriever.
    """
    settings: dict[str, Any] = {"n_factors": n_factors, "max_iter": 2, "random_state": random_state}
    if machine in CLASSIC:
        from crossfm.estimators.ffm import FFMClassifier
        from crossfm.estimators.fm import FMClassifier
        from crossfm.estimators.fwfm import FwFMClassifier

        kind = {"fm": FMClassifier, "ffm": FFMClassifier, "fwfm": FwFMClassifier}[machine]
        return kind(learning_rate=0.02, l2_V=0.001, **settings)
    from crossfm.estimators.neural import NeuralFMClassifier

    settings |= {"learning_rate_V": 0.005, "learning_rate_w": 0.02}
    return NeuralFMClassifier(model=machine, dropout=0.5, **settings)
