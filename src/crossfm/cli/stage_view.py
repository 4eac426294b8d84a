"""Print what the evaluation of both stages found."""

from __future__ import annotations

from typing import Any

from crossfm.cli import stage_words as words
from crossfm.cli.show import print_table, say


def show_stages(found: Any) -> None:
    """Print the systems end to end, the ceiling of recall, ranking alone, segments, and what lists are like."""
    k = max(found.about["ks"])
    say(words.sizes(found.about))
    _end_to_end(found, k)
    for line in words.verdicts(found):
        say(line)
    _recall(found)
    say(words.ceiling(found))
    if found.channels is not None:
        _channels(found.channels, words.total(found))
    say(words.index(found))
    _given(found, k)
    _segments(found, k)
    _lists(found, k)
    if found.calibration is not None:
        say(words.calibration(found.calibration))
    for note in found.notes:
        say(f"note: {note}")


def _end_to_end(found: Any, k: int) -> None:
    names = [f"ndcg@{each}" for each in found.about["ks"] if each != k]
    names += [f"{metric}@{k}" for metric in ("recall", "mrr", "map", "hit_rate")]
    header = ("", f"NDCG@{k}, 95 % interval", *(words.metric(name) for name in names), "GAUC")
    rows = []
    for system in [*found.systems, "ideal ranking"]:
        area = words.plain(found.value(system, "gauc")) if system in found.systems else "-"
        numbers = [words.plain(found.value(system, name)) for name in names]
        rows.append((system, words.interval(found.value(system, f"ndcg@{k}")), *numbers, area))
    print_table(f"end to end, {found.about['n_users']:,} users", header, rows)


def _recall(found: Any) -> None:
    ns = sorted({one["n"] for one in found.curve if one["n"] >= 100} | {found.about["n_candidates"]})
    by_n = {(one["system"], one["n"]): one for one in found.curve}
    rows = [(s, *(words.plain(by_n[s, n]) for n in ns)) for s in found.systems if s != "two stages"]
    print_table("recall, by the number of candidates", ("", *(f"{n:,}" for n in ns)), rows)


def _channels(part: dict[str, Any], n: int) -> None:
    if not part["parts"]:
        return
    rows = [
        (
            one["part"],
            words.interval(next(r for r in part["rows"] if (r["system"], r["total"]) == (one["part"], n))),
            words.lead(one["loss"]),
            words.lead(one["gain"]),
            words.plain(one["unique"]),
            words.plain(one["overlap"]),
            one["verdict"],
        )
        for one in part["parts"]
        if one["total"] == n
    ]
    header = (
        "",
        f"recall@{n} alone",
        "lost without it",
        "won by recall and it",
        "found by it alone",
        "overlap with recall",
        "",
    )
    print_table(f"recall and channels, {n:,} candidates in all", header, rows)
    for line in words.channels(part, n):
        say(line)
    for note in part["notes"]:
        say(f"note: {note}")


def _given(found: Any, k: int) -> None:
    by = {(one["order"], one["metric"]): one for one in found.given}
    rows = [
        (order, words.interval(by[order, f"ndcg@{k}"]), words.interval(by[order, "auc"]))
        for order in dict.fromkeys(one["order"] for one in found.given)
    ]
    judged = by["recall", f"ndcg@{k}"]["n_users"]
    title = (
        f"ranking alone: the {found.about['n_candidates']:,} candidates, {judged:,} users with a relevant one"
    )
    print_table(title, ("order by", f"NDCG@{k}", "AUC"), rows)


def _segments(found: Any, k: int) -> None:
    rows = []
    for segment, meaning in found.segments.items():
        values = [found.value(system, f"ndcg@{k}", segment) for system in found.systems]
        if values[0]["n_users"]:
            rows.append((segment, meaning, values[0]["n_users"], *(words.plain(value) for value in values)))
    print_table(f"NDCG@{k} by segment", ("", "", "users", *found.systems), rows, left=2)


def _lists(found: Any, k: int) -> None:
    names = [row["metric"] for row in found.rows if row["system"] == "recall" and row["segment"] == "all"]
    wanted = ("coverage", "gini", "novelty", "head_share", "vector_diversity", "attribute_diversity")
    shown = [f"{name}@{k}" for name in wanted if f"{name}@{k}" in names]
    rows = [(s, *(words.plain(found.value(s, name)) for name in shown)) for s in found.systems]
    print_table(f"lists of {k}", ("", *(words.metric(n).partition("@")[0] for n in shown)), rows)
