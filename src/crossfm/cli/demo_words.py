"""The demo's words: the same on the terminal and on the page."""

from __future__ import annotations

import shlex
from typing import Any

K = 20
NAMES = {"user_id": "user", "item_id": "movie"}
SEGMENTS = {"all": "all", "warm": "known", "new": "new"}
SYSTEMS = {"popularity": "popularity", "recent popularity": "recent popularity", "fm": "FM"}


def interval(row: dict[str, Any], digits: int = 3) -> str:
    """Write a mean with its interval."""
    if row["mean"] is None:
        return "-"
    return f"{row['mean']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


EXACT = (
    "Most of a score is the movie's own weight, its recent popularity; the pairs set it apart for this user."
)


def parts_verdict(part: dict[str, Any]) -> str:
    """Say whether the parts add up."""
    n_parts = max(len(row["parts"]) for row in part["recommended"])
    verdict = "they add up to the score" if part["adds_up"] else "THEY DO NOT ADD UP"
    return f"Shares are exact: each score has up to {n_parts} parts, and {verdict} (gap {part['largest_gap']:.0e})."


def columns(part: dict[str, Any]) -> str:
    """Name the column, or the pair of columns, of a part of a score."""
    return " × ".join(NAMES.get(name, name) for name in part["columns"])


def movie(row: dict[str, Any]) -> str:
    """Write title and year; the articles that the set puts at the end go to the front."""
    title = row["title"]
    for article in ("The", "A", "An"):
        if title.endswith(f", {article}"):
            title = f"{article} {title.removesuffix(f', {article}')}"
    return f"{title} ({row['year']})" if row["year"] else str(title)


def single(row: dict[str, Any]) -> float:
    """Return the share of the score that columns gave on their own."""
    return float(sum(part["share"] for part in row["parts"] if len(part["columns"]) == 1))


def pairs(row: dict[str, Any], n: int = 3) -> list[dict[str, Any]]:
    """Return the ``n`` largest pairs of columns of a score that depend on the movie."""
    return [part for part in row["parts"] if len(part["columns"]) == 2 and not part["same_for_all"]][:n]


def constant(row: dict[str, Any]) -> float:
    """Return the share of the score that is the same for every movie."""
    return float(sum(part["share"] for part in row["parts"] if part["same_for_all"]))


def lead(part: dict[str, Any], system: str, segment: str) -> str:
    """Write the FM's lead in NDCG over a baseline, "" for the FM itself."""
    for row in part["differences"]:
        if (row["baseline"], row["segment"], row["metric"]) == (system, segment, f"ndcg@{K}"):
            return f"{row['mean']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
    return ""


def signed(part: dict[str, Any]) -> str:
    """Write a part's share of the score."""
    return f"{columns(part)} {part['share']:+.1%}"


def ratings_verdict(part: dict[str, Any]) -> str:
    """Say what features added to MF, and whether that is more than chance."""
    gain = part["mf_minus_fm_squared_error"]
    what = "lower" if gain["mean"] > 0 else "higher"
    sure = (
        "more than chance"
        if gain["low"] > 0 or gain["high"] < 0
        else "too little to tell from chance on this test"
    )
    return (
        f"With features the squared error is {abs(gain['mean']):.4f} {what} than with MF "
        f"(MF minus FM: {interval(gain, 4)}, the same ratings resampled for both): {sure}."
    )


def lists_verdict(part: dict[str, Any]) -> list[str]:
    """Say by how much the FM beats popularity, and how much of that is recency alone."""
    found = {
        (row["system"], row["segment"]): row["mean"] for row in part["rows"] if row["metric"] == f"ndcg@{K}"
    }
    fm, popularity, recent = (found[name, "all"] for name in ("fm", "popularity", "recent popularity"))
    against = {
        row["baseline"]: row
        for row in part["differences"]
        if row["metric"] == f"ndcg@{K}" and row["segment"] == "all"
    }
    touch = "do not overlap" if part["intervals_apart"] else "overlap"
    lines = [
        f"NDCG@{K}: FM {fm:.3f} against popularity {popularity:.3f}; the two intervals {touch}. Difference for the "
        f"same users: {interval(against['popularity'])}."
    ]
    if fm > popularity:
        share = (recent - popularity) / (fm - popularity)
        lines.append(
            f"Recent popularity alone reaches {recent:.3f}, {share:.0%} of that gain: here it matters most what is "
            f"watched at the time. FM minus recent popularity: {interval(against['recent popularity'])}."
        )
    return lines


def cancer_verdict(part: dict[str, Any]) -> str:
    """Say what pairs of measurements added to the linear model."""
    by_name = {system["name"]: system for system in part["systems"]}
    fm, linear = by_name["fm"], by_name["linear"]
    gap = fm["log_loss"] - linear["log_loss"]
    if abs(gap) < max(fm["log_loss_std"], linear["log_loss_std"]):
        return (
            "The differences are smaller than the spread over folds: this set is close to linear, pairs of "
            "measurements add little, and the penalties keep the FM from losing by them."
        )
    return f"The FM's log loss is {abs(gap):.4f} {'lower' if gap < 0 else 'higher'} than the linear model's."


def next_commands(user: int, folder: str | None) -> list[str]:
    """Return commands to try next."""
    if folder is None:
        return ["crossfm demo --serve", "crossfm demo --output demo-output", "crossfm datasets list"]
    recommender, ratings = (shlex.quote(f"{folder}/{name}.crossfm") for name in ("recommender", "ratings-fm"))
    return [
        f"crossfm recommend {recommender} --user {user} --explain",
        f"crossfm inspect {recommender}",
        f"crossfm inspect {ratings} --weights 10",
        "crossfm demo --serve",
    ]
