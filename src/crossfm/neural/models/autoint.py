"""AutoInt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from crossfm.core.options import check_count
from crossfm.neural.features import Features
from crossfm.neural.layers.attention import SelfAttention
from crossfm.neural.layers.checks import check_flag
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, check_sizes, deep_part, flat, part, score


class AutoInt(Model):
    """y = bias + <w, self-attention layers over the fields> + MLP of the embeddings and the dense values.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
        Read by the deep part.
    hidden : list of int, default=(256, 128)
        With hidden layers it is the paper's AutoInt+; none of them: AutoInt.
    dropout : float or list of float, default=0
        On the hidden layers.
    activation : str, default="relu"
        Of the hidden layers.
    batch_norm : bool, default=False
    n_attention : int, default=3
        Attention layers; with 0 the embeddings themselves take their place.
    n_heads : int, default=2
    attention_dim : int, default=16
        Width of a head. The paper has 32.
    residual : bool, default=True
    scale : bool, default=False
        Divide the inner products by sqrt(attention_dim); the paper does not.
    attention_dropout : float, default=0
    linear : bool, default=False
        Add sum_i w_i x_i, which the paper does not have.

    References
    ----------
    W. Song et al. AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks. CIKM 2019,
    eq. (5) to (9).
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
        n_attention: int = 3,
        n_heads: int = 2,
        attention_dim: int = 16,
        residual: bool = True,
        scale: bool = False,
        attention_dropout: float = 0.0,
        linear: bool = False,
    ) -> None:
        super().__init__()
        n_in = check_sizes(n_fields, n_factors, n_dense)
        self.n_dense, self.linear = n_dense, check_flag("linear", linear)
        layers: list[nn.Module] = []
        dim = n_factors
        for _ in range(check_count("n_attention", n_attention)):
            layer = SelfAttention(
                dim,
                attention_dim,
                n_heads=n_heads,
                residual=residual,
                scale=scale,
                dropout=attention_dropout,
            )
            layers.append(layer)
            dim = layer.n_out
        self.attention = nn.Sequential(*layers)
        self.out = deep_part(n_fields * dim, (), 0.0, "identity", False, always=True)
        self.deep = deep_part(n_in, hidden, dropout, activation, batch_norm)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        attended: Tensor = self.attention(part(x, "embedded"))
        out = self.bias + score(self.out, attended.flatten(1))
        if self.deep is not None:
            out = out + score(self.deep, flat(x, self.n_dense))
        return out + x.linear if self.linear else out
