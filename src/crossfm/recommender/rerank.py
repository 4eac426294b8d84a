"""The last step of a list: freshness, likeness to what stands above, caps per attribute, and chance.

Diversity is maximal marginal relevance: J. Carbonell, J. Goldstein, SIGIR 1998, eq. (1), with lambda = 1 - diversity.
Chance is Plackett and Luce's: each place is drawn from the softmax of what is left, gain / temperature (R. L. Plackett,
The Analysis of Permutations, 1975), so that what a place's item had for a chance, given the places above it, is known
in closed form whatever else is asked for.
Ours: scores are taken in deviations of the candidates, so that one diversity, and one temperature, means the same for
every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Chances = NDArray[np.float64]
Caps = Sequence[tuple[Sequence[NDArray[np.int64]], int]]


def standardised(score: Floats) -> Floats:
    """Return scores (n,) in deviations from their mean; zeros where all are equal."""
    score = score.astype(np.float32)
    if not len(score):
        return score
    spread = float(score.std())
    return np.asarray((score - score.mean()) / np.float32(spread or 1.0), np.float32)


def freshened(score: Floats, age: NDArray[np.float64], weight: float, half_life: float) -> Floats:
    """Return standardised scores (n,) and ``weight`` for new items, halved with every ``half_life`` days of ``age``.

    Items of unknown age (NaN) gain nothing.
    """
    gain = np.exp2(-np.maximum(age, 0.0) / half_life)
    return np.asarray(standardised(score) + weight * np.nan_to_num(gain), np.float32)


def reorder(
    score: Floats, n: int, *, vectors: Floats | None = None, diversity: float = 0.0, caps: Caps = ()
) -> NDArray[np.int64]:
    """Return which candidates (at most n) come, in order; ``score`` (n_candidates,) falls.

    ``vectors`` (n_candidates, dim) tell likeness, by cosine. ``caps`` holds for each attribute the codes of every
    candidate and how many items one code may have. Ties go to the earlier candidate. Fewer than n come back where
    caps leave no more.
    """
    if len(score) == 0 or (diversity <= 0 and not caps):
        return np.arange(min(n, len(score)))
    places = Places(score, vectors=vectors, diversity=diversity, caps=caps)
    while len(places.chosen) < n and places.free.any():
        places.put(int(np.argmax(places.gains())))
    return np.array(places.chosen, np.int64)


def drawn(
    score: Floats,
    n: int,
    temperature: float,
    rng: np.random.Generator,
    *,
    vectors: Floats | None = None,
    diversity: float = 0.0,
    caps: Caps = (),
) -> tuple[NDArray[np.int64], Chances]:
    """Return which candidates come, and the chance that each had given those above it, both (at most n,).

    ``temperature`` is above 0; the rest as ``reorder``, whose list this is as the temperature goes to 0.
    """
    places = Places(score, vectors=vectors, diversity=diversity, caps=caps)
    chances: list[float] = []
    while len(places.chosen) < n and places.free.any():
        logit = places.logits(temperature)
        at = int(np.argmax(logit + rng.gumbel(size=len(logit))))  # a draw from their softmax
        chances.append(_softmax_at(logit, at))
        places.put(at)
    return np.array(places.chosen, np.int64), np.array(chances)


def chances_of(
    score: Floats,
    given: Sequence[int],
    temperature: float,
    *,
    vectors: Floats | None = None,
    diversity: float = 0.0,
    caps: Caps = (),
) -> Chances:
    """Return the chance (n_given,) that each of the ``given`` candidates comes at its place, given those above it.

    0 for what caps forbid, for what stands above already, and for -1, which is no candidate; whatever follows such a
    place has a list above it that cannot come, and is 0 as well. A ``temperature`` of 0 gives ``reorder``'s choice 1.
    """
    places = Places(score, vectors=vectors, diversity=diversity, caps=caps)
    chances = np.zeros(len(given))
    for place, at in enumerate(given):
        if at < 0 or not places.free[at]:
            break
        if temperature > 0:
            chances[place] = _softmax_at(places.logits(temperature), at)
        else:
            chances[place] = float(np.argmax(places.gains()) == at)
        if not chances[place]:
            break
        places.put(at)
    return chances


class Places:
    """A list that is filled from the top.

    Attributes
    ----------
    chosen : list of int
        Candidates, from the top.
    free : bool (n_candidates,)
        Who may come next: neither chosen nor forbidden by caps.
    """

    def __init__(self, score: Floats, *, vectors: Floats | None, diversity: float, caps: Caps) -> None:
        self.chosen: list[int] = []
        self.free = np.ones(len(score), bool)
        self._relevance = (1.0 - diversity) * standardised(score)
        self._diversity = diversity
        self._unit = None if diversity <= 0 or vectors is None else _unit(vectors)
        self._likeness = np.full(len(score), -1.0, np.float32)  # to the nearest chosen one
        self._caps = [_Cap(codes, most) for codes, most in caps]

    def gains(self) -> Floats:
        """Return what each candidate would bring to the next place (n_candidates,), -inf where it may not come."""
        gain = self._relevance
        if self._unit is not None and self.chosen:
            gain = gain - self._diversity * self._likeness
        return np.where(self.free, gain, np.float32(-np.inf))

    def logits(self, temperature: float) -> Chances:
        """Return gains / temperature, the largest one 0; some candidate is free."""
        gain = self.gains().astype(np.float64)
        with np.errstate(over="ignore"):  # the least temperatures: -inf is what is meant
            return np.asarray((gain - gain.max()) / temperature)

    def put(self, at: int) -> None:
        """Fill the next place."""
        self.chosen.append(at)
        self.free[at] = False
        if self._unit is not None:
            np.maximum(self._likeness, self._unit @ self._unit[at], out=self._likeness)
        for cap in self._caps:
            cap.count(at, self.free)


class _Cap:
    """How many items each value of one attribute has, and who has it."""

    def __init__(self, codes: Sequence[NDArray[np.int64]], most: int) -> None:
        self._codes, self._most = codes, most
        self._counts: dict[int, int] = {}
        self._flat = np.concatenate([np.zeros(0, np.int64), *codes])
        self._owner = np.repeat(np.arange(len(codes)), [len(each) for each in codes])

    def count(self, at: int, free: NDArray[np.bool_]) -> None:
        """Count a chosen candidate; those who share a value that is full now are no longer free."""
        for code in self._codes[at].tolist():
            self._counts[code] = self._counts.get(code, 0) + 1
            if self._counts[code] >= self._most:
                free[self._owner[self._flat == code]] = False


def _softmax_at(logit: Chances, at: int) -> float:
    return float(np.exp(logit[at]) / np.exp(logit).sum())


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, np.float32(1e-12)), np.float32)
