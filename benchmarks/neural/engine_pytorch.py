"""PyTorch by hand: one table for all fields and Adam over all of it, as tutorials have it."""

from __future__ import annotations

import torch
from job import DIM, Job, Ready, main
from torch import nn
from torch_parts import Hand, one_table, ready, start


class Weights(nn.Embedding):
    """One weight an id: (batch, 39)."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Look them up."""
        return super().forward(ids).squeeze(2)


def engine(job: Job) -> Ready:
    """Vectors start small, weights at 0."""
    settings = start(job)
    embed, weigh = nn.Embedding(job.n_features, DIM), Weights(job.n_features, 1)
    nn.init.normal_(embed.weight, std=0.01)
    nn.init.zeros_(weigh.weight)
    return ready(job, Hand(job, embed, weigh), lambda part: one_table(job, part), settings)


if __name__ == "__main__":
    main("torch", engine)
