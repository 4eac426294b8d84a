"""The page on both stages of a recommender: one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossfm.cli import report_html as html
from crossfm.cli import stage_words as words

NO_PLOTS = 'This page was made without plots. To get them: pip install "crossfm[plots]", then run it again.'
LISTS = ("coverage", "gini", "novelty", "head_share", "vector_diversity", "attribute_diversity")


def write_page(path: Path, found: Any, files: dict[str, str]) -> None:
    """Write the page of a ``StageReport``; ``files`` names the "model" and the "later interactions"."""
    from crossfm.atomic import atomic_write
    from crossfm.cli.demo import machine

    with atomic_write(path, "w") as file:
        file.write(page(found, machine(), files))


def page(found: Any, machine: dict[str, Any], files: dict[str, str]) -> str:
    """Return the page for a ``StageReport``.

    ``machine`` says what it was made with, ``files`` what was read, by what it is.
    """
    pictures, k = _figures(found), max(found.about["ks"])
    return html.document(
        f"{files['model']} on {files['later interactions']}",
        _head(found, files, k),
        "" if pictures else html.paragraph(NO_PLOTS, "note"),
        _end_to_end(found, pictures, k),
        _stages(found, pictures, k),
        _channels(found, pictures),
        _segments(found, pictures, k),
        _lists(found, pictures, k),
        _calibration(found, pictures),
        _how(found, machine, files),
    )


def _figures(found: Any) -> dict[str, str]:
    """Return the figures, none without matplotlib."""
    try:
        import crossfm.plots.style  # noqa: F401
    except ModuleNotFoundError as exc:
        if exc.name != "matplotlib":
            raise
        return {}
    from crossfm.cli.stage_plots import figures

    return figures(found)


def _head(found: Any, files: dict[str, str], k: int) -> str:
    n, best = found.about["n_candidates"], found.best_baseline
    final, ideal = (found.value(system, f"ndcg@{k}") for system in (found.final, "ideal ranking"))
    reached = found.value("ideal ranking", f"recall@{n}")
    beside = "" if best is None else f"; {best} {found.value(best, f'ndcg@{k}')['mean']:.3f}"
    shown = found.value(found.final, f"coverage@{k}")
    cards = [
        (f"{final['mean']:.3f}", f"NDCG@{k} of {found.final}{beside}"),
        (f"{reached['mean']:.1%}", f"of what users chose later is among {n:,} candidates"),
        (f"{final['mean'] / ideal['mean']:.0%}", "of the NDCG that an ideal ranking of them would have"),
        (f"{shown['mean']:.0%}", f"of {found.about['n_items']:,} items are in someone's list"),
    ]
    ranker = found.about["ranker"] or "none, the order of recall is what users see"
    lead = f"{files['model']}: recall by {found.about['retriever']}; second stage: {ranker}. {words.sizes(found.about)}"
    return html.head("How good are the lists?", lead, cards)


def _end_to_end(found: Any, pictures: dict[str, str], k: int) -> str:
    names = [f"ndcg@{each}" for each in found.about["ks"]]
    names += [f"{metric}@{k}" for metric in ("recall", "mrr", "map", "hit_rate")]
    others = [system for system in found.systems if system != found.final]
    rows = []
    for system in found.systems:
        row = [system, *(words.stacked(found.value(system, name)) for name in [*names, "gauc"])]
        if others:
            own = system == found.final
            lead = None if own else found.difference(found.final, system, f"ndcg@{k}")
            row.append("" if lead is None else words.stacked_lead(lead))
        rows.append(row)
    header = ["system", *(words.metric(name) for name in names), "GAUC"]
    header += [f"lead of {found.final}, NDCG@{k}"] if others else []
    return html.section(
        "a",
        "End to end",
        html.paragraph(
            f"Each system gives every user of the test one list of {k}, out of the whole catalogue without what the "
            "user had seen. Small: 95 % intervals, bootstrap over users; for a lead the same users are resampled for "
            "both."
        ),
        *(html.paragraph(line, "verdict") for line in words.verdicts(found)),
        html.row(
            html.figure(pictures, "systems", f"NDCG@{k} of each system."),
            html.figure(
                pictures, "leads", "Right of the dotted line: better than that system, by the same users."
            ),
        ),
        html.table(header, rows, marked=found.final),
    )


def _stages(found: Any, pictures: dict[str, str], k: int) -> str:
    by_n = {(one["system"], one["n"]): one for one in found.curve}
    ns = sorted({one["n"] for one in found.curve if one["n"] >= 100} | {found.about["n_candidates"]})
    reached = [(s, *(words.stacked(by_n[s, n]) for n in ns)) for s in found.systems if s != "two stages"]
    given = {(one["order"], one["metric"]): one for one in found.given}
    orders = list(dict.fromkeys(one["order"] for one in found.given))
    names = [*(f"ndcg@{each}" for each in found.about["ks"]), "auc"]
    ranked = [(order, *(words.stacked(given[order, name]) for name in names)) for order in orders]
    judged = given["recall", names[0]]["n_users"]
    return html.section(
        "b",
        "Stage by stage",
        html.paragraph(words.ceiling(found), "verdict"),
        html.row(
            html.figure(
                pictures, "funnel", "Relevant items of an average user, and in how many items they are."
            ),
            html.figure(
                pictures, "curve", "Recall by the number of candidates: the ceiling of what is behind it."
            ),
        ),
        "<h3>Recall: its ceiling</h3>",
        html.table(("candidates", *(f"{n:,}" for n in ns)), reached, marked="recall"),
        html.paragraph(words.index(found), "note"),
        "<h3>Ranking alone</h3>",
        html.paragraph(
            f"The {found.about['n_candidates']:,} candidates of recall in several orders, judged by the "
            f"relevant ones among "
            f"them, for the {judged:,} users who have one there. AUC: of a relevant candidate against another."
        ),
        html.row(
            html.figure(pictures, "given", "The same candidates, put in order by each."),
            html.table(("order by", *(words.metric(name) for name in names)), ranked, marked=found.final),
        ),
    )


def _channels(found: Any, pictures: dict[str, str]) -> str:
    part = found.channels
    if part is None or not part["parts"]:
        return ""
    n, totals = words.total(found), part["totals"]
    by = {(one["system"], one["total"]): one for one in part["rows"]}
    reached = [
        (system, *(words.stacked(by[system, each]) for each in totals))
        for system in dict.fromkeys(one["system"] for one in part["rows"])
    ]
    worth = [
        (
            one["part"],
            words.stacked_lead(one["loss"]),
            words.stacked_lead(one["gain"]),
            words.stacked(one["unique"]),
            f"{one['unique_hits']:,}",
            words.stacked(one["overlap"], 2),
            one["verdict"],
        )
        for one in part["parts"]
        if one["total"] == n
    ]
    header = (
        "part",
        "lost without it",
        "won by recall and it",
        "found by it alone",
        "hits",
        "overlap with recall",
        "verdict",
    )
    return html.section(
        "c",
        "One list, or several channels?",
        html.paragraph(
            "Recall of as many candidates in all: the machine's list alone, each channel alone, all channels, and "
            "recall with them. Lists of several parts take from each in turn; what was there already is passed over."
        ),
        *(html.paragraph(line, "verdict") for line in words.channels(part, n)),
        html.row(
            html.figure(pictures, "channels", "Right of the dotted line: without this part, less is found."),
            html.table(("candidates", *(f"{each:,}" for each in totals)), reached, marked="recall"),
        ),
        f"<h3>What each part is worth among {n:,} candidates</h3>",
        html.table(header, worth),
        html.paragraph(
            "Lost without it: recall of all parts together minus that of the others, with as many candidates. A part "
            "adds nothing where the interval of this has 0 in it, or is below. Won by recall and it: recall of these "
            "two in turn minus that of the machine's list alone, with as many candidates. Found by it alone: share of "
            "what users chose later that is in this part's share of the places, and in no other's; hits: how many.",
            "note",
        ),
        *(html.paragraph(f"Note: {note}.", "note") for note in part["notes"]),
    )


def _segments(found: Any, pictures: dict[str, str], k: int) -> str:
    rows = []
    for segment, meaning in found.segments.items():
        values = [found.value(system, f"ndcg@{k}", segment) for system in found.systems]
        cells = [words.stacked(value) for value in values]
        rows.append(((segment, meaning), f"{values[0]['n_users']:,}", *cells))
    header = ("segment", "users", *found.systems)
    return html.section(
        "d",
        "For whom, and of what",
        html.paragraph(
            f"NDCG@{k} for groups of users, and by relevant items of one kind alone: there the others count as "
            f"misses, so those "
            "numbers are smaller."
        ),
        html.row(html.figure(pictures, "segments", "Users judged stand below each name.", "wide")),
        html.table(header, rows),
    )


def _lists(found: Any, pictures: dict[str, str], k: int) -> str:
    there = {row["metric"] for row in found.rows}
    names = [f"{name}@{k}" for name in LISTS if f"{name}@{k}" in there]
    rows = [(s, *(words.stacked(found.value(s, name)) for name in names)) for s in found.systems]
    return html.section(
        "e",
        "What the lists are like",
        html.row(
            html.figure(pictures, "coverage", "Accuracy and coverage."),
            html.figure(pictures, "novelty", "Accuracy and novelty."),
        ),
        html.table(
            (f"lists of {k}", *(words.metric(n).partition("@")[0] for n in names)), rows, marked=found.final
        ),
    )


def _calibration(found: Any, pictures: dict[str, str]) -> str:
    if found.calibration is None:
        return ""
    return html.section(
        "f",
        "Do the chances mean what they say?",
        html.paragraph(words.calibration(found.calibration), "verdict"),
        html.row(
            html.figure(
                pictures, "calibration", "Bins of equal numbers; on the dotted line, chances are true."
            )
        ),
    )


def _how(found: Any, machine: dict[str, Any], files: dict[str, str]) -> str:
    about = found.about
    facts = [
        *files.items(),
        ("columns", ", ".join(about["columns"])),
        ("recall", about["retriever"]),
        ("second stage", about["ranker"] or "none"),
        ("history", f"{about['history']} items" if about["history"] else "none"),
        ("half-life", "none" if about["half_life"] is None else f"{about['half_life']:g} days"),
        *(
            (name, ", ".join(f"{n} {v:g}" for n, v in own.items()) or "-")
            for name, own in about["baselines"].items()
        ),
        *((name.replace("_", " "), str(value)) for name, value in machine.items()),
    ]
    return html.section(
        "g",
        "How it was measured",
        html.paragraph(
            f"{words.sizes(about)} Every list is a full ranking: no sampled negatives. Items that a user "
            f"already had in training "
            "are neither recommended nor looked for; items outside the catalogue can only be missed. The best "
            "baseline is the one "
            "that is best on this test, which favours it."
        ),
        *(html.paragraph(f"Note: {note}.", "note") for note in found.notes),
        html.details("What the metrics mean", html.table(("", ""), words.MEANINGS.items(), left=2)),
        html.details("Made with", html.table(("", ""), facts, left=2)),
    )
