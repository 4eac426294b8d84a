"""FiBiNET's two layers: which fields matter, and products of fields with a matrix between."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (everybody's name for it)
from torch import Tensor, nn

from crossfm.core.options import check_choice, check_count
from crossfm.neural.layers.checks import check_shape
from crossfm.neural.layers.pairs import pair_products, turned_pairs

FORMS = ("all", "each", "interaction")


class SENet(nn.Module):
    """Weigh each field by what all fields are: (batch, n_fields, dim) -> (batch, n_fields, dim).

    z_i is the mean of v_i, a = relu(W_2 relu(W_1 z)), and the output a_i v_i. Huang et al., FiBiNET, RecSys 2019,
    section 3.2.

    Parameters
    ----------
    n_fields : int
    reduction : int, default=3
        The hidden layer has n_fields / reduction units, rounded down, at least 1.

    Attributes
    ----------
    W1 : parameter (n_fields / reduction, n_fields)
    W2 : parameter (n_fields, n_fields / reduction)
    """

    def __init__(self, n_fields: int, reduction: int = 3) -> None:
        super().__init__()
        self.n_fields = check_count("n_fields", n_fields, low=1)
        width = max(self.n_fields // check_count("reduction", reduction, low=1), 1)
        self.W1 = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, self.n_fields)))
        self.W2 = nn.Parameter(nn.init.xavier_uniform_(torch.empty(self.n_fields, width)))

    def forward(self, v: Tensor) -> Tensor:
        """Weigh the fields."""
        check_shape(v, "v", n_fields=self.n_fields, dim=None)
        a = F.relu(F.relu(v.mean(dim=2) @ self.W1.T) @ self.W2.T)
        return v * a.unsqueeze(2)


class BilinearInteraction(nn.Module):
    """(v_i W) * v_j for all i < j: (batch, n_fields, dim) -> (batch, n_pairs, dim).

    Huang et al., FiBiNET, RecSys 2019, section 3.3.

    Parameters
    ----------
    n_fields, dim : int
    form : {"all", "each", "interaction"}, default="each"
        One W for all fields, one for each field i, or one for each pair.

    Attributes
    ----------
    W : parameter (1, dim, dim), (n_fields - 1, dim, dim) or (n_pairs, dim, dim)
        The last field is never the first of a pair, so it has none.
    """

    def __init__(self, n_fields: int, dim: int, *, form: str = "each") -> None:
        super().__init__()
        self.n_fields = check_count("n_fields", n_fields, low=1)
        self.dim = check_count("dim", dim, low=1)
        self.form = check_choice("form", form, FORMS)
        self.n_pairs = self.n_fields * (self.n_fields - 1) // 2
        n_matrices = {"all": 1, "each": self.n_fields - 1, "interaction": self.n_pairs}[form]
        bound = (3.0 / self.dim) ** 0.5  # Glorot & Bengio (AISTATS 2010)
        self.W = nn.Parameter(torch.empty(n_matrices, self.dim, self.dim).uniform_(-bound, bound))

    def forward(self, v: Tensor) -> Tensor:
        """Multiply the pairs."""
        check_shape(v, "v", n_fields=self.n_fields, dim=self.dim)
        if self.form == "interaction":
            return turned_pairs(v, self.W)
        left = v @ self.W[0] if self.form == "all" else torch.einsum("bfd,fde->bfe", v[:, :-1], self.W)
        return pair_products(left, v)
