"""Deep & Cross Network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.layers.checks import check_flag
from crossfm.neural.layers.cross import CrossNetwork
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, check_sizes, deep_part, flat, score


class DCN(Model):
    """y = bias + <w, [cross network, MLP]>, both of the embeddings and the dense values.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        None of them: the cross network alone.
    dropout : float or list of float, default=0
    activation : str, default="relu"
    batch_norm : bool, default=True
        Of the deep part, as in the paper.
    n_cross : int, default=3
        Cross layers; with 0 the cross network is its input.
    linear : bool, default=False
        Add sum_i w_i x_i, which the paper does not have.

    References
    ----------
    R. Wang, B. Fu, G. Fu, M. Wang. Deep & Cross Network for Ad Click Predictions. ADKDD 2017, eq. (3) to (5).
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
        batch_norm: bool = True,
        n_cross: int = 3,
        linear: bool = False,
    ) -> None:
        super().__init__()
        n_in = check_sizes(n_fields, n_factors, n_dense)
        self.n_dense, self.linear = n_dense, check_flag("linear", linear)
        self.cross = CrossNetwork(n_in, n_cross)
        self.out = deep_part(n_in, (), 0.0, "identity", False, always=True)
        self.deep = deep_part(n_in, hidden, dropout, activation, batch_norm)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        inputs = flat(x, self.n_dense)
        out = self.bias + score(self.out, self.cross(inputs)) + score(self.deep, inputs)
        return out + x.linear if self.linear else out
