"""AUC of each user's relevant items, from scores of the whole catalogue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossfm.recommender.seen import Positions, Skip


def relevant_auc(
    score: NDArray[np.float32], skip: Skip, indptr: Positions, relevant: Positions
) -> NDArray[np.float64]:
    """Return the AUC (n_users,) of the relevant items against all others but the skipped; NaN where undefined.

    By ranks (Mann-Whitney), ties in the middle; relevant items behind the catalogue do not count. ``score`` (n_users,
    n_items) is written to.
    """
    n_items, out = score.shape[1], np.full(len(score), np.nan)
    skipped, seen = skip
    n_skipped = np.diff(skipped)
    score[np.repeat(np.arange(len(score)), n_skipped), seen] = -np.inf  # below all others
    ordered = np.sort(score, axis=1)
    for row in range(len(score)):
        good = relevant[indptr[row] : indptr[row + 1]]
        good = score[row, good[good < n_items]]
        n_good, n_bad = len(good), n_items - n_skipped[row] - len(good)
        if n_good and n_bad:
            below = np.searchsorted(ordered[row], good, side="left")
            upto = np.searchsorted(ordered[row], good, side="right")
            rank = 0.5 * (below + upto + 1) - n_skipped[row]  # from 1, among the items not skipped
            out[row] = (rank.sum() - 0.5 * n_good * (n_good + 1)) / (n_good * n_bad)
    return out
