"""What the values of a context are to a model: known, missing, or never met in training; and how often it met them."""

from __future__ import annotations

import numpy as np

from crossfm.data.encode import Encoder
from crossfm.data.rows import Rows

MISSING, NEVER, OTHER = "missing", "never met", "other"
SHOWN = 50  # values of a column that have a name of their own, the most frequent ones


class Contexts:
    """Names the values of context columns: MISSING, NEVER, OTHER, or "=" and the value.

    OTHER are numbers, hashed values, and values beyond the ``SHOWN`` most frequent.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._names = [self._of_column(name) for name in encoder.fields]

    def _of_column(self, name: str) -> list[str]:
        """Return the names of a column's first features; those behind are OTHER."""
        if name not in self.vocabularies:
            return [MISSING]
        return [MISSING, NEVER, *(f"={value}" for value in self.encoder.vocabulary(name)[:SHOWN].to_pylist())]

    @property
    def vocabularies(self) -> list[str]:
        """Columns that have one."""
        columns = self.encoder.columns
        return [c.name for c in columns if c.kind != "numeric" and getattr(c, "hash_buckets", None) is None]

    def of(self, rows: Rows) -> dict[str, str]:
        """Return the name of each column's value in one encoded row; of several values NEVER if one is."""
        told: dict[str, str] = {}
        fields = np.asarray(rows.field_of_each())
        for field, feature in zip(fields.tolist(), rows.indices.tolist(), strict=True):
            column, name = self.encoder.fields[field], self._name(field, feature)
            if told.get(column) != NEVER:
                told[column] = name
        return told

    def _name(self, field: int, feature: int) -> str:
        own, names = feature - int(self.encoder.starts[self.encoder.owners[field]]), self._names[field]
        return names[own] if 0 <= own < len(names) else OTHER

    def trained(self) -> dict[str, dict[str, int]]:
        """Return how often training met the values of each column of single values that has a vocabulary."""
        told = {}
        for field, column in enumerate(self.encoder.columns):
            if column.name not in self.vocabularies or column.kind == "multi":
                continue
            first = int(self.encoder.starts[self.encoder.owners[field]])
            counts = self.encoder.feature_counts
            own = counts[np.asarray(self.encoder.feature_fields) == self.encoder.owners[field]]
            named = {name: int(counts[first + at]) for at, name in enumerate(self._names[field])}
            told[column.name] = {**named, OTHER: int(own.sum()) - sum(named.values())}
        return told
