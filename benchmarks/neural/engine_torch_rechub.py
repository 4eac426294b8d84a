"""torch-rechub: its trainer and loader. It has DeepFM; NFM and FM are put together from its own layers, as DeepFM is.

As there, the linear part is over the vectors (no weight of its own an id), numbers go to the layers alone (in FM, to
the linear part), and layers normalise batches, always. Weight decay, on by default, is off.
"""

from __future__ import annotations

import numpy as np
import torch
from job import BATCH, CATEGORICAL, DENSE, DIM, LEARNING_RATE, Job, Ready, main
from torch import nn
from torch_parts import start
from torch_rechub.basic.features import DenseFeature, SparseFeature
from torch_rechub.basic.layers import FM, LR, MLP, EmbeddingLayer
from torch_rechub.models.ranking import DeepFM
from torch_rechub.trainers import CTRTrainer
from torch_rechub.utils.data import DataGenerator


class Together(nn.Module):
    """NFM, or FM where there are no layers."""

    def __init__(self, dense: list[DenseFeature], sparse: list[SparseFeature], hidden: list[int]) -> None:
        super().__init__()
        self.all, self.sparse, self.hidden = [*sparse, *dense], sparse, hidden
        self.embedding = EmbeddingLayer(self.all)
        width = len(sparse) * DIM + (0 if hidden else len(dense))
        self.linear = LR(width)
        self.fm = FM(reduce_sum=not hidden)
        self.mlp = MLP(DIM + len(dense), dims=hidden) if hidden else None

    def forward(self, x: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return probabilities (batch,)."""
        flat = self.embedding(x, self.all, squeeze_dim=True)
        vectors = flat[:, : len(self.sparse) * DIM]
        pairs = self.fm(vectors.view(len(flat), len(self.sparse), DIM))
        if self.mlp is None:
            return torch.sigmoid((self.linear(flat) + pairs).squeeze(1))
        deep = self.mlp(torch.cat([pairs, flat[:, vectors.shape[1] :]], dim=1))
        return torch.sigmoid((self.linear(vectors) + deep).squeeze(1))


def engine(job: Job) -> Ready:
    """Its loader takes a dict of arrays, row by row."""
    settings = start(job)
    sizes = zip(CATEGORICAL, job.sizes.tolist(), strict=True)
    sparse = [SparseFeature(name, vocab_size=n, embed_dim=DIM) for name, n in sizes]
    dense = [DenseFeature(name) for name in DENSE]
    hidden = list(job.hidden)
    if job.model == "deepfm":
        model: nn.Module = DeepFM(dense + sparse, sparse, {"dims": hidden, "dropout": 0})
    else:
        model = Together(dense, sparse, hidden)
    adam = {"lr": LEARNING_RATE, "weight_decay": 0}
    trainer = CTRTrainer(model, optimizer_params=adam, n_epoch=1, model_path=str(job.scratch))
    test = job.columns("test")
    rows = DataGenerator(job.columns("train"), job.read("train", "y").astype(np.float32))
    fit, _, held = rows.generate_dataloader(
        x_val=test, y_val=job.read("test", "y"), x_test=test, y_test=job.read("test", "y"), batch_size=BATCH
    )
    return Ready(
        lambda: trainer.train_one_epoch(fit),  # fit() saves the model too
        lambda: trainer.predict(model, held),
        settings,
    )


if __name__ == "__main__":
    main("torch-rechub", engine)
