"""FuxiCTR: its trainer, layers and npz loader without processes of its own.

The models are no part of the package but of a "zoo" beside it in its repository, three of which are put together here
from its layers as they are there. Gradients are clipped by their global norm, always. ``fit`` would go on to measure
and to read back the best weights: both are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import FeatureEmbedding, InnerProductInteraction, LogisticRegression, MLP_Block
from fuxictr.pytorch.models import BaseModel
from job import BATCH, CATEGORICAL, DENSE, DIM, LEARNING_RATE, Job, Ready, main
from torch_parts import start


class Model(BaseModel):
    """NFM, DeepFM or FM."""

    def __init__(self, job: Job, features: FeatureMap) -> None:
        super().__init__(features, gpu=-1, verbose=0, model_root=str(job.scratch), metrics=["AUC"])
        self.kind = job.model
        self.embedding = FeatureEmbedding(features, DIM)
        self.linear = LogisticRegression(features, use_bias=job.model != "nfm")
        output = "bi_interaction" if job.model == "nfm" else "product_sum"
        self.pairs = InnerProductInteraction(features.num_fields, output=output)
        if job.hidden:
            width = DIM if job.model == "nfm" else features.num_fields * DIM
            self.mlp = MLP_Block(width, list(job.hidden), output_dim=1)
        self.compile("adam", "binary_crossentropy", LEARNING_RATE)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return probabilities (batch, 1) as "y_pred"."""
        X = self.get_inputs(inputs)
        vectors = self.embedding(X)
        score = self.linear(X)
        pairs = self.pairs(vectors)
        if self.kind == "nfm":
            score = score + self.mlp(pairs)
        else:
            score = score + pairs
            if self.kind == "deepfm":
                score = score + self.mlp(vectors.flatten(start_dim=1))
        return {"y_pred": self.output_activation(score)}

    def eval_step(self) -> None:
        """Do not measure in the time of training."""

    def load_weights(self, checkpoint: str) -> None:
        """There is no better one."""


def engine(job: Job) -> Ready:
    """Rows go through an npz file, as its preprocessing leaves them."""
    settings: dict[str, Any] = start(job)
    features = FeatureMap("log", str(job.scratch))
    for name, n in zip(CATEGORICAL, job.sizes.tolist(), strict=True):
        features.features[name] = {"source": "", "type": "categorical", "vocab_size": n}
    for name in DENSE:
        features.features[name] = {"source": "", "type": "numeric"}
    features.labels, features.default_emb_dim = ["y"], DIM
    features.num_fields = features.get_num_fields()
    features.set_column_index()

    def loader(part: str) -> Any:
        path = job.scratch / f"{part}.npz"
        np.savez(path, **job.columns(part), y=job.read(part, "y"))
        how = {"batch_size": BATCH, "num_workers": 0, "data_format": "npz"}
        if part == "train":
            return RankDataLoader(features, "train", train_data=str(path), shuffle=True, **how)[0]
        return RankDataLoader(features, "test", test_data=str(path), **how)

    rows, held, model = loader("train"), loader("test"), Model(job, features)
    return Ready(lambda: model.fit(rows, epochs=1), lambda: model.predict(held), settings)


if __name__ == "__main__":
    main("fuxictr", engine)
