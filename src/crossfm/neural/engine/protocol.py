"""What training asks of embeddings, whichever engine holds them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.kernels.embedding import Penalties
from crossfm.neural.features import Features


class Embeddings(Protocol):
    """Looks batches of rows up, and moves what they touched.

    An engine is made from a ``kernels.table.Table``, and what it learnt goes back there, so checkpoints and model files
    are the same whichever engine trained. All engines give the same numbers but for rounding.
    """

    n_fields: int
    n_threads: int

    def features(self, rows: Rows, order: NDArray[np.int64], uses: Iterable[str]) -> Features:
        """Return the ``Features`` of the rows ``order`` (n,), but for ``dense``.

        ``uses`` names what is wanted beside ``linear``. Gradients flow back through the tensors to the engine and wait
        there for ``step``. One batch is on its way at a time.
        """

    def step(self, hyper: Hyper, penalties: Penalties, *, learning_rate_w: float) -> None:
        """Move each feature of the last batch once; does nothing where no gradient came back.

        The gradients are those of the mean loss over the batch's rows. A feature with values x_1, ..., x_c in the batch
        moves by rows * sum_j x_j dL/dz_j, where z_j = x_j v is what it adds to a row; CowClip may bound the sum. Then
        it shrinks to v / (1 + rate * l2 * c * rarity), with the rule's rate for a gradient of 1. The factors' learning
        rate is ``hyper.learning_rate``.
        """

    def gather(self, world: int, rows: Rows, order: NDArray[np.int64]) -> None:
        """Put the gradients of all ``world`` processes together: ``step`` is then of the whole batch ``order`` in each.

        Processes had equal parts of the batch one after another, or all of it each.
        """

    def load(self) -> None:
        """Take over weights and the optimizer's state from the table, where something else may have moved them."""

    def save(self) -> None:
        """Put weights and the optimizer's state back into the table."""
