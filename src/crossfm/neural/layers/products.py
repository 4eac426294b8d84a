"""Products of pairs of fields as inputs of further layers: PNN's inner and outer product."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossfm.core.options import check_choice, check_count
from crossfm.neural.layers.checks import check_shape, field_pairs
from crossfm.neural.layers.pairs import turned_pairs
from crossfm.neural.layers.pieces import in_pieces

FORMS = ("superposition", "kernel")


class InnerProduct(nn.Module):
    """<v_i, v_j> for all i < j: (batch, n_fields, dim) -> (batch, n_pairs).

    Qu et al., Product-based Neural Networks for User Response Prediction, ICDM 2016, section III.B. Pairs come in the
    order (0, 1), (0, 2), ..., (1, 2), ...; the paper lists (i, j), (j, i) and (i, i) too, the first two of which are
    equal.

    Parameters
    ----------
    n_fields : int
    """

    pairs: Tensor

    def __init__(self, n_fields: int) -> None:
        super().__init__()
        self.n_fields = check_count("n_fields", n_fields, low=1)
        self.register_buffer("pairs", field_pairs(self.n_fields), persistent=False)
        self.n_out = self.pairs.shape[1]

    def forward(self, v: Tensor) -> Tensor:
        """Multiply the pairs."""
        check_shape(v, "v", n_fields=self.n_fields, dim=None)
        i, j = self.pairs
        return (v @ v.transpose(1, 2)).flatten(1).index_select(1, i * self.n_fields + j)


class OuterProduct(nn.Module):
    """Outer products of fields, made small in one of two ways.

    Parameters
    ----------
    n_fields, dim : int
    form : {"superposition", "kernel"}, default="superposition"
        "superposition": the outer product of the summed fields, (sum_i v_i)(sum_i v_i)^T, row by row:
        (batch, n_fields, dim) -> (batch, dim * dim). Qu et al., ICDM 2016, section III.C.
        "kernel": v_i^T K_ij v_j for all i < j, a learned weighting of each pair's outer product:
        (batch, n_fields, dim) -> (batch, n_pairs). Qu et al., ACM TOIS 37(1), 2018.

    Attributes
    ----------
    K : parameter (n_pairs, dim, dim) or None
        Starts at the identity (the inner product) plus noise of deviation 0.01: our choice.
    """

    def __init__(self, n_fields: int, dim: int, *, form: str = "superposition") -> None:
        super().__init__()
        self.n_fields = check_count("n_fields", n_fields, low=1)
        self.dim = check_count("dim", dim, low=1)
        self.form = check_choice("form", form, FORMS)
        n_pairs = self.n_fields * (self.n_fields - 1) // 2
        self.n_out = n_pairs if form == "kernel" else self.dim**2
        self.K = None
        if form == "kernel":
            noise = 0.01 * torch.randn(n_pairs, self.dim, self.dim)
            self.K = nn.Parameter(torch.eye(self.dim) + noise)

    def forward(self, v: Tensor) -> Tensor:
        """Multiply the pairs."""
        check_shape(v, "v", n_fields=self.n_fields, dim=self.dim)
        K = self.K
        if K is None:
            total = v.sum(dim=1)
            return (total.unsqueeze(2) * total.unsqueeze(1)).flatten(1)
        return in_pieces(lambda some: turned_pairs(some, K).sum(dim=2), len(K) * self.dim, v)
