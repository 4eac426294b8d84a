"""Factorization-machine supported neural network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, beside, check_sizes, deep_part, part, score


class FNN(Model):
    """y = bias + MLP of (w_i, v_i) of each field and the dense values; no linear part of its own.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        None of them: a linear map of the inputs.
    dropout : float or list of float, default=0
    activation : str, default="relu"
        The paper takes "tanh".
    batch_norm : bool, default=False

    References
    ----------
    W. Zhang, T. Du, J. Wang. Deep Learning over Multi-field Categorical Data. ECIR 2016. Ours: the
    inputs need not start from a fitted FM (they may: put its w and V into the embeddings); the constant w0 among the
    inputs is left out, as the first layer has a constant of its own.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"embedded", "weights", "dense"})

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
        n_in = n_fields + check_sizes(n_fields, n_factors, n_dense)
        self.n_dense = n_dense
        self.deep = deep_part(n_in, hidden, dropout, activation, batch_norm, always=True)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        pairs = torch.cat([part(x, "weights").unsqueeze(2), part(x, "embedded")], dim=2)
        return self.bias + score(self.deep, beside(pairs.flatten(1), x, self.n_dense))
