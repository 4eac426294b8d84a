"""What every network of the family is."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from crossfm.neural.features import Features


class Model(nn.Module):
    """A network on top of embeddings: ``Features`` in, raw scores (batch,) out.

    The embeddings are not in here: an engine looks them up and moves them. What is in here are the layers and the
    bias, which PyTorch's optimizer moves.

    Attributes
    ----------
    uses : frozenset of str
        Which parts of ``Features`` it reads beside ``linear``; the engine computes these only.
    bias : parameter ()
        w0 of the papers; training starts it at the best constant score.
    """

    uses: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    @classmethod
    def embedding_dim(cls, n_fields: int, n_factors: int) -> int:
        """Return the length of a feature's embedding: ``n_factors``, unless it has a vector for each field."""
        return n_factors

    def forward(self, x: Features) -> Tensor:
        """Return raw scores (batch,)."""
        raise NotImplementedError
