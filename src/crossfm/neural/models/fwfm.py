"""Field-weighted factorization machine."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.layers.pairs import FieldWeightedInteraction
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import check_sizes, part


class FwFM(Model):
    """y = bias + sum_i w_i x_i + sum_{a<b} r_ab <v_a, v_b> over fields.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
        Not read: numbers take part by their embeddings.

    References
    ----------
    J. Pan et al. Field-weighted Factorization Machines for Click-Through Rate Prediction in Display Advertising. WWW
    2018, with the linear part the paper calls LW. Ours: ``r`` starts at 1 (FM); features of one field do not
    meet each other.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"embedded"})

    def __init__(self, n_fields: int, n_factors: int, *, n_dense: int = 0) -> None:
        super().__init__()
        check_sizes(n_fields, n_factors, n_dense)
        self.interaction = FieldWeightedInteraction(n_fields)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        pairs: Tensor = self.interaction(part(x, "embedded"))
        return self.bias + x.linear + pairs.squeeze(1)
