"""Attention over pairs of fields (AFM) and over fields (AutoInt)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (everybody's name for it)
from torch import Tensor, nn

from crossfm.core.options import check_count
from crossfm.neural.layers.checks import check_flag, check_rates, check_shape
from crossfm.neural.layers.pairs import pair_products
from crossfm.neural.layers.pieces import in_pieces


class AttentionalPooling(nn.Module):
    """sum_{i<j} a_ij v_i * v_j with attention a_ij: (batch, n_fields, dim) -> (batch, dim).

    a = softmax over the pairs of h^T relu(W (v_i * v_j) + b). Xiao et al., Attentional Factorization Machines,
    IJCAI 2017, eq. (4) and (5).

    Parameters
    ----------
    n_fields, dim : int
    attention_dim : int, default=16
        Rows of ``W``, the paper's t.

    Attributes
    ----------
    W : parameter (attention_dim, dim)
    b, h : parameters (attention_dim,)
    """

    def __init__(self, n_fields: int, dim: int, attention_dim: int = 16) -> None:
        super().__init__()
        self.n_fields = check_count("n_fields", n_fields, low=1)
        self.dim = check_count("dim", dim, low=1)
        t = check_count("attention_dim", attention_dim, low=1)
        self.n_cells = self.n_fields * (self.n_fields - 1) // 2 * max(self.dim, t)
        self.W = nn.Parameter(nn.init.xavier_uniform_(torch.empty(t, self.dim)))
        self.b = nn.Parameter(torch.zeros(t))
        self.h = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, t))[0])

    def attention(self, products: Tensor) -> Tensor:
        """Return a (batch, n_pairs) of pairs' products (batch, n_pairs, dim)."""
        hidden = F.relu(F.linear(products, self.W, self.b))
        return torch.softmax(hidden @ self.h, dim=1)

    def forward(self, v: Tensor) -> Tensor:
        """Pool the pairs; 0 where there is one field only."""
        check_shape(v, "v", n_fields=self.n_fields, dim=self.dim)
        return in_pieces(self._pooled, self.n_cells, v)

    def _pooled(self, v: Tensor) -> Tensor:
        products = pair_products(v, v)
        return (self.attention(products).unsqueeze(2) * products).sum(dim=1)


class SelfAttention(nn.Module):
    """AutoInt's interacting layer: (batch, n_fields, dim) -> (batch, n_fields, n_heads * attention_dim).

    In each head field m becomes sum_k a_mk W_value e_k with a_mk = softmax over k of <W_query e_m, W_key e_k>; heads
    are put side by side, W_res e_m is added, and relu follows. Song et al., AutoInt, CIKM 2019, eq. (5) to (8).

    Parameters
    ----------
    dim : int
    attention_dim : int, default=16
        Width of a head, the paper's d'.
    n_heads : int, default=2
    residual : bool, default=True
    scale : bool, default=False
        Divide the inner products by sqrt(attention_dim), as Vaswani et al. (2017) do and the paper does not.
    dropout : float, default=0
        On the attention weights.

    Attributes
    ----------
    query, key, value : parameters (n_heads * attention_dim, dim)
        Rows of head 0, then of head 1, and so on.
    res : parameter (n_heads * attention_dim, dim) or None
    """

    def __init__(
        self,
        dim: int,
        attention_dim: int = 16,
        *,
        n_heads: int = 2,
        residual: bool = True,
        scale: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim = check_count("dim", dim, low=1)
        self.n_heads = check_count("n_heads", n_heads, low=1)
        d = check_count("attention_dim", attention_dim, low=1)
        self.n_out = self.n_heads * d
        self.factor = d**-0.5 if check_flag("scale", scale) else 1.0
        (self.dropout,) = check_rates("dropout", dropout, 1)
        self.query, self.key, self.value = (nn.Parameter(self._start()) for _ in range(3))
        self.res = nn.Parameter(self._start()) if check_flag("residual", residual) else None

    def _start(self) -> Tensor:
        return nn.init.xavier_uniform_(torch.empty(self.n_out, self.dim))

    def _heads(self, v: Tensor, matrix: Tensor) -> Tensor:
        """Return (batch, n_heads, n_fields, attention_dim)."""
        shape = (*v.shape[:2], self.n_heads, self.n_out // self.n_heads)
        return (v @ matrix.T).reshape(shape).transpose(1, 2)

    def forward(self, v: Tensor) -> Tensor:
        """Let the fields attend to each other."""
        check_shape(v, "v", n_fields=None, dim=self.dim)
        q, k, value = (self._heads(v, matrix) for matrix in (self.query, self.key, self.value))
        rate = self.dropout if self.training else 0.0
        heads = F.scaled_dot_product_attention(q, k, value, dropout_p=rate, scale=self.factor)
        out = heads.transpose(1, 2).flatten(2)
        return F.relu(out if self.res is None else out + v @ self.res.T)
