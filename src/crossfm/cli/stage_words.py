"""What an evaluation of both stages says, in words: the same on the terminal and on the page."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

TITLES = {
    "ndcg": "NDCG",
    "recall": "Recall",
    "precision": "Precision",
    "mrr": "MRR",
    "map": "MAP",
    "hit_rate": "Hit rate",
    "gauc": "GAUC",
    "auc": "AUC",
    "coverage": "Coverage",
    "gini": "Gini",
    "novelty": "Novelty, bits",
    "head_share": "Head share",
    "vector_diversity": "Diversity, vectors",
    "attribute_diversity": "Diversity, attributes",
}
MEANINGS = {
    "Recall": "share of a user's relevant items that are in the list",
    "NDCG": "hits discounted by place, 1 for the best possible list",
    "MRR": "1 / place of the first hit",
    "MAP": "precision at the places of hits, averaged",
    "Hit rate": "share of users with a hit",
    "GAUC": "chance that a relevant item scores above another unseen one of the whole catalogue, averaged over "
    "users by "
    "relevant items",
    "Coverage": "share of the catalogue that is in any list",
    "Gini": "0 when all items are listed equally often, 1 when it is one item",
    "Novelty": "-log2 of an item's share of the training interactions, averaged over lists",
    "Head share": "share of listed items that are head items",
    "Diversity": "1 - likeness of two items of one list, averaged over pairs: cosine of the machine's item vectors, or "
    "shared values of attributes",
}


def metric(name: str) -> str:
    """Write "ndcg@20" as "NDCG@20"."""
    short, at, k = name.partition("@")
    return f"{TITLES.get(short, short)}{at}{k}"


def interval(row: dict[str, Any], digits: int = 3) -> str:
    """Write a mean with its interval, "-" where there is none."""
    if row["mean"] is None:
        return "-"
    if "low" not in row:
        return f"{row['mean']:.{digits}f}"
    return f"{row['mean']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def stacked(row: dict[str, Any], digits: int = 3) -> tuple[str, str]:
    """Write a mean, and its interval for the line below."""
    if row["mean"] is None or "low" not in row:
        return plain(row, digits), ""
    return plain(row, digits), f"{row['low']:.{digits}f} to {row['high']:.{digits}f}"


def plain(row: dict[str, Any], digits: int = 3) -> str:
    """Write a mean."""
    return "-" if row["mean"] is None else f"{row['mean']:.{digits}f}"


def lead(row: dict[str, Any], digits: int = 3) -> str:
    """Write a difference with its interval and sign."""
    if row["mean"] is None:
        return "-"
    return f"{row['mean']:+.{digits}f} [{row['low']:+.{digits}f}, {row['high']:+.{digits}f}]"


def stacked_lead(row: dict[str, Any], digits: int = 3) -> tuple[str, str]:
    """Write a difference, and its interval for the line below."""
    if row["mean"] is None:
        return "-", ""
    return f"{row['mean']:+.{digits}f}", f"{row['low']:+.{digits}f} to {row['high']:+.{digits}f}"


def compared(row: dict[str, Any]) -> str:
    """Say what a difference means."""
    name = metric(row["metric"])
    both = f"{row['system'].capitalize()} against {row['other']}"
    if row["mean"] is None:
        return f"{both}: no users to be compared by."
    verdict = (
        "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "no difference that these users show"
    )
    return f"{both}: {verdict}, {name} {lead(row)}."


def verdicts(found: Any) -> list[str]:
    """Compare the final system with recall alone and with the best baseline."""
    k = max(found.about["ks"])
    others = [name for name in ("recall", found.best_baseline) if name and name != found.final]
    return [compared(found.difference(found.final, other, f"ndcg@{k}")) for other in others]


def ceiling(found: Any) -> str:
    """Say what recall leaves to ranking."""
    n, k = found.about["n_candidates"], max(found.about["ks"])
    reached = found.value("ideal ranking", f"recall@{n}")
    best = found.value("ideal ranking", f"ndcg@{k}")
    final = found.value(found.final, f"ndcg@{k}")
    return (
        f"The {n:,} candidates hold {reached['mean']:.1%} of what users chose later (mean over users). A "
        f"ranking that put all of it in "
        f"front would have NDCG@{k} {best['mean']:.3f}; this one has {final['mean']:.3f}."
    )


def total(found: Any) -> int:
    """Return the number of candidates at which channels are told of: as many as the model has."""
    return int(min(found.about["n_candidates"], max(found.channels["totals"])))


def channels(part: dict[str, Any], n: int) -> list[str]:
    """Say whether one list of recall is better than channels, and which of them add something, at ``n`` candidates."""
    lines = [compared({**one, "metric": f"recall@{n}"}) for one in part["differences"] if one["total"] == n]
    for verdict, said in (("adds", "adds something"), ("adds nothing", "adds nothing")):
        named = [one["part"] for one in part["parts"] if (one["total"], one["verdict"]) == (n, verdict)]
        if named:
            lines.append(f"In the list of recall and channels, what {said}: {', '.join(named)}.")
    return lines


def index(found: Any) -> str:
    """Say what the index of recall is, and what it misses."""
    about, report = found.index, found.index["report"]
    kind = f"{report['kind']}, {report['n_items']:,} items of {report['dim']} numbers"
    if about["overlap"] is None:
        return f"Index: {kind}."
    text = (
        f"Index: {kind}. Asked for {about['n']:,} items by {about['n_queries']:,} users of the test it found "
        f"{about['overlap']:.2%} of those of exact search; recall {about['recall']:.4f} against "
        f"{about['exact_recall']:.4f}."
    )
    measured = report.get("recall")
    if isinstance(measured, dict) and measured.get("k"):
        text += f" When it was built it found {measured['value']:.2%} of the best {measured['k']:,}."
    return text


def calibration(part: dict[str, Any]) -> str:
    """Say whether the chances mean what they say."""
    return (
        f"Chances of {part['n_pairs']:,} candidates to be chosen by their user: {part['predicted']:.2%} "
        f"predicted on "
        f"average, {part['observed']:.2%} observed; calibration error {part['ece']:.4f}, log loss "
        f"{part['log_loss']:.4f} "
        f"(a constant: {part['log_loss_of_constant']:.4f}). Learnt from a log they are of a choice in a stretch of "
        "time as long as an eighth of it; the test may be longer or shorter. Learnt from impressions they are of a "
        "choice when shown, which interactions cannot tell."
    )


def day(seconds: float) -> str:
    """Return the day (UTC) of a time in seconds."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).date().isoformat()


def sizes(about: dict[str, Any]) -> str:
    """Say what the model learned from and what it is judged by."""
    when = ""
    if "test_from" in about:
        when = f" from {day(about['test_from'])} to {day(about['test_to'])}"
    return (
        f"Trained on {about['n_training_interactions']:,} interactions of {about['n_training_users']:,} users with "
        f"{about['n_training_items']:,} items; judged by {about['n_test_interactions']:,}{when}, "
        f"{about['n_users']:,} users "
        f"with {about['n_relevant']:,} items new to them. The catalogue has {about['n_items']:,} items."
    )
