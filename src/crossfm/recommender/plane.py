"""Items on a plane: where two directions show as much as they can of how item vectors differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfm.recommender.catalogue import Catalogue, Floats, Positions
from crossfm.recommender.describe import SHOWN, of_items

MOST = 5_000  # items, popular ones first


@dataclass(frozen=True, eq=False)
class Plane:
    """Principal components of vectors.

    Attributes
    ----------
    axes : float32 (dim, 2)
        Directions of the largest variance, orthogonal, of length 1; the largest number of each is positive.
    centre : float32 (dim,)
    explained : float64 (2,)
        Share of the variance along each.
    """

    axes: Floats
    centre: Floats
    explained: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: Floats) -> Plane:
        """Fit to vectors (n, dim). Pearson, "On lines and planes of closest fit", 1901."""
        centre = vectors.mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1], np.float32)
        away = (vectors - centre).astype(np.float64)
        variance, axes = np.linalg.eigh(away.T @ away)  # rising
        axes, variance = axes[:, ::-1][:, :2], np.maximum(variance[::-1], 0.0)
        if axes.shape[1] < 2:  # vectors of one number
            axes, variance = np.hstack([axes, np.zeros_like(axes)]), np.append(variance, 0.0)
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(2)] + 1e-300)
        total = float(variance.sum()) or 1.0
        return cls(axes.astype(np.float32), np.asarray(centre, np.float32), variance[:2] / total)

    def places(self, vectors: Floats) -> Floats:
        """Return where vectors (n, dim) lie, (n, 2)."""
        return np.asarray((vectors - self.centre) @ self.axes, np.float32)

    def direction(self, vector: Floats) -> tuple[Floats, float]:
        """Return the direction (2,) of a vector on the plane, of length 1, and the share of its length that lies on it.

        Both are 0 for a vector of length 0.
        """
        on, length = vector @ self.axes, float(np.linalg.norm(vector))
        shown = float(np.linalg.norm(on))
        if not shown or not length:
            return np.zeros(2, np.float32), 0.0
        return np.asarray(on / shown, np.float32), shown / length


@dataclass(frozen=True, eq=False)
class Map:
    """The most popular items on a plane of what pairs with a query: S_T, without their own scores."""

    items: Catalogue
    positions: Positions
    plane: Plane
    xy: Floats
    columns: list[dict[str, Any]]

    @classmethod
    def of(cls, items: Catalogue) -> Map:
        """Lay out the items; the farthest is at distance 1 from the middle, along the axis where it is farthest."""
        positions = items.matching("")[:MOST]
        vectors = items.vectors(positions)[:, :-1]
        plane = Plane.of(vectors)
        xy = plane.places(vectors)
        scale = float(np.abs(xy).max(initial=0.0)) or 1.0
        return cls(items, positions, plane, xy / np.float32(scale), _columns(items, positions))

    def report(self, limit: int) -> dict[str, Any]:
        """Return the first ``limit`` items: ids, titles, places, and codes of attributes to colour by."""
        some, items = self.positions[:limit], self.items
        rows = items.attributes(some)
        return {
            "items": items.ids_at(some),
            "titles": [
                str(row.get(items.title or "", own))
                for row, own in zip(rows, items.ids_at(some), strict=True)
            ],
            "x": np.round(self.xy[:limit, 0].astype(float), 4).tolist(),
            "y": np.round(self.xy[:limit, 1].astype(float), 4).tolist(),
            "explained": np.round(self.plane.explained, 4).tolist(),
            "n_items": items.n_alive,
            "columns": [{**one, "codes": one["codes"][:limit]} for one in self.columns],
        }


def _columns(items: Catalogue, positions: Positions) -> list[dict[str, Any]]:
    """Return attributes of 2 to ``SHOWN`` values: names, values by frequency, and codes of each item's values."""
    told = []
    for column in of_items(items):
        values = items.filters.values(column["name"])
        if not 2 <= len(values.names) <= SHOWN:
            continue
        frequent = values.frequent(SHOWN)
        place = {name: at for at, name in enumerate(frequent)}
        of_code = [place[name] for name in values.names.to_pylist()]
        codes = [
            [of_code[code] for code in own.tolist() if code < len(of_code)]
            for own in items.codes(column["name"], positions)
        ]
        told.append({"name": column["name"], "values": frequent, "codes": codes})
    return told
