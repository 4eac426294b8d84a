"""A commented TOML file from guessed roles, for a person to read and change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from crossfm.recommender.roles import Roles

ENOUGH = 10_000  # interactions from which a second stage pays


def config_text(
    files: Mapping[str, str],
    roles: Roles,
    columns: Mapping[str, tuple[str, str]],
    binary: bool,
    *,
    n_rows: int = 0,
) -> str:
    """Return the file.

    Parameters
    ----------
    files : mapping
        "interactions", and "users", "items", "separator", "encoding" where there are any.
    roles : Roles
    columns : mapping of column to (kind, reason)
    binary : bool
        Whether the label is 0 and 1: then rows with 0 were shown and not chosen.
    n_rows : int
        Interactions; with few of them a second stage learns little.
    """
    why = roles.reasons
    has_time = roles.time is not None
    machine = "ffm" if has_time and n_rows >= ENOUGH else "none"
    lines = [
        "# A two-stage recommender. Change what is wrong, then run: crossfm fit-recommender THIS-FILE",
        "",
        "[data]  # files, relative to this one",
        _line("interactions", files["interactions"], "one row for each thing that a user did with an item"),
        _line("users", files.get("users", ""), "one row for each user; empty: none"),
        _line("items", files.get("items", ""), "one row for each item; empty: none"),
        _line("impressions", "", "items that were shown, with a label of 0 or 1; empty: none"),
    ]
    lines += [_line(name, files[name], "") for name in ("separator", "encoding") if files.get(name)]
    lines += [
        "",
        "[roles]  # which column is what; empty: none",
        _line("user", roles.user, why.get("user", "")),
        _line("item", roles.item, why.get("item", "")),
        _line("time", roles.time or "", why.get("time", "none was found: the order of the rows counts")),
        _line("label", roles.label or "", _about_label(roles, binary)),
        _line("positive", 1.0, "rows with a label of at least this count as chosen"),
        _line("context", roles.context, "known when a recommendation is asked for"),
        _line("user_columns", roles.user_columns, "columns of the interactions that describe the user"),
        _line("item_columns", roles.item_columns, "columns of the interactions that describe the item"),
        _line("title", roles.title or "", "column of the items that people are shown"),
        _line("item_time", roles.item_time or "", "column of the items: since when there is each"),
    ]
    lines += _left_out(roles)
    lines += ["", '[columns]  # "categorical", "numeric", "multi:|" (values parted by |) or "drop"']
    lines += [_line(_key(name), kind, reason) for name, (kind, reason) in columns.items()]
    lines += [
        "",
        "[recall]  # the first stage: a factorization machine, searched through its vectors",
        _line(
            "history", 20 if has_time else 0, "latest items of a user that are features: clicks count at once"
        ),
        _line(
            "half_life", 30.0 if has_time else 0.0, "days after which an interaction counts half; 0: never"
        ),
        _line("n_candidates", 300, "items that go on to the second stage"),
        *_channels(roles),
        "# options = { n_factors = 16, max_iter = 15, l2_V = 0.05 }  # of FMRanker",
        "",
        "[ranking]  # the second stage: none, fm, ffm, fwfm, or a neural one: nfm, deepfm, dcnv2, ...",
        _line("machine", machine, "none: the machine of recall ranks too"),
        _line(
            "train_on",
            "impressions" if binary else "recalled",
            'or "recalled": what recall finds beside a choice'
            if binary
            else 'or "impressions": what was shown',
        ),
        "# options = { max_iter = 3 }  # of its class",
        "",
        "[evaluation]",
        _line("test", 0.2, "latest share of the interactions, to judge by"),
        _line("ks", [10, 20], "lengths of lists"),
        _line("channels", True, "whether the report says what other ways to find items would add"),
        "",
        "[output]",
        _line("models", "models", "folder of versions, for crossfm serve"),
        _line("report", "report.html", "empty: none"),
    ]
    return "\n".join(lines) + "\n"


def _about_label(roles: Roles, binary: bool) -> str:
    if roles.label is None:
        return "none was found: every row is something chosen"
    if binary:
        return f"{roles.reasons['label']}: rows with 0 were shown and not chosen"
    return f"{roles.reasons['label']}; empty it to count every row as chosen"


def _channels(roles: Roles) -> list[str]:
    """Return channels as a comment: by default recall finds all candidates."""
    quotas = ["popular = 20", "item-kNN = 50", "tags = 20"]
    quotas += ["latest = 10"] if roles.item_time else []
    return [
        "# places among the candidates for other ways to find items; the report says which of them add something:",
        f"# channels = {{ {', '.join(quotas)} }}",
    ]


def _left_out(roles: Roles) -> list[str]:
    out = {name: why for name, why in roles.reasons.items() if why.startswith("left out")}
    return [f"# {name}: {why}" for name, why in out.items()]


def _line(name: str, value: Any, comment: str) -> str:
    text = f"{name} = {_toml(value)}"
    return f"{text}  # {comment}" if comment else text


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings have JSON's escapes
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else json.dumps(name, ensure_ascii=False)
