"""Mini-batches through a network: the steps of training, and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from crossfm.core.options import Hyper
from crossfm.data.rows import Rows
from crossfm.neural.dense import dense_values
from crossfm.neural.engine.make import make_engine
from crossfm.neural.features import Features
from crossfm.neural.table import NetworkTable

if TYPE_CHECKING:
    from crossfm.neural.network import Network
    from crossfm.neural.runtime import Runtime

Positions = NDArray[np.int64]
Joined = Callable[[slice], tuple[Rows, NDArray[np.float32]]]

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
        self, network: Network, table: NetworkTable, hyper: Hyper, n_threads: int, loss: str = ""
    ) -> None:
        self.network, self.table, self.loss = network, table, loss
        self.runtime = runtime_of(network, table)
        self.engine, self.device = self.runtime.engine, self.runtime.device
        self.engine.n_threads = n_threads
        self.penalties = network.penalties_on(table)
        self.part = hyper.learning_rate / network.learning_rate  # what the schedule leaves of each rate
        self._around = _torch_run(n_threads)

    def __enter__(self) -> Steps:
        self._around.__enter__()
        self.engine.load()
        self.table.model.train()
        self.table.optimizer.param_groups[0]["weight_decay"] = self.network.l2_layers
        return self

    def __exit__(self, *exc: Any) -> None:
        self.table.model.eval()
        self.engine.save()
        self._around.__exit__(*exc)

    def run(self, rows: Rows, order: NDArray[np.int64]) -> float:
        """Train on the rows ``order``, batch by batch; return the summed loss."""
        total = 0.0
        for piece in pieces(order, self.network.batch_size):
            dense = dense_of(self.table, rows, piece)
            assert rows.target is not None
            target = torch.from_numpy(rows.target[piece].astype(np.float32)).to(self.device)
            weight = None if rows.weight is None else torch.from_numpy(rows.weight[piece]).to(self.device)
            for begin, end in batches(len(piece), self.network.batch_size):
                own = self.runtime.share(end - begin)
                part = slice(begin + own.start, begin + own.stop)
                x = self.engine.features(rows, piece[part], self.table.model.uses)
                if dense is not None:
                    x = x._replace(dense=dense[part])
                losses = row_losses(self.loss, self._scores(x), target[part])
                if weight is not None:
                    losses = losses * weight[part]
                total += self._step(losses, end - begin, (rows, piece[begin:end]))
        return self.runtime.total(total)

    def run_pairs(self, rows: Rows, better: Positions, worse: Positions, weight: Any) -> float:
        """Train so that rows ``better`` (n,) score above rows ``worse`` (n,): BPR; return the summed loss."""
        total = 0.0
        for begin, end in batches(len(better), self.network.batch_size):
            part = slice(begin, end)
            scores = self._scores(self._features(rows, np.concatenate([better[part], worse[part]])))
            above = scores[: end - begin] - scores[end - begin :]
            losses = functional.softplus(-above)
            if weight is not None:
                losses = losses * torch.from_numpy(weight[part]).to(self.device)
            total += self._step(losses, end - begin)
        return total

    def run_choices(self, joined: Joined, n_choices: int, weight: Any) -> float:
        """Train so that the first of each choice's items scores above the others: sampled softmax, of two items BPR.

        ``joined(part)`` gives, for some of the choices, rows (n * m) of each choice with each of its m items, and what
        is added to their scores (n, m): -inf where there is no item. Returns the summed loss.
        """
        total = 0.0
        for begin, end in batches(n_choices, self.network.batch_size):
            rows, offset = joined(slice(begin, end))
            scores = self._scores(self._features(rows, np.arange(rows.n_rows)))
            scores = scores.reshape(offset.shape) + torch.from_numpy(offset).to(self.device)
            losses = torch.logsumexp(scores, 1) - scores[:, 0]
            if weight is not None:
                losses = losses * torch.from_numpy(weight[begin:end]).to(self.device)
            total += self._step(losses, end - begin)
        return total

    def _features(self, rows: Rows, order: Positions) -> Features:
        x = self.engine.features(rows, order, self.table.model.uses)
        dense = dense_of(self.table, rows, order)
        return x if dense is None else x._replace(dense=dense)

    def _scores(self, x: Features) -> Tensor:
        # torch.manual_seed would take a millisecond
        torch.default_generator.manual_seed(self.table.seed + self.table.steps)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(self.table.seed + self.table.steps)
        scores: Tensor = self.runtime.module(x)
        return scores

    def _step(self, losses: Tensor, n_rows: int, shared: tuple[Rows, Positions] | None = None) -> float:
        """Take a step on the mean loss of a batch of ``n_rows``; return the sum of ``losses``.

        ``shared`` is the whole batch where each process has the losses of its own rows.
        """
        table, network, fabric = self.table, self.network, self.runtime.fabric
        total = losses.sum()
        table.optimizer.zero_grad()
        mean = total / n_rows if shared is None else total * (fabric.world_size / n_rows)
        fabric.backward(mean)  # processes average the gradients of the layers
        if network.clip_norm > 0:
            fabric.clip_gradients(self.runtime.module, self.runtime.optimizer, max_norm=network.clip_norm)
        table.steps += 1
        rising = min(table.steps / network.warmup, 1.0) if network.warmup else 1.0
        table.optimizer.param_groups[0]["lr"] = network.learning_rate * self.part * rising
        table.optimizer.step()
        if fabric.world_size > 1 and shared is not None:
            self.engine.gather(fabric.world_size, *shared)
        hyper = Hyper(learning_rate=network.learning_rate_V * self.part)
        self.engine.step(hyper, self.penalties, learning_rate_w=network.learning_rate_w * self.part)
        return float(total.detach())


def runtime_of(network: Network, table: NetworkTable) -> Runtime:
    """Return what runs the table's network: the same one from call to call, with its memory."""
    from crossfm.neural.runtime import Runtime

    runtime = table.runtime
    if not isinstance(runtime, Runtime) or runtime.key != (
        network.precision,
        network.device,
        network.compiled,
    ):
        runtime = table.runtime = Runtime(network, table)
    return runtime


def score_rows(network: Network, rows: Rows, table: NetworkTable, n_threads: int) -> NDArray[np.float32]:
    """Return raw scores (n_rows,) of all rows."""
    out = np.empty(rows.n_rows, np.float32)
    device = table.model.bias.device
    engine = make_engine(str(device), table.embeddings, table.n_fields, n_threads=n_threads)
    table.model.eval()
    with _torch_run(n_threads, draws=False), torch.inference_mode():
        for piece in pieces(np.arange(rows.n_rows), ROWS_SCORED):
            dense = dense_of(table, rows, piece)
            for begin in range(0, len(piece), ROWS_SCORED):
                order = piece[begin : begin + ROWS_SCORED]
                x = engine.features(rows, order, table.model.uses)
                if dense is not None:
                    x = x._replace(dense=dense[begin : begin + ROWS_SCORED])
                with _arithmetic(network.precision, device):
                    out[order] = table.model(x).float().cpu().numpy()
    return out


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
    return torch.from_numpy(dense_values(rows, order, table.dense_ids)).to(table.model.bias.device)


def _arithmetic(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def _torch_run(n_threads: int, *, draws: bool = True) -> Iterator[None]:
    """Give PyTorch that many threads, and leave its threads and random numbers as they were."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with torch.random.fork_rng(devices=[], enabled=draws):
            yield
    finally:
        torch.set_num_threads(before)
