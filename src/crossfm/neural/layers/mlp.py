"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F  # noqa: N812 (everybody's name for it)
from torch import Tensor, nn

from crossfm.core.options import check_choice, check_count
from crossfm.neural.layers.checks import check_flag, check_rates, check_shape, check_widths
from crossfm.neural.layers.dropout import Dropout
from crossfm.neural.layers.linear import Linear

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
_SATURATING = ("tanh", "sigmoid", "identity")


def activation_named(name: Any) -> nn.Module:
    """Return a new activation module, or raise ``OptionError``."""
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)]()


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization that takes the running moments where a training batch has one row.

    (batch, n) -> (batch, n). Ioffe & Szegedy, ICML 2015. One row has no variance: PyTorch's layer raises, and an
    epoch whose last batch is one row would end there.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each column."""
        if self.training and x.shape[0] < 2:
            moments = self.running_mean, self.running_var
            return F.batch_norm(x, *moments, self.weight, self.bias, training=False, eps=self.eps)
        return super().forward(x)


class MLP(nn.Module):
    """Hidden layers, each linear, batch normalization, activation, dropout; then an output layer where asked for.

    (batch, n_in) -> (batch, n_out), or (batch, hidden[-1]) without an output layer.

    Parameters
    ----------
    n_in : int
    hidden : list of int, default=()
        Width of each hidden layer; none is allowed.
    dropout : float or list of float, default=0
        Share of each hidden layer's outputs that is dropped in training.
    activation : {"relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "identity"}, default="relu"
    batch_norm : bool, default=False
        Normalize between a hidden layer's linear map and its activation.
    n_out : int or None, default=None
        Width of the output layer, which has no activation; None leaves it out.
    out_bias : bool, default=True
        Whether the output layer has a bias.

    Notes
    -----
    Hidden weights start as He et al. (ICCV 2015) say for the family of relu, as Glorot & Bengio (AISTATS 2010) say for
    tanh, sigmoid and identity; their biases start at 0. The output layer starts as PyTorch's, uniform below
    1 / sqrt(its inputs): inputs of size 1 give small outputs, so a new model's first loss is that of knowing nothing.
    """

    def __init__(
        self,
        n_in: int,
        hidden: Sequence[int] = (),
        *,
        dropout: float | Sequence[float] = 0.0,
        activation: str = "relu",
        batch_norm: bool = False,
        n_out: int | None = None,
        out_bias: bool = True,
    ) -> None:
        super().__init__()
        self.n_in = check_count("n_in", n_in, low=1)
        widths = check_widths("hidden", hidden)
        rates = check_rates("dropout", dropout, len(widths))
        check_choice("activation", activation, ACTIVATIONS)
        check_flag("batch_norm", batch_norm)
        layers: list[nn.Module] = []
        before = self.n_in
        for width, rate in zip(widths, rates, strict=True):
            at_once = activation == "relu" and not batch_norm
            layers.append(_start(Linear(before, width, relu=at_once), activation))
            layers += [BatchNorm(width)] if batch_norm else []
            layers += [] if at_once else [activation_named(activation)]
            layers += [Dropout(rate)] if rate else []
            before = width
        self.n_out = before
        if n_out is not None:
            self.n_out = check_count("n_out", n_out, low=1)
            layers.append(Linear(before, self.n_out, bias=out_bias))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, n_in) to (batch, self.n_out)."""
        out: Tensor = self.layers(check_shape(x, "x", n_in=self.n_in))
        return out


def _start(layer: Linear, activation: str) -> Linear:
    if activation in _SATURATING:
        nn.init.xavier_uniform_(layer.weight)
    else:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer
