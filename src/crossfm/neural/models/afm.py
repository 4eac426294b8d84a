"""Attentional factorization machine."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from crossfm.neural.features import Features
from crossfm.neural.layers.attention import AttentionalPooling
from crossfm.neural.layers.checks import check_rates
from crossfm.neural.layers.dropout import Dropout
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import check_sizes, part


class AFM(Model):
    """y = bias + sum_i w_i x_i + <p, sum_{a<b} a_ab v_a * v_b> over fields, with attention a_ab that adds up to 1.

    With equal attention and p = 1 the last term is FM's pair sum divided by the number of pairs.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
        Not read: numbers take part by their embeddings.
    attention_dim : int, default=16
    dropout : float, default=0
        On the pooled pairs.

    Attributes
    ----------
    p : parameter (n_factors,)
        Starts at 1 (our choice).

    References
    ----------
    J. Xiao et al. Attentional Factorization Machines. IJCAI 2017, eq. (6). Ours: features of one field are summed and
    do not meet each other.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"embedded"})

    def __init__(
        self,
        n_fields: int,
        n_factors: int,
        *,
        n_dense: int = 0,
        attention_dim: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(n_fields, n_factors, n_dense)
        self.pooling = AttentionalPooling(n_fields, n_factors, attention_dim)
        (rate,) = check_rates("dropout", dropout, 1)
        self.dropout = Dropout(rate)
        self.p = nn.Parameter(torch.ones(n_factors))

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        pooled: Tensor = self.dropout(self.pooling(part(x, "embedded")))
        return self.bias + x.linear + pooled @ self.p
