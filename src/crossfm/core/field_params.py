"""What machines that know fields have learnt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class FieldBlock:
    """Vectors of features that meet the same fields.

    Attributes
    ----------
    fields : int64 (n_own,)
        The fields that these features stand in.
    meets : int64 (n_meets,)
        The fields they have a vector for, rising.
    ids : int64 (n_block,)
        The features.
    V : float32 (n_block, n_meets, n_factors)
    """

    fields: NDArray[np.int64]
    meets: NDArray[np.int64]
    ids: NDArray[np.int64]
    V: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FFMParams:
    """Parameters of y = bias + <w, x> + sum_{i<j} <V_{i, f_j}, V_{j, f_i}> x_i x_j (Juan et al. 2016, eq. 4).

    Only vectors that can be used are kept: of features that occurred in training, for fields that theirs met.

    Attributes
    ----------
    bias : float
    w : float32 (n_features,)
    n_fields : int
    blocks : list of FieldBlock
        Each field is in one block, and each feature in one at most.
    """

    bias: float
    w: NDArray[np.float32]
    n_fields: int
    n_factors: int
    blocks: list[FieldBlock]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.w)

    def interactions(self, ids: NDArray[Any], fields: NDArray[Any]) -> NDArray[np.float64]:
        """Return <V_{i, f_j}, V_{j, f_i}> (n, n) of the features of one row, given with their fields."""
        n = len(ids)
        towards = np.zeros((n, n, self.n_factors))  # of feature i, for the field of feature j
        for block in self.blocks:
            if not len(block.ids) or not len(block.meets):
                continue
            row, slot = np.searchsorted(block.ids, ids), np.searchsorted(block.meets, fields)
            row, slot = np.minimum(row, len(block.ids) - 1), np.minimum(slot, len(block.meets) - 1)
            mine = (block.ids[row] == ids) & np.isin(fields, block.fields)
            there = block.meets[slot] == fields
            towards[np.ix_(mine, there)] = block.V[np.ix_(row[mine], slot[there])]
        return np.asarray(np.einsum("ijf,jif->ij", towards, towards))

    def vector(self, feature: int, field: int) -> NDArray[np.float32]:
        """Return V of ``feature`` for ``field`` (n_factors,); zeros where there is none."""
        for block in self.blocks:
            row, slot = np.flatnonzero(block.ids == feature), np.flatnonzero(block.meets == field)
            if len(row) and len(slot):
                return np.asarray(block.V[row[0], slot[0]])
        return np.zeros(self.n_factors, np.float32)

    def dense(self) -> NDArray[np.float32]:
        """Return V as (n_features, n_fields, n_factors), zeros where there is none: for small machines."""
        V = np.zeros((self.n_features, self.n_fields, self.n_factors), np.float32)
        for block in self.blocks:
            V[block.ids[:, None], block.meets[None, :]] = block.V
        return V

    def lengths(self) -> NDArray[np.float64]:
        """Return the Euclidean length of all vectors of each feature together (n_features,)."""
        out = np.zeros(self.n_features)
        for block in self.blocks:
            out[block.ids] = np.sqrt((block.V.astype(np.float64) ** 2).sum(axis=(1, 2)))
        return out

    def rescaled(self, shift: float, scale: float) -> FFMParams:
        """Return the machine whose score is ``shift + scale * score``."""
        root = np.float32(np.sqrt(scale))
        return replace(
            self,
            bias=self.bias * scale + shift,
            w=self.w * np.float32(scale),
            blocks=[replace(block, V=block.V * root) for block in self.blocks],
        )

    def to_arrays(self) -> Arrays:
        """Return the parameters as named arrays; ``from_arrays`` takes them back."""
        arrays: Arrays = {
            "bias": np.asarray(self.bias, np.float64),
            "w": self.w,
            "sizes": np.array([self.n_fields, self.n_factors, len(self.blocks)], np.int64),
        }
        for number, block in enumerate(self.blocks):
            for name in ("fields", "meets", "ids", "V"):
                arrays[f"block.{number}.{name}"] = getattr(block, name)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> FFMParams:
        """Rebuild what ``to_arrays`` wrote; raises ``ValueError`` where the parts do not fit together."""
        w = arrays["w"]
        n_fields, n_factors, n_blocks = (int(n) for n in arrays["sizes"])
        blocks = []
        seen = np.zeros(len(w), bool)
        taken = np.zeros(n_fields, bool)
        for number in range(n_blocks):
            fields, meets, ids, V = (
                arrays[f"block.{number}.{name}"] for name in ("fields", "meets", "ids", "V")
            )
            _check(fields, n_fields, taken, "field")
            _check(ids, len(w), seen, "feature")
            _check(meets, n_fields, np.zeros(n_fields, bool), "field that is met")
            if V.shape != (len(ids), len(meets), n_factors):
                raise ValueError(f"block {number} has V of shape {V.shape}")
            if (np.diff(meets) < 0).any() or (np.diff(ids) < 0).any():
                raise ValueError(f"block {number}: its features, or the fields that it meets, do not rise")
            own = (
                fields.copy(),
                meets.copy(),
                ids.copy(),
            )  # a table keeps them: views would keep the whole file
            blocks.append(FieldBlock(*own, V))
        if not taken.all():
            raise ValueError("a field is in no block")
        return cls(float(arrays["bias"]), w, n_fields, n_factors, blocks)


def pair_count(n_fields: int) -> int:
    """Pairs of different fields."""
    return n_fields * (n_fields - 1) // 2


def pair_number(a: Any, b: Any, n_fields: int) -> Any:
    """Return the place of the pair of fields a < b among all of them, as (0, 1), (0, 2), ..., (1, 2), ..."""
    return a * n_fields - a * (a + 1) // 2 + b - a - 1


@dataclass(frozen=True, eq=False)
class FieldPairParams:
    """Parameters of FwFM and FmFM: second-order, with a weight or a matrix for each pair of fields.

    y = bias + <w, x> + sum_{i<j} r_{f_i f_j} <V_i, V_j> x_i x_j (Pan et al. 2018, eq. 4), or V_i^T M_{f_i f_j} V_j in
    its place (Sun et al. 2021, eq. 6). Two features of one field meet with r = 1, M = I.

    Attributes
    ----------
    bias : float
    w : float32 (n_features,)
    V : float32 (n_features, n_factors)
    n_fields : int
    pairs : float32 (n_pairs,) or (n_pairs, n_factors, n_factors)
        Of fields (0, 1), (0, 2), ..., (1, 2), ...
    """

    bias: float
    w: NDArray[np.float32]
    V: NDArray[np.float32]
    n_fields: int
    pairs: NDArray[np.float32]

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.w)

    @property
    def n_factors(self) -> int:
        """Length of each row of ``V``."""
        return int(self.V.shape[1])

    def between(self, a: int, b: int) -> NDArray[np.float32]:
        """Return the weight () of two fields, or the matrix (n_factors, n_factors) with a's factors as rows."""
        matrices = self.pairs.ndim == 3
        if a == b:
            return np.eye(self.n_factors, dtype=np.float32) if matrices else np.float32(1.0).reshape(())
        low, high = min(a, b), max(a, b)
        pair = self.pairs[pair_number(low, high, self.n_fields)]
        return np.asarray(pair.T if a > b else pair)

    def interactions(self, ids: NDArray[Any], fields: NDArray[Any]) -> NDArray[np.float64]:
        """Return r <V_i, V_j> or V_i^T M V_j (n, n) of the features of one row, given with their fields."""
        V = self.V[ids].astype(np.float64)
        between = np.array([[self.between(int(a), int(b)) for b in fields] for a in fields], np.float64)
        if self.pairs.ndim == 3:
            return np.asarray(
                np.einsum("if,ijfg,jg->ij", V, between.reshape(len(ids), len(ids), *[V.shape[1]] * 2), V)
            )
        return np.asarray(between.reshape(len(ids), len(ids)) * (V @ V.T))

    def lengths(self) -> NDArray[np.float64]:
        """Return the Euclidean length of each feature's factors (n_features,)."""
        return np.asarray(np.linalg.norm(self.V.astype(np.float64), axis=1))

    def rescaled(self, shift: float, scale: float) -> FieldPairParams:
        """Return the machine whose score is ``shift + scale * score``."""
        return replace(
            self,
            bias=self.bias * scale + shift,
            w=self.w * np.float32(scale),
            V=self.V * np.float32(np.sqrt(scale)),
        )

    def to_arrays(self) -> Arrays:
        """Return the parameters as named arrays; ``from_arrays`` takes them back."""
        return {
            "bias": np.asarray(self.bias, np.float64),
            "w": self.w,
            "V": self.V,
            "pairs": self.pairs,
            "n_fields": np.asarray(self.n_fields, np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, matrices: bool) -> FieldPairParams:
        """Rebuild what ``to_arrays`` wrote; raises ``ValueError`` where the parts do not fit together."""
        w, V, pairs, n_fields = arrays["w"], arrays["V"], arrays["pairs"], int(arrays["n_fields"])
        if V.ndim != 2 or w.shape != V.shape[:1] or n_fields < 0:
            raise ValueError(f"w has shape {w.shape} and V {V.shape}, with {n_fields} fields")
        expected = (pair_count(n_fields), *((V.shape[1],) * 2 if matrices else ()))
        if pairs.shape != expected:
            raise ValueError(f"pairs have shape {pairs.shape}, not {expected}")
        return cls(float(arrays["bias"]), w, V, n_fields, pairs)


def _check(numbers: NDArray[np.int64], limit: int, seen: NDArray[np.bool_], what: str) -> None:
    """Mark ``numbers`` as seen; raise for one outside of [0, limit) or seen before."""
    if numbers.ndim != 1 or numbers.dtype != np.int64:
        raise ValueError(f"numbers of a {what} are {numbers.dtype} of shape {numbers.shape}")
    if len(numbers) and not (int(numbers.min()) >= 0 and int(numbers.max()) < limit):
        raise ValueError(f"a {what} outside of 0 to {limit - 1}")
    if seen[numbers].any() or len(np.unique(numbers)) != len(numbers):
        raise ValueError(f"a {what} stands there twice")
    seen[numbers] = True
