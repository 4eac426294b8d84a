"""xDeepFM's compressed interaction network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from crossfm.core.options import check_count
from crossfm.errors import OptionError
from crossfm.neural.layers.checks import check_flag, check_shape, check_widths
from crossfm.neural.layers.mlp import activation_named
from crossfm.neural.layers.pieces import in_pieces


class CIN(nn.Module):
    """Compressed interaction network: (batch, n_fields, dim) -> (batch, n_out).

    X^0 is the input; map h of layer k is X^k_h = f(sum_ij W^k_hij X^{k-1}_i * X^0_j), element by element over dim. The
    output is the sum over dim of every map of every layer. Lian et al., xDeepFM, KDD 2018, eq. (6) to (8).

    Parameters
    ----------
    n_fields : int
    maps : list of int, default=(64, 64)
        Number of maps of each layer, the paper's H_k.
    split_half : bool, default=False
        Of all layers but the last, the first half of the maps goes on to the next layer and the second half to the
        output, as in the authors' program; False sends all to both, as in the paper.
    activation : str, default="identity"
        f; the paper finds that identity is best.

    Attributes
    ----------
    W : list of parameters (maps[k], n_maps_before * n_fields)
        Column i * n_fields + j is the pair (X^{k-1}_i, X^0_j).
    n_out : int
    """

    def __init__(
        self,
        n_fields: int,
        maps: Sequence[int] = (64, 64),
        *,
        split_half: bool = False,
        activation: str = "identity",
    ) -> None:
        super().__init__()
        self.n_fields = check_count("n_fields", n_fields, low=1)
        self.maps = check_widths("maps", maps)
        check_flag("split_half", split_half)
        if split_half and any(width % 2 for width in self.maps[:-1]):
            raise OptionError(f"maps={list(self.maps)}, but split_half needs even numbers before the last")
        self.activation = activation_named(activation)
        self.W = nn.ParameterList()
        self.kept: list[tuple[int, int]] = []  # of each layer: maps that go on, first map that goes out
        before, self.n_out = self.n_fields, 0
        for k, width in enumerate(self.maps):
            self.W.append(nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, before * self.n_fields))))
            split = split_half and k < len(self.maps) - 1
            on, out = (width // 2, width // 2) if split else (width, 0)
            self.kept.append((on, out))
            before, self.n_out = on, self.n_out + width - out

    def forward(self, v: Tensor) -> Tensor:
        """Return the pooled maps."""
        check_shape(v, "v", n_fields=self.n_fields, dim=None)
        first = v.transpose(1, 2)  # (batch, dim, n_fields)
        now, pooled = first, [v.new_zeros(v.shape[0], 0)]
        for W, (on, out) in zip(self.W, self.kept, strict=True):
            maps: Tensor = self.activation(
                in_pieces(partial(_mapped, W), W.shape[1] * first.shape[1], now, first)
            )
            pooled.append(maps[:, :, out:].sum(dim=1))
            now = maps[:, :, :on]
        return torch.cat(pooled, dim=1)


def _mapped(W: Tensor, now: Tensor, first: Tensor) -> Tensor:
    """Return sum_ij W_hij now_i first_j, (batch, dim, n_maps), for each element of dim, the second axis of all."""
    return (now.unsqueeze(3) * first.unsqueeze(2)).flatten(2) @ W.T
