"""Cross networks: DCN's vector form, DCN-V2's matrix form, and its mixture of low-rank experts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossfm.core.options import check_count
from crossfm.neural.layers.checks import check_shape
from crossfm.neural.layers.linear import linear
from crossfm.neural.layers.mlp import activation_named


class CrossNetwork(nn.Module):
    """x_{l+1} = x_0 <x_l, w_l> + b_l + x_l: (batch, n_in) -> (batch, n_in).

    Wang et al., Deep & Cross Network, ADKDD 2017, eq. (3).

    Parameters
    ----------
    n_in : int
    n_layers : int, default=3
        0 gives the input back.

    Attributes
    ----------
    w, b : parameters (n_layers, n_in)
    """

    def __init__(self, n_in: int, n_layers: int = 3) -> None:
        super().__init__()
        self.n_in = check_count("n_in", n_in, low=1)
        self.n_layers = check_count("n_layers", n_layers)
        self.w = nn.Parameter(_glorot(self.n_layers, self.n_in, 1).squeeze(2))
        self.b = nn.Parameter(torch.zeros(self.n_layers, self.n_in))

    def forward(self, x: Tensor) -> Tensor:
        """Cross the input with itself ``n_layers`` times."""
        first = now = check_shape(x, "x", n_in=self.n_in)
        for w, b in zip(self.w, self.b, strict=True):
            now = first * (now @ w).unsqueeze(1) + b + now
        return now


class CrossNetworkV2(nn.Module):
    """x_{l+1} = x_0 * (W_l x_l + b_l) + x_l: (batch, n_in) -> (batch, n_in).

    Wang et al., DCN V2, WWW 2021, eq. (1); with ``rank`` W_l = U_l V_l^T, eq. (2).

    Parameters
    ----------
    n_in : int
    n_layers : int, default=3
        0 gives the input back.
    rank : int or None, default=None
        Columns of ``U`` and ``V``; None takes full matrices.

    Attributes
    ----------
    W : parameter (n_layers, n_in, n_in), or None with ``rank``
    U, V : parameters (n_layers, n_in, rank), or None without
    b : parameter (n_layers, n_in)
    """

    def __init__(self, n_in: int, n_layers: int = 3, *, rank: int | None = None) -> None:
        super().__init__()
        self.n_in = check_count("n_in", n_in, low=1)
        self.n_layers = check_count("n_layers", n_layers)
        self.W = self.U = self.V = None
        if rank is None:
            self.W = nn.Parameter(_glorot(self.n_layers, self.n_in, self.n_in))
        else:
            check_count("rank", rank, low=1)
            self.U, self.V = (nn.Parameter(_glorot(self.n_layers, self.n_in, rank)) for _ in range(2))
        self.b = nn.Parameter(torch.zeros(self.n_layers, self.n_in))

    def _turned(self, layer: int, x: Tensor) -> Tensor:
        if self.W is not None:
            return linear(x, self.W[layer], self.b[layer])
        assert self.U is not None
        assert self.V is not None
        return linear(x @ self.V[layer], self.U[layer], self.b[layer])

    def forward(self, x: Tensor) -> Tensor:
        """Cross the input with itself ``n_layers`` times."""
        first = now = check_shape(x, "x", n_in=self.n_in)
        for layer in range(self.n_layers):
            now = torch.addcmul(now, first, self._turned(layer, now))
        return now


class CrossNetworkMix(nn.Module):
    """A mixture of low-rank crosses in each layer: (batch, n_in) -> (batch, n_in).

    x_{l+1} = sum_k G_k(x_l) E_k(x_l) + x_l, E_k(x) = x_0 * (U_k g(C_k g(V_k^T x)) + b). Wang et al., DCN V2, WWW 2021,
    eq. (3) and (4). The gates G are a softmax over the experts of linear scores of x_l, one of the two the paper names.

    Parameters
    ----------
    n_in : int
    n_layers : int, default=3
    rank : int, default=16
    n_experts : int, default=4
    activation : str, default="tanh"
        g.

    Attributes
    ----------
    U, V : parameters (n_layers, n_experts, n_in, rank)
    C : parameter (n_layers, n_experts, rank, rank)
    b : parameter (n_layers, n_in)
    gate : parameter (n_layers, n_experts, n_in)
    """

    def __init__(
        self, n_in: int, n_layers: int = 3, *, rank: int = 16, n_experts: int = 4, activation: str = "tanh"
    ) -> None:
        super().__init__()
        self.n_in = check_count("n_in", n_in, low=1)
        self.n_layers = check_count("n_layers", n_layers)
        check_count("rank", rank, low=1)
        check_count("n_experts", n_experts, low=1)
        self.activation = activation_named(activation)
        many = self.n_layers, n_experts
        self.U, self.V = (nn.Parameter(_glorot(*many, self.n_in, rank)) for _ in range(2))
        self.C = nn.Parameter(_glorot(*many, rank, rank))
        self.b = nn.Parameter(torch.zeros(self.n_layers, self.n_in))
        self.gate = nn.Parameter(_glorot(self.n_layers, n_experts, self.n_in))

    def forward(self, x: Tensor) -> Tensor:
        """Cross the input with itself ``n_layers`` times."""
        first = now = check_shape(x, "x", n_in=self.n_in)
        for U, V, C, b, gate in zip(self.U, self.V, self.C, self.b, self.gate, strict=True):
            inner: Tensor = self.activation(torch.einsum("bn,enr->ber", now, V))
            inner = self.activation(torch.einsum("ber,eqr->beq", inner, C))
            share = torch.softmax(now @ gate.T, dim=1)
            mixed = torch.einsum("be,ber,enr->bn", share, inner, U)  # the shares add up to 1, so b comes out
            now = first * (mixed + b) + now
        return now


def _glorot(*shape: int) -> Tensor:
    """Return matrices, on the last two axes, that start as Glorot & Bengio (AISTATS 2010) say."""
    bound = (6.0 / (shape[-2] + shape[-1])) ** 0.5
    return torch.empty(shape).uniform_(-bound, bound)
