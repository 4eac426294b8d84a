"""Neural factorization machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from crossfm.neural.features import Features
from crossfm.neural.layers.checks import check_flag, check_rates, check_widths
from crossfm.neural.layers.dropout import Dropout
from crossfm.neural.layers.mlp import MLP, BatchNorm
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import check_sizes, part


class NFM(Model):
    """y = bias + sum_i w_i x_i + <h, MLP(BI)>, where BI = sum_{i<j} (x_i v_i) * (x_j v_j) is the pooled pairs.

    Without hidden layers, with ``batch_norm=False`` and h = 1, where h starts, it is exactly FM.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
        Not read: numbers take part by their embeddings.
    hidden : list of int, default=(64,)
        One layer is what the paper finds best.
    dropout : float or list of float, default=0
        On the pooled pairs and on each hidden layer: one number for all, or 1 + len(hidden) of them.
    activation : str, default="relu"
    batch_norm : bool, default=True
        Of the pooled pairs and of each hidden layer.

    Attributes
    ----------
    h : parameter (hidden[-1],), or (n_factors,) without hidden layers

    References
    ----------
    X. He, T.-S. Chua. Neural Factorization Machines for Sparse Predictive Analytics. SIGIR 2017, eq. (2) to (8).
    """

    uses: ClassVar[frozenset[str]] = frozenset({"pooled"})

    def __init__(
        self,
        n_fields: int,
        n_factors: int,
        *,
        n_dense: int = 0,
        hidden: Sequence[int] = (64,),
        dropout: float | Sequence[float] = 0.0,
        activation: str = "relu",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(n_fields, n_factors, n_dense)
        widths = check_widths("hidden", hidden)
        first, *rest = check_rates("dropout", dropout, 1 + len(widths))
        norm = BatchNorm(n_factors) if check_flag("batch_norm", batch_norm) else nn.Identity()
        self.pooling = nn.Sequential(norm, Dropout(first))
        self.mlp = MLP(n_factors, widths, dropout=rest, activation=activation, batch_norm=batch_norm)
        h = torch.ones(n_factors)
        if widths:
            h = torch.empty(widths[-1]).uniform_(-1, 1) / widths[-1] ** 0.5
        self.h = nn.Parameter(h)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        z: Tensor = self.mlp(self.pooling(part(x, "pooled")))
        return self.bias + x.linear + z @ self.h
