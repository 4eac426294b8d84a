"""What the engines on PyTorch share that a peer leaves to its user: batches, the loop, and models by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from job import BATCH, DIM, LEARNING_RATE, Job, Ready
from torch import nn

import data


def start(job: Job) -> dict[str, str]:
    """Take one thread and the seed; return what to say of it."""
    torch.set_num_threads(1)
    torch.manual_seed(job.seed)
    return {"torch": torch.__version__}


def shuffled(*rows: torch.Tensor) -> Iterator[list[torch.Tensor]]:
    """Yield batches of rows in random order, whole tensors at a time: no peer's loader is faster."""
    for at in torch.randperm(len(rows[0])).split(BATCH):
        yield [column[at] for column in rows]


def train(
    model: Callable[..., torch.Tensor], optimizers: list[Any], inputs: list[torch.Tensor], y: torch.Tensor
) -> None:
    """One epoch; ``model`` gives probabilities (batch,)."""
    loss_of = nn.BCELoss()
    for *batch, labels in shuffled(*inputs, y):
        loss = loss_of(model(*batch), labels)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()


def predict(model: nn.Module, inputs: list[torch.Tensor]) -> np.ndarray:
    """Return probabilities (rows,)."""
    model.eval()
    with torch.no_grad():
        batches = zip(*(rows.split(BATCH) for rows in inputs), strict=True)
        return torch.cat([model(*batch) for batch in batches]).numpy()


def ready(
    job: Job, model: nn.Module, read: Callable[[str], list[torch.Tensor]], settings: dict[str, Any]
) -> Ready:
    """Train all parameters with Adam, by the loop here."""
    inputs, held = read("train"), read("test")
    y = torch.from_numpy(job.read("train", "y").astype(np.float32))
    optimizers = [torch.optim.Adam(model.parameters(), LEARNING_RATE)]
    return Ready(lambda: train(model, optimizers, inputs, y), lambda: predict(model, held), settings)


class Hand(nn.Module):
    """A model by hand over ids of one table and their values (batch, 39); numbers are in the FM terms too.

    ``embed`` returns vectors (batch, 39, DIM), ``weigh`` weights (batch, 39).
    """

    def __init__(self, job: Job, embed: nn.Module, weigh: nn.Module) -> None:
        super().__init__()
        self.kind, self.embed, self.weigh = job.model, embed, weigh
        self.bias = nn.Parameter(torch.zeros(1))
        width = data.N_FIELDS * DIM if job.model == "deepfm" else DIM
        layers: list[nn.Module] = []
        for units in job.hidden:
            layers += [nn.Linear(width, units), nn.ReLU()]
            width = units
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1)) if job.hidden else None

    def forward(self, ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return probabilities (batch,)."""
        z = self.embed(ids) * values.unsqueeze(2)
        pairs = 0.5 * (z.sum(1).square() - z.square().sum(1))
        score = self.bias + (self.weigh(ids) * values).sum(1)
        if self.kind != "nfm":
            score = score + pairs.sum(1)
        if self.layers is not None:
            score = score + self.layers(pairs if self.kind == "nfm" else z.flatten(1)).squeeze(1)
        return torch.sigmoid(score)


def one_table(job: Job, part: str) -> list[torch.Tensor]:
    """Return the rows that ``Hand`` takes."""
    return [torch.from_numpy(rows) for rows in job.one_table(part)]
