"""DCN-V2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from crossfm.core.options import check_choice, check_count
from crossfm.errors import OptionError
from crossfm.neural.features import Features
from crossfm.neural.layers.checks import check_flag
from crossfm.neural.layers.cross import CrossNetworkMix, CrossNetworkV2
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, check_sizes, deep_part, flat, score


class DCNv2(Model):
    """Cross layers with matrices, before an MLP or beside it, of the embeddings and the dense values.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        None of them: the cross network alone, whichever the structure.
    dropout : float or list of float, default=0
    activation : str, default="relu"
    batch_norm : bool, default=False
    structure : {"parallel", "stacked"}, default="parallel"
        "parallel": y = bias + <w, [cross network, MLP]>; "stacked": y = bias + MLP(cross network).
    n_cross : int, default=3
        Cross layers; with 0 the cross network is its input.
    rank : int or None, default=None
        Of the matrices; None: full.
    n_experts : int, default=1
        More than 1: each layer is a mixture of so many low-rank crosses with tanh between, which needs ``rank``.
    linear : bool, default=False
        Add sum_i w_i x_i, which the paper does not have.

    References
    ----------
    R. Wang et al. DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank Systems.
    WWW 2021, section 3.
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
        structure: str = "parallel",
        n_cross: int = 3,
        rank: int | None = None,
        n_experts: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        n_in = check_sizes(n_fields, n_factors, n_dense)
        self.n_dense, self.linear = n_dense, check_flag("linear", linear)
        self.structure = check_choice("structure", structure, ("parallel", "stacked"))
        self.cross = _cross(n_in, n_cross, rank, n_experts)
        self.deep = deep_part(n_in, hidden, dropout, activation, batch_norm)
        alone = structure == "parallel" or self.deep is None
        self.out = deep_part(n_in if alone else 0, (), 0.0, "identity", False, always=True)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        inputs = flat(x, self.n_dense)
        crossed: Tensor = self.cross(inputs)
        deep = score(self.deep, crossed if self.structure == "stacked" else inputs)
        out = self.bias + score(self.out, crossed) + deep
        return out + x.linear if self.linear else out


def _cross(n_in: int, n_cross: int, rank: int | None, n_experts: int) -> CrossNetworkV2 | CrossNetworkMix:
    if check_count("n_experts", n_experts, low=1) == 1:
        return CrossNetworkV2(n_in, n_cross, rank=rank)
    if rank is None:
        raise OptionError(
            f"n_experts={n_experts} needs a rank: a mixture has low-rank matrices, such as rank=32"
        )
    return CrossNetworkMix(n_in, n_cross, rank=rank, n_experts=n_experts)
