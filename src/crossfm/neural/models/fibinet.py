"""FiBiNET."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.layers.bilinear import BilinearInteraction, SENet
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, beside, check_sizes, deep_part, part, score


class FiBiNET(Model):
    """y = bias + sum_i w_i x_i + MLP of bilinear products of the embeddings, of the same after SENet, and of the dense.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        None of them: a linear map of the products (the paper's shallow model).
    dropout : float or list of float, default=0
    activation : str, default="relu"
    batch_norm : bool, default=False
    reduction : int, default=3
        Of SENet.
    bilinear : {"all", "each", "interaction"}, default="each"
        One matrix in all, for each field or for each pair of fields.

    References
    ----------
    T. Huang, Z. Zhang, J. Zhang. FiBiNET: Combining Feature Importance and Bilinear feature Interaction for
    Click-Through Rate Prediction. RecSys 2019, section 3. The two bilinear layers have matrices of their own.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"embedded", "dense"})

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
        reduction: int = 3,
        bilinear: str = "each",
    ) -> None:
        super().__init__()
        check_sizes(n_fields, n_factors, n_dense)
        self.n_dense = n_dense
        self.senet = SENet(n_fields, reduction)
        self.plain, self.weighed = (BilinearInteraction(n_fields, n_factors, form=bilinear) for _ in range(2))
        n_in = 2 * self.plain.n_pairs * n_factors + n_dense
        self.deep = deep_part(n_in, hidden, dropout, activation, batch_norm, always=True)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        v = part(x, "embedded")
        products = torch.cat([self.plain(v), self.weighed(self.senet(v))], dim=1).flatten(1)
        return self.bias + x.linear + score(self.deep, beside(products, x, self.n_dense))
