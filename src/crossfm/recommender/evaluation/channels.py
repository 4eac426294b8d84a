"""One list of a factorization machine, or several channels? Recall at the same number of candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfm.core.options import check_count
from crossfm.errors import MemoryLimitError, OptionError
from crossfm.metrics.ranking import recall_curve
from crossfm.recommender.channels.kinds import NAMES, Channel, make_channel
from crossfm.recommender.channels.near import Near
from crossfm.recommender.evaluation.later import Later
from crossfm.recommender.evaluation.systems import RECALL, listed
from crossfm.recommender.evaluation.tally import Floats, Tally, intervals
from crossfm.recommender.recommender import Recommender
from crossfm.recommender.seen import Positions

UNION, BOTH = "channels", "recall and channels"
TOTALS = (100, 300, 500)
PLACES_A_BLOCK = 2_000_000  # of users times candidates of all channels: bounded memory
ADDS, NOTHING = "adds", "adds nothing"
Rows = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class ChannelReport:
    """Recall of lists of the same length, from recall and from channels.

    Attributes
    ----------
    channels : list of str
    totals : list of int
        Lengths K, at most the catalogue's.
    rows : list of dict
        system, total, and recall@K: mean, low, high (95 % bootstrap over users), n_users. Systems are "recall" (the
        machine's list alone), each channel alone, "channels" (all of them) and "recall and channels".
    differences : list of dict
        ``system`` minus ``other``, the same users resampled for both: recall against channels, and recall and channels
        against recall.
    parts : list of dict
        What each part of "recall and channels" is worth at each total: part, total, ``loss`` (recall@K of all minus
        that without this part, K kept), ``gain`` (recall@K of recall and this channel alone minus that of recall; no
        numbers for recall itself), ``unique`` (share of a user's relevant items that are among the first
        K / n_parts of this part and of no other), ``overlap`` (share of the part's first K that are among the first K
        of recall), each with mean, low, high and n_users; ``unique_hits`` in all, and ``verdict``: "adds nothing" where
        the interval of the loss includes 0 or is below, else "adds".
    notes : list of str
        Channels that were left out, and why.
    per_user : dict of (system, "without ..." or "recall and ...", total) to float64 (n_users,)
    """

    channels: list[str]
    totals: list[int]
    rows: Rows
    differences: Rows
    parts: Rows
    notes: list[str]
    per_user: dict[tuple[str, int], Floats]

    def value(self, system: str, total: int) -> dict[str, Any]:
        """Return one row. Raises ``KeyError`` when there is none."""
        return _one(self.rows, system=system, total=total)

    def difference(self, system: str, other: str, total: int) -> dict[str, Any]:
        """Return one difference. Raises ``KeyError`` when there is none."""
        return _one(self.differences, system=system, other=other, total=total)

    def part(self, name: str, total: int) -> dict[str, Any]:
        """Return what one part is worth. Raises ``KeyError`` when there is none."""
        return _one(self.parts, part=name, total=total)

    def to_json(self) -> dict[str, Any]:
        """Return all but the values of single users."""
        return {name: value for name, value in vars(self).items() if name != "per_user"}


def compare_channels(
    model: Recommender,
    test: Any,
    total: Sequence[int] = TOTALS,
    *,
    channels: Sequence[str] | None = None,
    near: Near | None = None,
    seed: int = 0,
) -> ChannelReport:
    """Compare the list of recall with channels, alone and together, at equal numbers of candidates.

    Users, relevant items and what is left out are those of ``evaluate_stages``. Channels learn from what the model has
    stored of its training. A list of several parts takes their items in turn (the first of each, the second of each,
    and so on), an item that came before is passed over, until K distinct ones are there: equal quotas, in which nothing
    is wasted on what is found twice, and where one part has no more the others go on.

    Parameters
    ----------
    model : Recommender
        Fitted.
    test : table, or Later
        Interactions that came after those of the training.
    total : sequence of int, default=(100, 300, 500)
        K: the numbers of candidates.
    channels : sequence of str or None
        None: all that the model can give.
    near : Near or None
        The channel item-kNN, where it has been fitted already.
    seed : int, default=0
        Of the bootstrap.

    Raises ``OptionError`` for unknown channels and for those that the model cannot give, ``DataError`` when no test
    interaction is left to judge by.
    """
    model._check_fitted()
    if not total:
        raise OptionError("total is empty; give at least one number of candidates, like total=(100, 300)")
    later = test if isinstance(test, Later) else Later.of(model, test)
    totals = sorted({min(check_count("total", n, low=1), later.n_items) for n in total})
    made, notes = _make(model, channels, near)
    tally: Tally[tuple[str, str, int]] = Tally()
    for _, block in later.blocks(max(1, PLACES_A_BLOCK // (max(totals) * (len(made) + 1)))):
        _measure(model, block, made, totals, tally)
    return _report(tally.arrays(), [*made], totals, notes, seed)


def _make(
    model: Recommender, asked: Sequence[str] | None, near: Near | None
) -> tuple[dict[str, Channel], list[str]]:
    """Return channels by name, and why others were left out."""
    there = {} if model.channels_ is None else model.channels_.channels
    if asked is not None:
        return {name: there.get(name) or make_channel(name, model, near) for name in dict.fromkeys(asked)}, []
    made, notes = {}, []
    for name in NAMES:
        own = there.get(name)
        try:
            made[name] = own or make_channel(name, model, near)
        except (OptionError, MemoryLimitError) as exc:
            notes.append(f"{name} is left out: {exc}")
    return made, notes


def channel_lists(channel: Channel, model: Recommender, block: Later, n: int) -> Positions:
    """Return a channel's lists (n_users, n), -1 where there are no more."""
    past, recent = block.seen, model.recent(block.where)
    may, out = np.ones(block.n_items, bool), np.full((len(block), n), -1)
    for row in range(len(block)):
        mine, late = (each.of_user(row).astype(np.int64) for each in (past, recent))
        may[mine] = False
        found = channel.best(mine, late, may, n)
        out[row, : len(found)] = found
        may[mine] = True
    return out


def interleaved(lists: Sequence[Positions], n: int) -> Positions:
    """Return the first ``n`` distinct items (n_users, n) of several lists (n_users, n_places), taken in turn.

    -1 is passed over in ``lists``, and stands where there are no more.
    """
    turns = np.stack(lists, axis=2).reshape(len(lists[0]), -1)
    order = np.argsort(turns, axis=1, kind="stable")
    rising = np.take_along_axis(turns, order, 1)
    first = np.ones(turns.shape, bool)
    first[:, 1:] = rising[:, 1:] != rising[:, :-1]
    new = np.empty(turns.shape, bool)
    np.put_along_axis(new, order, first & (rising >= 0), 1)
    place = np.cumsum(new, axis=1) - 1
    row, at = np.nonzero(new & (place < n))
    out = np.full((len(turns), n), -1)
    out[row, place[row, at]] = turns[row, at]
    return out


def _measure(
    model: Recommender,
    block: Later,
    made: dict[str, Channel],
    totals: list[int],
    tally: Tally[tuple[str, str, int]],
) -> None:
    most = max(totals)
    parts = {RECALL: listed(model, block, most)}
    parts |= {name: channel_lists(channel, model, block, most) for name, channel in made.items()}
    systems = dict(parts)
    if made:
        systems[UNION] = interleaved([parts[name] for name in made], most)
        systems[BOTH] = interleaved([*parts.values()], most)
        for name in parts:
            systems[beside(name)] = interleaved([parts[RECALL], parts[name]], most)
            systems[without(name)] = interleaved([own for other, own in parts.items() if other != name], most)
    for system, lists in systems.items():
        curve = recall_curve(lists, block.indptr, block.relevant, totals)
        tally.add({("recall", system, n): curve[:, at] for at, n in enumerate(totals)})
    for n in totals:
        tally.add(_unique(parts, block, n))
        tally.add(
            {("overlap", name, n): overlap(own[:, :n], parts[RECALL][:, :n]) for name, own in parts.items()}
        )


def beside(part: str) -> str:
    """Return the name of recall and one channel together."""
    return f"{RECALL} and {part}"


def without(part: str) -> str:
    """Return the name of all parts together but one."""
    return f"without {part}"


def _unique(parts: dict[str, Positions], block: Later, n: int) -> dict[tuple[str, str, int], Floats]:
    """Return share and number of each user's relevant items that one part alone has in its share of ``n`` places."""
    row = np.repeat(np.arange(len(block)), np.diff(block.indptr))
    n_relevant = np.diff(block.indptr)
    inside = block.relevant < block.n_items
    at = np.where(inside, block.relevant, 0)
    has = np.zeros((len(parts), len(at)), bool)
    for number, own in enumerate(parts.values()):
        there = np.zeros((len(block), block.n_items), bool)
        first = own[:, : n // len(parts)]
        owner, place = np.nonzero(first >= 0)
        there[owner, first[owner, place]] = True
        has[number] = there[row, at] & inside
    alone = has & (has.sum(axis=0) == 1)
    out: dict[tuple[str, str, int], Floats] = {}
    for number, name in enumerate(parts):
        hits = np.asarray(np.bincount(row, alone[number], len(block)), np.float64)
        out |= {("unique hits", name, n): hits, ("unique", name, n): hits / n_relevant}
    return out


def overlap(lists: Positions, other: Positions) -> Floats:
    """Return the share of each list (n_users, n) that is in the other's too, NaN for empty ones."""
    span = 1 + max(int(lists.max(initial=0)), int(other.max(initial=0)))
    row = np.arange(len(lists))[:, None] * span
    both = (lists >= 0) & np.isin(row + lists, np.where(other >= 0, row + other, -1))
    with np.errstate(invalid="ignore"):
        return np.asarray(both.sum(axis=1) / (lists >= 0).sum(axis=1), np.float64)


def _report(
    values: dict[tuple[str, str, int], Floats],
    channels: list[str],
    totals: list[int],
    notes: list[str],
    seed: int,
) -> ChannelReport:
    per_user = {(system, n): own for (what, system, n), own in values.items() if what == "recall"}
    everyone = np.ones(len(next(iter(per_user.values()))), bool)
    parts, systems = [RECALL, *channels], [RECALL, *channels, *([UNION, BOTH] if channels else [])]

    def told(columns: dict[Any, Floats]) -> dict[Any, dict[str, Any]]:
        found = intervals({str(key): own for key, own in columns.items()}, everyone, seed)
        return dict(zip(columns, found.values(), strict=True))

    means = told({(system, n): per_user[system, n] for system in systems for n in totals})
    pairs = [(RECALL, UNION), (BOTH, RECALL)] if channels else []
    leads = told({(a, b, n): per_user[a, n] - per_user[b, n] for a, b in pairs for n in totals})
    worth = _parts(values, per_user, parts, totals, told) if channels else []
    return ChannelReport(
        channels=channels,
        totals=totals,
        rows=[{"system": system, "total": n, **one} for (system, n), one in means.items()],
        differences=[{"system": a, "other": b, "total": n, **one} for (a, b, n), one in leads.items()],
        parts=worth,
        notes=notes,
        per_user=per_user,
    )


def _parts(
    values: dict[tuple[str, str, int], Floats],
    per_user: dict[tuple[str, int], Floats],
    parts: list[str],
    totals: list[int],
    told: Callable[[dict[Any, Floats]], dict[Any, dict[str, Any]]],
) -> Rows:
    """Return what each part is worth."""
    keys = [(part, n) for part in parts for n in totals]
    columns = {
        "loss": {(p, n): per_user[BOTH, n] - per_user[without(p), n] for p, n in keys},
        "gain": {(p, n): per_user[beside(p), n] - per_user[RECALL, n] for p, n in keys},
        "unique": {(p, n): values["unique", p, n] for p, n in keys},
        "overlap": {(p, n): values["overlap", p, n] for p, n in keys},
    }
    for n in totals:
        columns["gain"][RECALL, n] = np.full_like(per_user[RECALL, n], np.nan)
    found = {what: told(own) for what, own in columns.items()}
    rows = []
    for part, n in keys:
        row: dict[str, Any] = {"part": part, "total": n}
        row |= {what: own[part, n] for what, own in found.items()}
        row["unique_hits"] = int(values["unique hits", part, n].sum())
        row["verdict"] = ADDS if row["loss"]["low"] > 0 else NOTHING
        rows.append(row)
    return rows


def _one(rows: Rows, **wanted: Any) -> dict[str, Any]:
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            return row
    raise KeyError(tuple(wanted.values()))
