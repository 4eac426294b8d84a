"""A network of the family as a machine: what ``kernels.machine.Machine`` asks, with layers in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crossfm.core.losses import Loss
from crossfm.core.options import Hyper
from crossfm.core.rules import NO_RULE, Rule
from crossfm.data.rows import Rows
from crossfm.errors import DataError, OptionError
from crossfm.kernels import fm
from crossfm.kernels.embedding import Penalties
from crossfm.kernels.machine import Data
from crossfm.kernels.table import Table, record_floats
from crossfm.neural.dense import Survey, survey
from crossfm.neural.engine.make import find_device
from crossfm.neural.memory import layer_bytes
from crossfm.neural.model import Model
from crossfm.neural.models.table import find_model
from crossfm.neural.table import NetworkParams, NetworkTable, embedding_table
from crossfm.neural.training import ROWS_SCORED, Steps, score_rows

MAX_EMBEDDING = 1024


@dataclass(frozen=True)
class Network:
    """A model of the table ``neural.models``, and how it is trained; the estimators have the defaults.

    Attributes
    ----------
    model : str
    options : mapping
        Of the model's constructor.
    batch_size : int
    learning_rate, learning_rate_V, learning_rate_w : float
        Of the layers (Adam), of the embeddings and of the linear weights; a schedule lowers all of them alike.
    l2_layers : float
        Adam's weight decay on the layers.
    penalties : Penalties
        On the embeddings.
    prior : float
        Over the number of rows to learn from it is added to the penalty on factors.
    clip_norm : float
        Gradients of the layers are scaled down to this length; 0 does not.
    warmup : int
        Steps in which the layers' learning rate rises from 0.
    precision : {"float32", "bfloat16"}
        Of the layers' arithmetic; weights are float32.
    device : str
    compiled : bool
        Whether the layers go through ``torch.compile``.
    least_fields : int
        Fields that are known to be there, should the last of them be empty in all rows of the start.
    """

    model: str
    options: Mapping[str, Any]
    batch_size: int
    learning_rate: float
    learning_rate_V: float
    learning_rate_w: float
    l2_layers: float
    penalties: Penalties
    prior: float
    clip_norm: float
    warmup: int
    precision: str
    device: str
    compiled: bool
    least_fields: int

    @property
    def FIELDS(self) -> bool:
        """Whether rows must say the field of each feature."""
        return bool({"embedded", "weights", "dense"} & find_model(self.model).model.uses)

    @property
    def shrinks(self) -> bool:
        """Whether there is a penalty, for which features are counted."""
        return bool(self.prior or self.penalties.l2_V or self.penalties.l2_w)

    def penalties_on(self, table: NetworkTable) -> Penalties:
        """Return the penalties with what they need to know of the rows that ``table`` learns from."""
        if not self.shrinks:
            return self.penalties
        l2_V = self.penalties.l2_V + self.prior / max(table.n_rows, 1)
        return replace(self.penalties, l2_V=l2_V, rarity=table.rarity())

    # ------------------------------------------------------------------ tables

    def start(
        self,
        rows: Data,
        n_factors: int,
        rng: np.random.Generator,
        rule: Rule,
        hyper: Hyper,
        *,
        scale: float,
        bias: float,
    ) -> NetworkTable:
        """Return a network for a fresh start; embeddings are normal with deviation ``scale``."""
        found = self.survey(rows)
        n_fields, dense_ids = found.n_fields, found.dense_ids
        dim = self.dim(n_fields, n_factors)
        embeddings = Table.drawn(rows.n_features, dim, rng, rule, hyper, scale=scale, bias=0.0)
        seed = int(rng.integers(2**31))
        model = self._make(n_fields, n_factors, dense_ids, seed)
        with torch.no_grad():
            model.bias.fill_(bias)
        adam = (self.learning_rate, self.l2_layers)
        table = NetworkTable(embeddings, model, adam, n_factors, n_fields, dense_ids, seed)
        table.meet(found)
        return table

    def survey(self, rows: Data, *, fields: bool = True) -> Survey:
        """Look at all rows for what the network asks of them; windows keep it, so that one pass is enough."""
        known: Survey | None = None if isinstance(rows, Rows) else rows.known
        if known is None:
            known = survey(rows, fields=fields and self.FIELDS, counted=self.shrinks)
            if self.FIELDS:
                known = known._replace(n_fields=max(known.n_fields, self.least_fields))
            if not isinstance(rows, Rows):
                rows.known = known
        return known

    def table(self, params: NetworkParams, rule: Rule, hyper: Hyper) -> NetworkTable:
        """Return a network that starts at ``params`` with fresh optimizer state."""
        seed, steps, n_rows = (int(n) for n in params.clock)
        model = self._make(params.n_fields, params.n_factors, params.dense_ids, seed)
        table = NetworkTable(
            embedding_table(params, rule, hyper),
            model,
            (self.learning_rate, self.l2_layers),
            params.n_factors,
            params.n_fields,
            params.dense_ids,
            seed,
            steps,
            n_rows,
        )
        table.set_layers(params.layers)
        return table

    def from_arrays(self, arrays: dict[str, NDArray[Any]]) -> NetworkTable:
        """Return what ``NetworkParams.to_arrays`` wrote in a form that ``scores`` takes."""
        return self.table(NetworkParams.from_arrays(arrays), NO_RULE, Hyper(learning_rate=1.0))

    def table_bytes(self, rows: Data, n_factors: int, rule: Rule) -> int:
        """Return the bytes that the embeddings of ``start`` will take."""
        n_fields = 1
        if self.dim(2, n_factors) != self.dim(1, n_factors):
            n_fields = self.survey(rows).n_fields
        return 4 * rows.n_features * record_floats(self.dim(n_fields, n_factors), rule)

    def check(self, n_factors: int) -> None:
        """Raise ``OptionError`` for a model or device that is not there, or options that it cannot have."""
        find_device(self.device)
        self._make(2, n_factors, np.zeros(0, np.int64), 0)

    def forget_unseen(self, table: NetworkTable, rows: Data, hyper: Hyper) -> None:
        """Zero embeddings of features that no row has."""
        fm.forget(table.embeddings, np.flatnonzero(~self.survey(rows, fields=False).seen), hyper)

    def wake(
        self, table: NetworkTable, rows: Data, rng: np.random.Generator, hyper: Hyper, *, scale: float
    ) -> NetworkTable:
        """Give features of ``rows`` whose embedding is all zero new start values."""
        found = self.survey(rows, fields=False)
        fm.wake_ids(table.embeddings, np.flatnonzero(found.seen), rng, hyper, scale=scale)
        table.meet(found)
        return table

    def layer_bytes(
        self, shape: Survey | NetworkTable, n_factors: int, n_rows: int, nonzeros: float, *, judged: bool
    ) -> tuple[int, int]:
        """Return what the layers' weights, and a batch in them, take of this process's memory: on a GPU nothing.

        ``n_rows`` are trained on, with ``nonzeros`` each; ``judged`` where others are scored after each epoch.
        """
        import crossfm.neural.runtime  # noqa: F401  (what it loads takes memory too, and should be seen)

        if find_device(self.device).type != "cpu":
            return 0, 0
        n_fields, n_dense = shape.n_fields, len(shape.dense_ids)
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = find_model(self.model).build(n_fields, n_factors, n_dense, **self.options)
        found = layer_bytes(model, n_fields, self.dim(n_fields, n_factors), n_dense, nonzeros)
        return found.weights, max(min(self.batch_size, n_rows), ROWS_SCORED * judged) * found.row

    def dim(self, n_fields: int, n_factors: int) -> int:
        """Return the length of an embedding; raises ``OptionError`` for one that is too long."""
        dim = find_model(self.model).model.embedding_dim(n_fields, n_factors)
        if dim > MAX_EMBEDDING:
            raise OptionError(
                f"n_factors={n_factors} with {n_fields} fields makes embeddings of {dim} numbers, but at most "
                f"{MAX_EMBEDDING} are kept; lower n_factors"
            )
        return dim

    def _make(self, n_fields: int, n_factors: int, dense_ids: NDArray[np.int64], seed: int) -> Model:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            row = find_model(self.model)
            return row.build(n_fields, n_factors, len(dense_ids), **self.options).to(find_device(self.device))

    # ---------------------------------------------------------------- training

    def train_pass(
        self,
        rows: Rows,
        order: NDArray[np.int64],
        table: NetworkTable,
        loss: Loss,
        hyper: Hyper,
        *,
        n_threads: int = 1,
        deterministic: bool = False,
    ) -> float:
        """Visit the rows in ``order`` batch by batch; return the sum of the losses before each batch's update.

        Batches are of equal size, at most ``batch_size``. One seed gives the same bits for the same number of
        threads; ``deterministic`` changes nothing.
        """
        self.check_fields(rows, table)
        with self.steps(table, hyper, n_threads, loss.name) as steps:
            return steps.run(rows, order)

    def steps(self, table: NetworkTable, hyper: Hyper, n_threads: int = 1, loss: str = "") -> Steps:
        """Return the training steps of ``table``, a context; ``loss`` is needed for rows, not for pairs and choices."""
        return Steps(self, table, hyper, n_threads, loss)

    def scores(self, rows: Rows, machine: NetworkTable, *, n_threads: int = 1) -> NDArray[np.float32]:
        """Return raw scores (n_rows,)."""
        self.check_fields(rows, machine)
        return score_rows(self, rows, machine, n_threads)

    def check_fields(self, rows: Rows, table: NetworkTable) -> None:
        """Raise ``DataError`` for rows with a field that the network has no place for."""
        if not self.FIELDS:
            return
        largest = -1 if rows.fields is None else int(rows.fields.max(initial=0))
        if largest >= table.n_fields:
            raise DataError(
                f"the rows have field {largest}, but the network was built for {table.n_fields} fields "
                f"(0 to {table.n_fields - 1}); fit it anew on rows that have them all"
            )
