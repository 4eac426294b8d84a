"""A linear map, and relu behind it, by the faster of the two libraries that PyTorch has for it on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (everybody's name for it)
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def linear(x: Tensor, W: Tensor, b: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """Return x W^T + b, (batch, n_out), or relu of it, for x (batch, n_in) and W (n_out, n_in).

    In float32 on a CPU by oneDNN, relu included: PyTorch takes MKL, which reaches 78 to 96 GFLOP/s on a core of an AMD
    Zen 4 where oneDNN reaches 100 to 109 (docs/benchmarks.md). Derivatives of derivatives are PyTorch's only.
    """
    if takes(x, W):
        return _Linear.apply(x, W, b, relu)  # type: ignore[no-untyped-call, no-any-return]
    out = F.linear(x, W, b)
    return F.relu(out) if relu else out


def takes(x: Tensor, W: Tensor) -> bool:
    """Whether ``linear`` goes through oneDNN."""
    return (
        x.dim() == 2
        and x.dtype == W.dtype == torch.float32
        and x.device.type == "cpu"
        and len(x) > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _product(x: Tensor, W: Tensor, b: Tensor | None = None, after: str = "none") -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, W, b, after, [], "")
    return out


class Linear(nn.Linear):
    """``torch.nn.Linear`` by ``linear``: (batch, n_in) -> (batch, n_out), with ``relu`` behind it where asked for."""

    def __init__(self, n_in: int, n_out: int, *, bias: bool = True, relu: bool = False) -> None:
        super().__init__(n_in, n_out, bias=bias)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map the rows of ``x``."""
        return linear(x, self.weight, self.bias, relu=self.relu)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor | None, relu: bool) -> Tensor:
        out = _product(x, W, b, "relu" if relu else "none")
        ctx.relu, ctx.has_bias = relu, b is not None
        ctx.save_for_backward(x, W, *([out] if relu else []))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, W, *out = ctx.saved_tensors
        if ctx.relu:
            g = torch.ops.aten.threshold_backward(g, out[0], 0)
        wants_x, wants_W, wants_b, _ = ctx.needs_input_grad
        d_x = _product(g, W.T) if wants_x else None
        d_W = g.T @ x if wants_W else None
        d_b = g.sum(0) if wants_b and ctx.has_bias else None
        return d_x, d_W, d_b, None
