"""DeepFM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, check_sizes, deep_part, flat, part, score


class DeepFM(Model):
    """y = FM + MLP of the same embeddings, field by field, and the dense values.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        None of them: no deep part, which is FM. The paper has three layers of 400.
    dropout : float or list of float, default=0
    activation : str, default="relu"
    batch_norm : bool, default=False

    References
    ----------
    H. Guo et al. DeepFM: A Factorization-Machine based Neural Network for CTR Prediction. IJCAI 2017, eq. (1) to (4).
    Ours: numbers are embedded as features and also enter the deep part as they are.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"pair", "embedded", "dense"})

    def __init__(
        self,
        n_fields: int,
        n_factors: int,
        *,
        n_dense: int = 0,
        hidden: Sequence[int] = HIDDEN,
        dropout: float | Sequence[float] = 0.0,
        activation: str = "relu",
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        n_in = check_sizes(n_fields, n_factors, n_dense)
        self.n_dense = n_dense
        self.deep = deep_part(n_in, hidden, dropout, activation, batch_norm)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        deep = score(self.deep, flat(x, self.n_dense))
        return self.bias + x.linear + part(x, "pair") + deep
