"""Second-order factorization machine."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import check_sizes, part


class FM(Model):
    """y = bias + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
        Not read: numbers take part by their embeddings.

    References
    ----------
    S. Rendle. Factorization Machines. ICDM 2010, eq. (1).
    """

    uses: ClassVar[frozenset[str]] = frozenset({"pair"})

    def __init__(self, n_fields: int, n_factors: int, *, n_dense: int = 0) -> None:
        super().__init__()
        check_sizes(n_fields, n_factors, n_dense)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        return self.bias + x.linear + part(x, "pair")
