"""xDeepFM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from crossfm.neural.features import Features
from crossfm.neural.layers.cin import CIN
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, check_sizes, deep_part, flat, part, score


class XDeepFM(Model):
    """y = bias + sum_i w_i x_i + <w_cin, CIN of the embeddings> + MLP of the embeddings and the dense values.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        None of them: no deep part.
    dropout : float or list of float, default=0
        On the hidden layers.
    activation : str, default="relu"
        Of the hidden layers.
    batch_norm : bool, default=False
    cin : list of int, default=(64, 64)
        Maps of each CIN layer; none of them: no CIN, which is Wide & Deep. The paper has three layers of 200.
    split_half : bool, default=True
        Half of a layer's maps goes on, half to the output, as in the authors' program and at about half the cost.
    cin_activation : str, default="identity"

    References
    ----------
    J. Lian et al. xDeepFM: Combining Explicit and Implicit Feature Interactions for Recommender Systems. KDD 2018,
    eq. (6) to (8) and (15).
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
        cin: Sequence[int] = (64, 64),
        split_half: bool = True,
        cin_activation: str = "identity",
    ) -> None:
        super().__init__()
        n_in = check_sizes(n_fields, n_factors, n_dense)
        self.n_dense = n_dense
        self.deep = deep_part(n_in, hidden, dropout, activation, batch_norm)
        layers = CIN(n_fields, cin, split_half=split_half, activation=cin_activation)
        self.cin = nn.Sequential(layers, nn.Linear(layers.n_out, 1, bias=False)) if len(cin) else None

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        out = self.bias + x.linear + score(self.deep, flat(x, self.n_dense))
        if self.cin is None:
            return out
        explicit: Tensor = self.cin(part(x, "embedded"))
        return out + explicit.squeeze(1)
