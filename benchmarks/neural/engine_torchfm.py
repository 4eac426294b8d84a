"""torchfm (pytorch-fm): models alone, so the loop is ours; it takes no numbers: they become 20 quantiles each.

Its NFM and its layers normalise batches, always.
"""

from __future__ import annotations

import numpy as np
import torch
from job import DIM, Job, Ready, main
from torch_parts import ready, start
from torchfm.model.dfm import DeepFactorizationMachineModel
from torchfm.model.fm import FactorizationMachineModel
from torchfm.model.nfm import NeuralFactorizationMachineModel

import data

QUANTILES = 20


def engine(job: Job) -> Ready:
    """One table for all fields, as it has it."""
    settings = {**start(job), "quantiles": QUANTILES}
    sizes = [*job.sizes.tolist(), *[QUANTILES] * data.N_DENSE]
    if job.model == "nfm":
        model: torch.nn.Module = NeuralFactorizationMachineModel(sizes, DIM, job.hidden, (0.0, 0.0))
    elif job.model == "deepfm":
        model = DeepFactorizationMachineModel(sizes, DIM, job.hidden, 0.0)
    else:
        model = FactorizationMachineModel(sizes, DIM)
    edges = np.quantile(job.read("train", "dense"), np.arange(1, QUANTILES) / QUANTILES, axis=0).T

    def read(part: str) -> list[torch.Tensor]:
        numbers = zip(edges, job.read(part, "dense").T, strict=True)
        buckets = np.stack([np.searchsorted(of, column) for of, column in numbers], axis=1)
        return [torch.from_numpy(np.concatenate([job.read(part, "ids"), buckets], axis=1))]

    return ready(job, model, read, settings)


if __name__ == "__main__":
    main("torchfm", engine)
