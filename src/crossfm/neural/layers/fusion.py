"""FinalMLP's two layers: a gate that picks inputs for a stream, and a bilinear meeting of two streams."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crossfm.core.options import check_count
from crossfm.errors import OptionError
from crossfm.neural.layers.checks import check_shape
from crossfm.neural.layers.mlp import MLP


class FeatureGate(nn.Module):
    """2 sigmoid(g) * x: (batch, n_in), (batch, n_context) -> (batch, n_in).

    g is an MLP of the context. Mao et al., FinalMLP, AAAI 2023, stream-specific feature selection. Where there is no
    context, the paper feeds the MLP a learned constant, whose image is a learned constant too; here g is that
    constant. The gate starts at about 1 with a context and at 1 without.

    Parameters
    ----------
    n_in : int
    n_context : int, default=0
    hidden : list of int, default=(64,)
        Of the gate's MLP.

    Attributes
    ----------
    g : parameter (n_in,) or None
        Where there is no context.
    """

    def __init__(self, n_in: int, n_context: int = 0, *, hidden: Sequence[int] = (64,)) -> None:
        super().__init__()
        self.n_in = check_count("n_in", n_in, low=1)
        self.n_context = check_count("n_context", n_context)
        self.g = None if n_context else nn.Parameter(torch.zeros(self.n_in))
        self.mlp = MLP(self.n_context, hidden, n_out=self.n_in) if n_context else None

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Scale each input by 0 to 2."""
        check_shape(x, "x", n_in=self.n_in)
        if self.mlp is None:
            assert self.g is not None
            return x * (2.0 * torch.sigmoid(self.g))
        if context is None:
            raise OptionError(f"this FeatureGate needs a context (batch, {self.n_context})")
        g: Tensor = self.mlp(context)
        return x * (2.0 * torch.sigmoid(g))


class BilinearFusion(nn.Module):
    """<w_1, o_1> + <w_2, o_2> + o_1^T W o_2: (batch, n_left), (batch, n_right) -> (batch, 1).

    With several heads o_1 and o_2 are cut into as many equal parts, and part k of one meets part k of the other. Mao
    et al., FinalMLP, AAAI 2023, stream-level fusion; the constant b is left to the model.

    Parameters
    ----------
    n_left, n_right : int
    n_heads : int, default=1
        Divides both.

    Attributes
    ----------
    w_left, w_right : parameters (n_left,), (n_right,)
    W : parameter (n_heads, n_left / n_heads, n_right / n_heads)
        Starts so that streams of unit variance give a product of unit variance: our choice.
    """

    def __init__(self, n_left: int, n_right: int, *, n_heads: int = 1) -> None:
        super().__init__()
        self.n_left = check_count("n_left", n_left, low=1)
        self.n_right = check_count("n_right", n_right, low=1)
        self.n_heads = check_count("n_heads", n_heads, low=1)
        if n_left % n_heads or n_right % n_heads:
            raise OptionError(
                f"n_heads={n_heads}, but it must divide both streams' widths, {n_left} and {n_right}"
            )
        self.w_left, self.w_right = (
            nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, n))[0]) for n in (n_left, n_right)
        )
        scale = (n_heads / (n_left * n_right)) ** 0.5
        self.W = nn.Parameter(scale * torch.randn(n_heads, n_left // n_heads, n_right // n_heads))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Let the streams meet."""
        check_shape(left, "left", n_left=self.n_left)
        check_shape(right, "right", n_right=self.n_right)
        cut_left = left.reshape(len(left), self.n_heads, self.n_left // self.n_heads)
        cut_right = right.reshape(len(right), self.n_heads, self.n_right // self.n_heads)
        met = torch.einsum("bhl,hlr,bhr->b", cut_left, self.W, cut_right)
        return (left @ self.w_left + right @ self.w_right + met).unsqueeze(1)
