"""Print what the evaluation of a recommender found."""

from __future__ import annotations

from typing import Any

from crossfm.cli.show import number, print_table, say

SHOWN = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "mrr@20", "hit_rate@20", "map@20", "gauc")


def show_evaluation(found: Any) -> None:
    """Print one table a segment of users, systems side by side, and the metrics of whole lists."""
    systems = list(dict.fromkeys(row["system"] for row in found.rows))
    names = list(dict.fromkeys(row["metric"] for row in found.rows))
    for segment, who in (
        ("all", "all users"),
        ("warm", "warm users (seen in training)"),
        ("new", "new users"),
    ):
        n_users = found.value("fm", SHOWN[1], segment)["n_users"]
        if not n_users or (segment != "all" and n_users == found.value("fm", SHOWN[1])["n_users"]):
            continue
        metrics = [name for name in names if name in SHOWN]
        rows = [(name, *(_interval(found.value(s, name, segment)) for s in systems)) for name in metrics]
        print_table(f"{who}: {n_users:,}", ("mean, 95 % interval", *systems), rows)
    whole = [name for name in names if name.partition("@")[0] in ("coverage", "gini", "novelty")]
    rows = [(name, *(found.value(s, name)["mean"] for s in systems)) for name in whole]
    print_table("lists", ("", *systems), rows)
    for note in found.notes:
        say(f"note: {note}")


def _interval(row: dict[str, Any]) -> str:
    if row["mean"] is None:
        return "-"
    return f"{number(row['mean'])} ({number(row['low'])} to {number(row['high'])})"
