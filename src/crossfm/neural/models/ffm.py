"""Field-aware factorization machine."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.layers.pairs import FieldAwareInteraction
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import check_sizes, part


class FFM(Model):
    """y = bias + sum_i w_i x_i + sum_{a<b} <v_{a,b}, v_{b,a}>, where v_{a,b} is how field a meets field b.

    Parameters
    ----------
    n_fields, n_factors : int
        A feature's embedding holds n_fields vectors of n_factors numbers: the one for field 0 first.
    n_dense : int, default=0
        Not read: numbers take part by their embeddings.

    References
    ----------
    Y. Juan, Y. Zhuang, W.-S. Chin, C.-J. Lin. Field-aware Factorization Machines for CTR Prediction. RecSys 2016,
    eq. (4). Ours: bias and linear part; features of one field are summed and do not meet each other (the compiled
    ``FFMClassifier`` lets them meet, as libffm does: the two agree where a row has one feature a field).
    """

    uses: ClassVar[frozenset[str]] = frozenset({"embedded"})

    def __init__(self, n_fields: int, n_factors: int, *, n_dense: int = 0) -> None:
        super().__init__()
        check_sizes(n_fields, n_factors, n_dense)
        self.n_fields, self.n_factors = n_fields, n_factors
        self.interaction = FieldAwareInteraction()

    @classmethod
    def embedding_dim(cls, n_fields: int, n_factors: int) -> int:
        """Return n_fields * n_factors: a vector for each field to meet."""
        return n_fields * n_factors

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        v = part(x, "embedded")
        v = v.reshape(v.shape[0], self.n_fields, self.n_fields, self.n_factors)
        pairs: Tensor = self.interaction(v)
        return self.bias + x.linear + pairs.squeeze(1)
