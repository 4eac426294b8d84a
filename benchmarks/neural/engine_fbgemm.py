"""FBGEMM's table-batched embeddings: row-wise AdaGrad fused into the backward pass, in the models by hand.

Rates and start were the best of a small grid for row-wise AdaGrad: 0.002 for vectors, 0.03 for weights, deviation
0.003. Four columns are the fewest that it has; of the weights' table one is used. Layers and bias are Adam's.
"""

from __future__ import annotations

from typing import Any

import fbgemm_gpu  # noqa: F401
import numpy as np
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice,
    SplitTableBatchedEmbeddingBagsCodegen,
)
from job import DIM, LEARNING_RATE, Job, Ready, main
from torch import nn
from torch_parts import Hand, one_table, predict, start, train


class Table(nn.Module):
    """One table that trains itself as gradients come back."""

    def __init__(self, rows: int, width: int, rate: float, deviation: float) -> None:
        super().__init__()
        self.width = width
        self.table = SplitTableBatchedEmbeddingBagsCodegen(
            [(rows, width, EmbeddingLocation.HOST, ComputeDevice.CPU)],
            optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
            learning_rate=rate,
            pooling_mode=PoolingMode.NONE,
            device=torch.device("cpu"),
        )
        nn.init.normal_(self.table.split_embedding_weights()[0], std=deviation)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return rows (batch, 39, width)."""
        rows = torch.arange(0, ids.numel() + 1, ids.shape[1])
        return self.table(ids.flatten(), rows).view(*ids.shape, self.width)


class Weights(Table):
    """One weight an id: (batch, 39)."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Look them up."""
        return super().forward(ids)[:, :, 0]


def engine(job: Job) -> Ready:
    """The tables' own parameters are not Adam's."""
    settings: dict[str, Any] = start(job)
    model = Hand(job, Table(job.n_features, DIM, 0.002, 0.003), Weights(job.n_features, 4, 0.03, 0.0))
    layers = [p for name, p in model.named_parameters() if "table" not in name]
    optimizers = [torch.optim.Adam(layers, LEARNING_RATE)]
    inputs, held = one_table(job, "train"), one_table(job, "test")
    y = torch.from_numpy(job.read("train", "y").astype(np.float32))
    return Ready(lambda: train(model, optimizers, inputs, y), lambda: predict(model, held), settings)


if __name__ == "__main__":
    main("fbgemm-gpu-cpu", engine)
