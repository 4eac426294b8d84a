"""A network in training: embeddings in the compiled core, layers in PyTorch, and what their optimizers keep."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfm.core.options import Hyper
from crossfm.core.params import FMParams
from crossfm.core.rules import Rule
from crossfm.data.rows import Rows
from crossfm.kernels.table import Table
from crossfm.neural.dense import Survey
from crossfm.neural.model import Model

Arrays = dict[str, NDArray[Any]]
LAYERS = "layers."
STATES = ("step", "exp_avg", "exp_avg_sq")  # Adam's


@dataclass(frozen=True, eq=False)
class NetworkParams:
    """What a network has learnt.

    Attributes
    ----------
    bias : float
    w : float32 (n_features,)
    V : float32 (n_features, embedding dim)
    layers : dict of arrays
        By PyTorch's names; buffers such as running means too.
    n_factors, n_fields : int
    dense_ids : int64 (n_dense,)
        Features whose values go to the deep part as they are.
    clock : int64 (3,)
        Seed of dropout and number of steps so far, on which alone depends what is drawn; and rows to learn from so far.
    """

    bias: float
    w: NDArray[np.float32]
    V: NDArray[np.float32]
    layers: Arrays
    n_factors: int
    n_fields: int
    dense_ids: NDArray[np.int64]
    clock: NDArray[np.int64]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.w)

    def lengths(self) -> NDArray[np.float64]:
        """Return the length of each feature's embedding (n_features,)."""
        return np.asarray(np.sqrt(np.square(self.V, dtype=np.float64).sum(axis=1)))

    def rescaled(self, shift: float, scale: float) -> NetworkParams:
        """Return the same: a network's scores cannot be scaled by its weights, so ``predict`` does it."""
        return self

    def to_arrays(self) -> Arrays:
        """Return the parameters as named arrays; ``from_arrays`` takes them back."""
        own: Arrays = {
            "w": self.w,
            "V": self.V,
            "shape": np.array([self.n_factors, self.n_fields], np.int64),
            "dense_ids": self.dense_ids,
            "clock": self.clock,
        }
        return own | {LAYERS + name: array for name, array in self.layers.items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> NetworkParams:
        """Rebuild what ``to_arrays`` wrote; raises ``ValueError`` where the parts do not fit together."""
        w, V = arrays["w"].copy(), arrays["V"].copy()
        if V.ndim != 2 or w.shape != V.shape[:1]:
            raise ValueError(f"w has shape {w.shape} and V {V.shape}")
        layers = {k[len(LAYERS) :]: a.copy() for k, a in arrays.items() if k.startswith(LAYERS)}
        n_factors, n_fields = (int(n) for n in arrays["shape"])
        dense, clock = arrays["dense_ids"].copy(), arrays["clock"].copy()
        return cls(float(layers["bias"]), w, V, layers, n_factors, n_fields, dense, clock)


@dataclass(eq=False)
class NetworkTable:
    """Weights and optimizer state of a network: a ``TrainingTable`` in the sense of ``kernels.machine``.

    Attributes
    ----------
    embeddings : Table
        Factors, linear weights and their optimizer's state; its bias is not used.
    model : Model
    adam : (float, float)
        Learning rate and weight decay of the layers' optimizer.
    n_factors, n_fields : int
    dense_ids : int64 (n_dense,)
    seed, steps : int
        What dropout draws depends on these two.
    n_rows : int
        Rows to learn from so far, and
    counts : float32 (n_features,)
        how many of them have each feature; of an order, how many of those that an epoch looks at are expected to.
    runtime : Runtime or None
        Made when first needed.
    """

    embeddings: Table
    model: Model
    adam: tuple[float, float]
    n_factors: int
    n_fields: int
    dense_ids: NDArray[np.int64]
    seed: int
    steps: int = 0
    n_rows: int = 0
    counts: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    runtime: Any = None

    @cached_property
    def optimizer(self) -> torch.optim.Adam:
        """Adam over the layers, one fused update for all of them; made by who trains.

        PyTorch loads its compiler for it: 4 seconds and 100 MB, which a server that only scores need not have.
        """
        learning_rate, weight_decay = self.adam
        return torch.optim.Adam(self.model.parameters(), learning_rate, weight_decay=weight_decay, fused=True)

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what runs it: that is for one process."""
        return self.__dict__ | {"runtime": None}

    @property
    def rule(self) -> Rule:
        """Of the embeddings."""
        return self.embeddings.rule

    @property
    def rank(self) -> int:
        """``n_factors`` as users give it."""
        return self.n_factors

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.embeddings.n_features

    @property
    def bias(self) -> NDArray[np.float32]:
        """Copy of the bias (1,)."""
        return np.array([float(self.model.bias.detach())], np.float32)

    @property
    def V(self) -> NDArray[np.float32]:
        """The embeddings (n_features, embedding dim)."""
        return self.embeddings.V

    def __post_init__(self) -> None:
        self._lengthen_counts()

    def _lengthen_counts(self) -> None:
        if len(self.counts) < self.n_features:
            self.counts = np.append(self.counts, np.zeros(self.n_features - len(self.counts), np.float32))

    def meet(self, found: Survey) -> None:
        """Take the rows that are about to be learnt from into account, where their features were counted."""
        if found.counts is not None:
            counts = self.counts.astype(np.float64)
            before = self.n_rows if counts.any() else 0  # a file without the optimizer's state has no counts
            counts[: len(found.counts)] += found.counts
            self.n_rows, self.counts = before + found.n_rows, counts.astype(np.float32)

    def expect(self, sides: Sequence[tuple[Rows, NDArray[np.float64]]]) -> None:
        """Count what an epoch of an order will look at, instead: ``sides`` of rows and how often each is expected.

        What is looked at is a row of each side, put together.
        """
        counts = np.zeros(self.n_features)
        for rows, looks in sides:
            counts += np.bincount(rows.indices, np.repeat(looks, np.diff(rows.offsets())), self.n_features)
        self.n_rows, self.counts = round(float(sides[0][1].sum())), counts.astype(np.float32)

    def rarity(self) -> NDArray[np.float32]:
        """Return all rows over those that have each feature (n_features,); 0 for what none has."""
        held = np.where(self.counts > 0, self.counts, np.float32(1))  # an expected number may be below 1
        rarity: NDArray[np.float32] = np.where(self.counts > 0, np.float32(self.n_rows) / held, np.float32(0))
        return rarity

    def layers(self) -> list[tuple[str, str, str, int]]:
        """Return name, kind, shapes and number of parameters of each layer, the model's own first."""
        found = []
        for name, module in self.model.named_modules():
            own = dict(module.named_parameters(recurse=False))
            if own:
                shapes = [
                    f"{part} {' x '.join(map(str, tensor.shape)) or '1'}" for part, tensor in own.items()
                ]
                size = sum(tensor.numel() for tensor in own.values())
                found.append((name or "-", type(module).__name__, ", ".join(shapes), size))
        return found

    def start_at(self, params: FMParams, hyper: Hyper) -> None:
        """Start at the embeddings, linear weights and bias of a second-order machine of the same features."""
        self.embeddings.start_V(np.arange(self.n_features), params.V, hyper)
        self.embeddings.start_w(params.w, hyper)
        with torch.no_grad():
            self.model.bias.fill_(params.bias)

    def start_V(self, ids: NDArray[np.int64], V: NDArray[np.float32], hyper: Hyper) -> None:
        """Start the embeddings of features ``ids`` (n,) at ``V`` (n, embedding dim)."""
        self.embeddings.start_V(ids, V, hyper)

    def start_w(self, w: NDArray[np.float32], hyper: Hyper) -> None:
        """Start the linear weights at ``w`` (n_features,)."""
        self.embeddings.start_w(w, hyper)

    def params(self) -> NetworkParams:
        """Copy the parameters out."""
        layers = {name: array.copy() for name, array in self._layers().items()}
        return NetworkParams(
            float(self.bias[0]),
            self.embeddings.w.copy(),
            self.embeddings.V.copy(),
            layers,
            self.n_factors,
            self.n_fields,
            self.dense_ids.copy(),
            np.array([self.seed, self.steps, self.n_rows], np.int64),
        )

    def copy(self) -> NetworkTable:
        """Copy weights and state."""
        model = copy.deepcopy(self.model)
        other = NetworkTable(
            self.embeddings.copy(),
            model,
            self.adam,
            self.n_factors,
            self.n_fields,
            self.dense_ids,
            self.seed,
        )
        other.assign(self)
        return other

    def assign(self, other: NetworkTable) -> None:
        """Take over weights and state of a table of the same shape."""
        self.embeddings.assign(other.embeddings)
        self.model.load_state_dict(other.model.state_dict())
        self._set_moments(other._moments())
        self.steps, self.n_rows, self.counts = other.steps, other.n_rows, other.counts.copy()

    def grow(self, n_features: int, hyper: Hyper) -> None:
        """Make room for more features; those there are stay bit for bit."""
        self.embeddings.grow(n_features, hyper)
        self._lengthen_counts()

    def state(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the optimizers' numbers: of the features (n_features, n_numbers), and of the layers (n,)."""
        return np.column_stack([self.embeddings.state()[0], self.counts]), self._moments()

    def set_state(self, state: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Take back what ``state`` returned; raises ``ValueError`` when it does not fit."""
        self.embeddings.set_state(np.ascontiguousarray(state[:, :-1]), self.embeddings.state()[1])
        self.counts = state[:, -1].copy()
        self._set_moments(bias)

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """Return all that training moves, bit for bit; see ``kernels.machine.Resumable``."""
        own: Arrays = {"embeddings": self.embeddings.data, "counts": self.counts, "moments": self._moments()}
        layers = {LAYERS + name: array for name, array in self._layers().items()}
        return own | layers, {"seed": self.seed, "steps": self.steps, "n_rows": self.n_rows}

    def restore(self, arrays: Arrays, meta: dict[str, Any]) -> None:
        """Put back what ``snapshot`` returned; raises ``ValueError`` when it does not fit."""
        if arrays["embeddings"].shape != self.embeddings.data.shape:
            raise ValueError("it holds embeddings of another shape")
        self.embeddings.data[...] = arrays["embeddings"]
        self.counts = arrays["counts"].copy()
        self._set_moments(arrays["moments"])
        self.set_layers({name[len(LAYERS) :]: a for name, a in arrays.items() if name.startswith(LAYERS)})
        self.seed, self.steps, self.n_rows = (int(meta[name]) for name in ("seed", "steps", "n_rows"))

    def _layers(self) -> Arrays:
        """Return views of the layers' arrays."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.model.state_dict().items()}

    def set_layers(self, layers: Arrays) -> None:
        """Take over the layers; raises ``ValueError`` for those of another model."""
        try:
            self.model.load_state_dict(
                {name: torch.from_numpy(array.copy()) for name, array in layers.items()}
            )
        except RuntimeError as exc:
            raise ValueError(f"the layers are those of another model: {exc}") from exc

    def _moments(self) -> NDArray[np.float32]:
        """Return Adam's numbers as one array: updates, then both moments of each parameter; empty before the first.

        A parameter that never had a gradient has zeros.
        """
        parts = [np.zeros(0, np.float32)]
        if "optimizer" in self.__dict__ and self.optimizer.state:
            for parameter in self.model.parameters():
                own = self.optimizer.state.get(parameter) or dict.fromkeys(STATES, torch.zeros(()))
                tensors = own["step"], *(own[name].expand(parameter.shape) for name in STATES[1:])
                parts += [tensor.detach().float().cpu().numpy().ravel() for tensor in tensors]
        return np.concatenate(parts)

    def _set_moments(self, moments: NDArray[np.float32]) -> None:
        parameters = list(self.model.parameters())
        expected = sum(1 + 2 * parameter.numel() for parameter in parameters)
        if len(moments) == 0:
            if "optimizer" in self.__dict__:
                self.optimizer.state.clear()
            return
        if moments.shape != (expected,):
            raise ValueError(
                f"the layers' state has shape {moments.shape}, but {expected} numbers belong there"
            )
        self.optimizer.state.clear()
        at = 0
        for parameter in parameters:
            pieces: list[Tensor] = []
            for shape in ((), parameter.shape, parameter.shape):
                size = int(np.prod(shape))
                piece = torch.from_numpy(moments[at : at + size].copy()).reshape(shape)
                pieces.append(piece.to(parameter.device) if shape != () else piece)
                at += size
            if pieces[0] > 0:
                self.optimizer.state[parameter] = dict(zip(STATES, pieces, strict=True))


def embedding_table(params: NetworkParams, rule: Rule, hyper: Hyper) -> Table:
    """Return the embeddings of ``params`` as a table with fresh optimizer state."""
    return Table.start(FMParams(0.0, params.w, params.V), rule, hyper)
