"""A fitted estimator as what recall searches with."""

from __future__ import annotations

from typing import Any

from crossfm.errors import OptionError
from crossfm.estimators.base import BaseFM
from crossfm.estimators.neural import Neural
from crossfm.scoring.decompose import Machine, recall_machine


def recall_machine_of(estimator: BaseFM, *, n_query_fields: int | None = None) -> Machine:
    """Return the machine for ``item_vectors`` and ``query_vectors``; scores are those of ``estimator`` before its link.

    ``n_query_fields`` is needed for machines that know fields: as many are the query's, the others the item's. Raises
    ``OptionError``, which says why, for an estimator whose score is no inner product of a query and an item.
    """
    refuse(estimator)
    params: Any = estimator.params_
    if isinstance(estimator, Neural) and not isinstance(params, list):
        from crossfm.neural.recall import second_order  # the room of PyTorch

        params = second_order(estimator.model, params)
    return recall_machine(params, n_query_fields=n_query_fields)


def refuse(estimator: BaseFM) -> None:
    """Raise ``OptionError`` where a score is more than what ``params_`` say of its row."""
    if getattr(estimator, "normalize", False):
        raise OptionError(
            "normalize=True divides by the length of the whole row, which takes both sides: no inner product. Fit "
            "without it for recall."
        )
    solver = getattr(estimator, "solver", "")
    if solver in ("mcmc", "vb"):
        raise OptionError(
            f"solver={solver!r} predicts with many machines, not with one that an index could hold. Fit with another "
            "solver for recall."
        )
