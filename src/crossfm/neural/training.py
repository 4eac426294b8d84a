"""Mini-batches through a network: the steps of training, and scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.neural.dense import dense_values
from crossfm.neural.engine.core import CoreEmbeddings
from crossfm.neural.features import Features
from crossfm.neural.table import NetworkTable

if TYPE_CHECKING:
    from crossfm.neural.network import Network

ROWS_SCORED = 8192  # at a time
ROWS_A_PIECE = 1 << 18  # whose dense values and targets are made at once


def row_losses(name: str, scores: Tensor, target: Tensor) -> Tensor:
    """Return the loss (n,) of each row; see ``core.losses`` for what each is."""
    if name == "logistic":
        return functional.binary_cross_entropy_with_logits(scores, target, reduction="none")
    if name == "squared":
        return 0.5 * (scores - target) ** 2
    return torch.exp(scores) - target * scores


class Steps:
    """Training steps of one network; a context, in which PyTorch has the threads and the random numbers of the run."""

    def __init__(
        self, network: Network, table: NetworkTable, loss: Loss, hyper: Hyper, n_threads: int
    ) -> None:
        self.network, self.table, self.loss, self.hyper = network, table, loss, hyper
        self.engine = engine_of(table, n_threads)
        self.share = hyper.learning_rate / network.learning_rate  # what the schedule leaves of each rate
        self._around = _torch_run(n_threads)

    def __enter__(self) -> Steps:
        self._around.__enter__()
        self.table.optimizer.param_groups[0]["weight_decay"] = self.network.l2_layers  # may have changed
        self.table.model.train()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.table.model.eval()
        self._around.__exit__(*exc)

    def run(self, rows: Rows, order: NDArray[np.int64]) -> float:
        """Train on the rows ``order``, batch by batch; return the summed loss."""
        total = 0.0
        for piece in pieces(order, self.network.batch_size):
            dense = dense_of(self.table, rows, piece)
            assert rows.target is not None
            target = torch.from_numpy(rows.target[piece].astype(np.float32))
            weight = None if rows.weight is None else torch.from_numpy(rows.weight[piece])
            for begin, end in batches(len(piece), self.network.batch_size):
                part = slice(begin, end)
                x = self.engine.features(rows, piece[part], self.table.model.uses)
                if dense is not None:
                    x = x._replace(dense=dense[part])
                total += self._step(x, target[part], None if weight is None else weight[part])
        return total

    def _step(self, x: Features, target: Tensor, weight: Tensor | None) -> float:
        table, network = self.table, self.network
        torch.default_generator.manual_seed(table.seed + table.steps)  # torch.manual_seed takes a millisecond
        with _arithmetic(network.precision):
            scores = table.model(x)
        losses = row_losses(self.loss.name, scores.float(), target)
        if weight is not None:
            losses = losses * weight
        mean = losses.mean()
        table.optimizer.zero_grad()
        mean.backward()  # type: ignore[no-untyped-call]
        if network.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(table.model.parameters(), network.clip_norm)
        table.steps += 1
        rising = min(table.steps / network.warmup, 1.0) if network.warmup else 1.0
        table.optimizer.param_groups[0]["lr"] = network.learning_rate * self.share * rising
        table.optimizer.step()
        self.engine.step(
            self._rates(), network.penalties, learning_rate_w=network.learning_rate_w * self.share
        )
        return float(mean.detach()) * len(target)

    def _rates(self) -> Hyper:
        return Hyper(learning_rate=self.network.learning_rate_V * self.share)


def score_rows(network: Network, rows: Rows, table: NetworkTable, n_threads: int) -> NDArray[np.float32]:
    """Return raw scores (n_rows,) of all rows."""
    out = np.empty(rows.n_rows, np.float32)
    engine = engine_of(table, n_threads)
    table.model.eval()
    with _torch_run(n_threads), torch.inference_mode():
        for piece in pieces(np.arange(rows.n_rows), ROWS_SCORED):
            dense = dense_of(table, rows, piece)
            for begin in range(0, len(piece), ROWS_SCORED):
                order = piece[begin : begin + ROWS_SCORED]
                x = engine.features(rows, order, table.model.uses)
                if dense is not None:
                    x = x._replace(dense=dense[begin : begin + ROWS_SCORED])
                with _arithmetic(network.precision):
                    out[order] = table.model(x).float().numpy()
    return out


def engine_of(table: NetworkTable, n_threads: int) -> CoreEmbeddings:
    """Return the engine that looks after the table's embeddings: the same one from call to call, with its memory."""
    if table.engine is None:
        table.engine = CoreEmbeddings(table.embeddings, table.n_fields)
    table.engine.n_threads = n_threads
    return table.engine


def pieces(order: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Part ``order`` into pieces of whole batches, but for the last."""
    size = max(ROWS_A_PIECE // batch_size, 1) * batch_size
    for start in range(0, len(order), size):
        yield order[start : start + size]


def batches(n_rows: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of batches of equal size, at most ``batch_size``: none is much smaller than the others."""
    count = -(-n_rows // batch_size)
    for at in range(count):
        yield n_rows * at // count, n_rows * (at + 1) // count


def dense_of(table: NetworkTable, rows: Rows, order: NDArray[np.int64]) -> Tensor | None:
    """Return the numbers (n, n_dense) of the rows ``order`` for the deep part, None for a model without them."""
    if "dense" not in table.model.uses or len(table.dense_ids) == 0:
        return None
    return torch.from_numpy(dense_values(rows, order, table.dense_ids))


def _arithmetic(precision: str) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def _torch_run(n_threads: int) -> Iterator[None]:
    """Give PyTorch that many threads, and leave its threads and random numbers as they were."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
