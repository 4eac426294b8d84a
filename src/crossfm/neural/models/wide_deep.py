"""Wide & Deep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, check_sizes, deep_part, flat, score


class WideDeep(Model):
    """y = bias + sum_i w_i x_i + MLP of the embeddings and the dense values.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        None of them: no deep part, which is a linear model.
    dropout : float or list of float, default=0
    activation : str, default="relu"
    batch_norm : bool, default=False

    References
    ----------
    H.-T. Cheng et al. Wide & Deep Learning for Recommender Systems. DLRS 2016. Ours: the wide part has the
    features themselves; products of columns chosen by hand are columns that the user makes.
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
    ) -> None:
        super().__init__()
        n_in = check_sizes(n_fields, n_factors, n_dense)
        self.n_dense = n_dense
        self.deep = deep_part(n_in, hidden, dropout, activation, batch_norm)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        return self.bias + x.linear + score(self.deep, flat(x, self.n_dense))
