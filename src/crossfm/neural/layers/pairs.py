"""Sums over pairs of fields: FM, Bi-Interaction, FFM, FwFM.

Each takes embeddings that are multiplied by their values already.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossfm.core.options import check_count
from crossfm.neural.layers.checks import check_shape, field_pairs


def _pooled(v: Tensor) -> Tensor:
    check_shape(v, "v", n_fields=None, dim=None)
    total = v.sum(dim=1)
    return 0.5 * (total * total - (v * v).sum(dim=1))


def pair_products(left: Tensor, right: Tensor) -> Tensor:
    """Return left_i * right_j of the pairs i < j of fields, (batch, n_pairs, dim), in the order of ``field_pairs``.

    ``left`` (batch, n_fields - 1 or more, dim), ``right`` (batch, n_fields, dim). Slices, as the way back of an index
    adds up number by number.
    """
    n_fields = right.shape[1]
    if n_fields < 2:
        return right.new_zeros(right.shape[0], 0, right.shape[2])
    return torch.cat([left[:, i : i + 1] * right[:, i + 1 :] for i in range(n_fields - 1)], dim=1)


def turned_pairs(v: Tensor, W: Tensor) -> Tensor:
    """Return (v_i W_ij) * v_j of the pairs i < j of fields, (batch, n_pairs, dim), for W (n_pairs, dim, dim)."""
    n_fields = v.shape[1]
    turned, rest = [v.new_zeros(v.shape[0], 0)], W
    for i in range(n_fields - 1):
        own, rest = rest[: n_fields - 1 - i], rest[n_fields - 1 - i :]
        turned.append(v[:, i] @ own.transpose(0, 1).flatten(1))  # of all pairs (i, j) in one product
    right = torch.cat([v[:, i + 1 :] for i in range(n_fields)], dim=1)
    return torch.cat(turned, dim=1).reshape(right.shape) * right


class BiInteraction(nn.Module):
    """sum_{i<j} v_i * v_j, element by element: (batch, n_fields, dim) -> (batch, dim).

    He & Chua, Neural Factorization Machines, SIGIR 2017, eq. (3), computed by eq. (4): half of the square of the sum
    minus the sum of the squares, over fields.
    """

    def forward(self, v: Tensor) -> Tensor:
        """Pool the pairs."""
        return _pooled(v)


class FactorizationMachine(nn.Module):
    """sum_{i<j} <v_i, v_j>: (batch, n_fields, dim) -> (batch, 1).

    Rendle, Factorization Machines, ICDM 2010, eq. (1) without bias and linear part, by Lemma 3.1.
    """

    def forward(self, v: Tensor) -> Tensor:
        """Sum the pairs."""
        return _pooled(v).sum(dim=1, keepdim=True)


class FieldAwareInteraction(nn.Module):
    """sum_{i<j} <v_{i,j}, v_{j,i}>: (batch, n_fields, n_fields, dim) -> (batch, 1).

    ``v[b, i, j]`` is the vector with which field i's feature meets field j; the diagonal is not read.
    Juan et al., Field-aware Factorization Machines for CTR Prediction, RecSys 2016, eq. (4).
    """

    def forward(self, v: Tensor) -> Tensor:
        """Sum the pairs."""
        check_shape(v, "v", n_fields=None, n_fields_met=v.shape[1] if v.dim() > 1 else None, dim=None)
        met = (v * v.transpose(1, 2)).sum(dim=3)
        return met.triu(diagonal=1).sum(dim=(1, 2)).unsqueeze(1)


class FieldWeightedInteraction(nn.Module):
    """sum_{i<j} r_ij <v_i, v_j>: (batch, n_fields, dim) -> (batch, 1).

    Pan et al., Field-weighted Factorization Machines, WWW 2018. ``r`` starts at 1, which is FM (our choice).

    Parameters
    ----------
    n_fields : int

    Attributes
    ----------
    r : parameter (n_pairs,)
        In the order (0, 1), (0, 2), ..., (1, 2), ...
    """

    pairs: Tensor

    def __init__(self, n_fields: int) -> None:
        super().__init__()
        self.n_fields = check_count("n_fields", n_fields, low=1)
        self.register_buffer("pairs", field_pairs(self.n_fields), persistent=False)
        self.r = nn.Parameter(torch.ones(self.pairs.shape[1]))

    def matrix(self) -> Tensor:
        """Return r above the diagonal and 0 elsewhere, (n_fields, n_fields)."""
        i, j = self.pairs
        return self.r.new_zeros(self.n_fields, self.n_fields).index_put((i, j), self.r)

    def forward(self, v: Tensor) -> Tensor:
        """Sum the weighted pairs."""
        check_shape(v, "v", n_fields=self.n_fields, dim=None)
        met = self.matrix() @ v  # sum_{j>i} r_ij v_j: no (batch, n_pairs, dim) is made
        return (v * met).sum(dim=(1, 2)).unsqueeze(1)
