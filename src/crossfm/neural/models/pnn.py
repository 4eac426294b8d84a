"""Product-based neural networks: inner (IPNN) and outer (OPNN) products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from crossfm.neural.features import Features
from crossfm.neural.layers.checks import check_flag
from crossfm.neural.layers.products import InnerProduct, OuterProduct
from crossfm.neural.model import Model
from crossfm.neural.models.inputs import HIDDEN, check_sizes, deep_part, flat, part, score


class _PNN(Model):
    """y = bias + MLP of the embeddings, the dense values and the products of pairs."""

    uses: ClassVar[frozenset[str]] = frozenset({"embedded", "dense"})

    def __init__(
        self,
        product: InnerProduct | OuterProduct,
        n_in: int,
        n_dense: int,
        hidden: Sequence[int],
        dropout: float | Sequence[float],
        activation: str,
        batch_norm: bool,
        linear: bool,
    ) -> None:
        super().__init__()
        self.product = product
        self.n_dense, self.linear = n_dense, check_flag("linear", linear)
        n_all = n_in + product.n_out
        self.deep = deep_part(n_all, hidden, dropout, activation, batch_norm, always=True)

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        products: Tensor = self.product(part(x, "embedded"))
        out = self.bias + score(self.deep, torch.cat([flat(x, self.n_dense), products], dim=1))
        return out + x.linear if self.linear else out


class IPNN(_PNN):
    """y = bias + MLP of the embeddings, the dense values and <v_i, v_j> of all pairs of fields.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        None of them: a linear map of the inputs.
    dropout : float or list of float, default=0
    activation : str, default="relu"
    batch_norm : bool, default=False
    linear : bool, default=False
        Add sum_i w_i x_i, which the paper does not have.

    References
    ----------
    Y. Qu et al. Product-based Neural Networks for User Response Prediction. ICDM 2016, section III.B. Ours: the weights
    of the products are not factorized; the products are inputs beside the embeddings, as in the authors' longer paper
    (ACM TOIS 37(1), 2018).
    """

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
        linear: bool = False,
    ) -> None:
        n_in = check_sizes(n_fields, n_factors, n_dense)
        product = InnerProduct(n_fields)
        super().__init__(product, n_in, n_dense, hidden, dropout, activation, batch_norm, linear)


class OPNN(_PNN):
    """y = bias + MLP of the embeddings, the dense values and outer products of fields.

    Parameters
    ----------
    n_fields, n_factors : int
    n_dense : int, default=0
    hidden : list of int, default=(256, 128)
        None of them: a linear map of the inputs.
    dropout : float or list of float, default=0
    activation : str, default="relu"
    batch_norm : bool, default=False
    linear : bool, default=False
        Add sum_i w_i x_i, which the paper does not have.
    form : {"kernel", "superposition"}, default="kernel"
        "kernel": v_i^T K_ij v_j of all pairs of fields; "superposition": the outer product of the summed fields.

    References
    ----------
    Y. Qu et al. Product-based Neural Networks for User Response Prediction. ICDM 2016, section III.C (superposition),
    and ACM TOIS 37(1), 2018 (kernel).
    """

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
        linear: bool = False,
        form: str = "kernel",
    ) -> None:
        n_in = check_sizes(n_fields, n_factors, n_dense)
        product = OuterProduct(n_fields, n_factors, form=form)
        super().__init__(product, n_in, n_dense, hidden, dropout, activation, batch_norm, linear)
