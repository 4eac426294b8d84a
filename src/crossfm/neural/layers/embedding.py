"""Embeddings and linear weights of features as an ordinary PyTorch module: the reference for every engine."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (everybody's name for it)
from torch import Tensor, nn

from crossfm.core.options import check_count
from crossfm.errors import FeatureIndexError, OptionError
from crossfm.neural.features import USES, Batch, Features
from crossfm.neural.layers.checks import check_flag

_IDS = (torch.int64, torch.int32)


class FeatureEmbedding(nn.Module):
    """A vector and a weight for each feature, looked up by id and multiplied by the feature's value.

    ids (batch, n_fields) -> (batch, n_fields, dim)

    Ids number the features of all fields together, from 0. Fields that share embeddings (a user's clicked items and
    the item shown) just use the same ids:

    >>> table = FeatureEmbedding(n_features=1000, dim=4)
    >>> shown, clicked = torch.tensor([7]), torch.tensor([7])
    >>> v = table(torch.stack([shown, clicked], dim=1))
    >>> v.shape, bool((v[0, 0] == v[0, 1]).all())
    (torch.Size([1, 2, 4]), True)

    Parameters
    ----------
    n_features, dim : int
    linear : bool, default=True
        Whether there is a weight ``w`` for each feature.
    padding_idx : int or None, default=None
        An id that stands for "nothing": its vector and weight start at 0 and never move.
    pretrained : Tensor or array (n_features, dim) or None, default=None
        Where ``V`` starts; it is copied. None: normal with deviation 0.01 (our choice).
    freeze : bool, default=False
        ``V`` does not learn; ``w`` still does.

    Attributes
    ----------
    V : parameter (n_features, dim)
    w : parameter (n_features,) or None
        Starts at 0.
    """

    def __init__(
        self,
        n_features: int,
        dim: int,
        *,
        linear: bool = True,
        padding_idx: int | None = None,
        pretrained: Any = None,
        freeze: bool = False,
    ) -> None:
        super().__init__()
        self.n_features = check_count("n_features", n_features, low=1)
        self.dim = check_count("dim", dim, low=1)
        if padding_idx is not None:
            check_count("padding_idx", padding_idx, high=self.n_features - 1)
        self.padding_idx = padding_idx
        self.V = nn.Parameter(self._start(pretrained), requires_grad=not check_flag("freeze", freeze))
        self.w = nn.Parameter(torch.zeros(self.n_features)) if check_flag("linear", linear) else None

    def _start(self, pretrained: Any) -> Tensor:
        if pretrained is None:
            V = torch.empty(self.n_features, self.dim).normal_(0.0, 0.01)
        else:
            V = torch.as_tensor(pretrained, dtype=torch.get_default_dtype()).detach().clone()
            if tuple(V.shape) != (self.n_features, self.dim):
                raise OptionError(
                    f"pretrained has shape {tuple(V.shape)}, but it must be (n_features, dim) = "
                    f"({self.n_features}, {self.dim})"
                )
        if self.padding_idx is not None:
            V[self.padding_idx] = 0
        return V

    def forward(self, ids: Tensor, values: Tensor | None = None) -> Tensor:
        """Return x_i v_i, (batch, n_fields, dim), for one feature a field: ids and values (batch, n_fields).

        ``values`` None means 1 everywhere.
        """
        self._check(ids, values, 2)
        v = F.embedding(ids, self.V, self.padding_idx)
        return v if values is None else v * values.to(v.dtype).unsqueeze(-1)

    def weights(self, ids: Tensor, values: Tensor | None = None) -> Tensor:
        """Return x_i w_i, (batch, n_fields), for one feature a field."""
        self._check(ids, values, 2)
        return self._weights(ids, values)

    def features(
        self,
        batch: Batch,
        uses: Collection[str] = ("embedded", "weights", "pooled", "pair"),
        dense: Any = None,
    ) -> Features:
        """Return what a model reads of rows with any number of features in a field, none included.

        Parameters
        ----------
        batch : Batch
        uses : collection of str
            Which parts beside ``linear``; a ``Model`` says it in ``uses``.
        dense : Tensor (n_rows, n_dense) or None
            Given back as it is where ``uses`` has "dense".
        """
        if not set(uses) <= set(USES):
            raise OptionError(f"uses={sorted(uses)}, but it must be among {', '.join(USES)}")
        self._check(batch.ids, batch.values, 1)
        row, cell = batch.row, batch.row * batch.n_fields + batch.field
        z = F.embedding(batch.ids, self.V, self.padding_idx)
        if batch.values is not None:
            z = z * batch.values.to(z.dtype).unsqueeze(-1)
        wx = z.new_zeros(len(batch.ids)) if self.w is None else self._weights(batch.ids, batch.values)
        embedded = weights = pooled = pair = None
        if "embedded" in uses:
            summed = _sum_to(z, cell, batch.n_rows * batch.n_fields)
            embedded = summed.reshape(batch.n_rows, batch.n_fields, self.dim)
        if "weights" in uses:
            weights = _sum_to(wx, cell, batch.n_rows * batch.n_fields).reshape(batch.n_rows, batch.n_fields)
        if "pooled" in uses or "pair" in uses:
            total, squares = _sum_to(z, row, batch.n_rows), _sum_to(z * z, row, batch.n_rows)
            bi = 0.5 * (total * total - squares)
            pooled = bi if "pooled" in uses else None
            pair = bi.sum(dim=1) if "pair" in uses else None
        return Features(
            linear=_sum_to(wx, row, batch.n_rows),
            embedded=embedded,
            weights=weights,
            pooled=pooled,
            pair=pair,
            dense=dense if "dense" in uses else None,
        )

    def _weights(self, ids: Tensor, values: Tensor | None) -> Tensor:
        if self.w is None:
            raise OptionError("this FeatureEmbedding has no linear weights: make it with linear=True")
        w = F.embedding(ids, self.w.unsqueeze(-1), self.padding_idx).squeeze(-1)
        return w if values is None else w * values.to(w.dtype)

    def _check(self, ids: Tensor, values: Tensor | None, n_axes: int) -> None:
        if ids.dtype not in _IDS:
            raise OptionError(
                f"ids have dtype {ids.dtype}, but they must be torch.int64: floats round large ids"
            )
        if ids.dim() != n_axes:
            form = "(batch, n_fields)" if n_axes == 2 else "(nnz,)"
            raise OptionError(f"ids have shape {tuple(ids.shape)}, but it must be {form}")
        if values is not None and values.shape != ids.shape:
            raise OptionError(f"values have shape {tuple(values.shape)}, but ids have {tuple(ids.shape)}")
        if ids.device.type == "cpu" and ids.numel() and not torch.compiler.is_compiling():
            low, high = (int(end) for end in torch.aminmax(ids))  # elsewhere it would wait for the device
            if low < 0 or high >= self.n_features:
                bad = low if low < 0 else high
                raise FeatureIndexError(
                    f"ids have feature {bad}, but there are {self.n_features} features (0 to {self.n_features - 1})"
                )


def _sum_to(values: Tensor, place: Tensor, n_places: int) -> Tensor:
    """Return out with out[p] = the sum of ``values`` whose place is p; 0 where there is none."""
    return values.new_zeros(n_places, *values.shape[1:]).index_add(0, place, values)
