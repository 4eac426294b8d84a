"""The demo's page: one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import Any

from crossfm.cli import demo_words as words
from crossfm.cli import report_html as html

NO_PLOTS = 'This page was made without plots. To get them: pip install "crossfm[plots]", then run it again.'


def page(report: dict[str, Any]) -> str:
    """Return the page for a report of ``crossfm demo``."""
    pictures = _figures(report)
    body = [
        _head(report),
        "" if pictures else html.paragraph(NO_PLOTS, "note"),
        _ratings(report["rating_prediction"], pictures),
        _lists(report["recommendation"], pictures),
        _person(report["explanation"], pictures),
        _cancer(report["classification"], pictures),
        _files(report),
    ]
    return html.document(f"crossfm {report['machine']['crossfm']} demo", *body)


def _figures(report: dict[str, Any]) -> dict[str, str]:
    """Return the figures, none without matplotlib."""
    try:
        import crossfm.plots.style  # noqa: F401
    except ModuleNotFoundError as exc:
        if exc.name != "matplotlib":
            raise
        return {}
    from crossfm.cli.report_plots import figures

    return figures(report)


def _head(report: dict[str, Any]) -> str:
    data, ratings, lists = (
        report["data"]["movielens-100k"],
        report["rating_prediction"],
        report["recommendation"],
    )
    by_name = {system["name"]: system for system in ratings["systems"]}
    ndcg = {
        row["system"]: row for row in lists["rows"] if (row["metric"], row["segment"]) == ("ndcg@20", "all")
    }
    fm = next(system for system in report["classification"]["systems"] if system["name"] == "fm")
    cards = [
        (f"{by_name['fm']['rmse']:.3f}", f"test RMSE in stars; bias baseline {by_name['bias']['rmse']:.3f}"),
        (f"{ndcg['fm']['mean']:.3f}", f"NDCG@20; popularity {ndcg['popularity']['mean']:.3f}"),
        (f"{fm['auc']:.3f}", "AUC on breast cancer, 5 folds"),
        (f"{report['seconds']:.0f} s", f"for everything, {report['machine']['cores']} cores"),
    ]
    lead = (
        f"crossfm {report['machine']['crossfm']} on MovieLens-100K ({data['ratings']:,} ratings of "
        f"{data['movies']:,} movies by {data['users']:,} users) and on breast cancer Wisconsin. Every number was "
        f"computed for this page with seed {report['seed']}."
    )
    return html.head("From a table to a recommendation", lead, cards)


def _ratings(part: dict[str, Any], pictures: dict[str, str]) -> str:
    rows = [
        (
            system["title"],
            f"{system['rmse']:.4f}",
            f"{system['rmse_low']:.3f} to {system['rmse_high']:.3f}",
            f"{system['mae']:.4f}",
            f"{system['valid_rmse']:.4f}",
            system["best_epoch"],
        )
        for system in part["systems"]
    ]
    return html.section(
        "a",
        "How many stars?",
        html.paragraph(
            f"Split: {part['split']} ({part['n_test']:,} ratings). Intervals: 95 % bootstrap over ratings."
        ),
        html.table(("model", "test RMSE", "95 % interval", "MAE", "validation RMSE", "epochs"), rows),
        html.paragraph(words.ratings_verdict(part), "verdict"),
        html.row(
            html.figure(pictures, "rmse", "Error of predicted ratings on the test."),
            html.figure(
                pictures, "curves", "Solid: validation; dashed: during training; dot: the epoch kept."
            ),
        ),
    )


def _lists(part: dict[str, Any], pictures: dict[str, str]) -> str:
    found = {(row["system"], row["segment"], row["metric"]): row for row in part["rows"]}
    rows = []
    for segment, title in words.SEGMENTS.items():
        for system, name in words.SYSTEMS.items():
            values = [words.interval(found[system, segment, f"{m}@{words.K}"]) for m in ("ndcg", "recall")]
            rows.append((title, name, *values, words.lead(part, system, segment)))
    half = part["half_life"]
    tried = [
        (f"{one['days']} days", f"{one['ndcg@20']:.4f} ± {one['standard_error']:.4f}")
        for one in half["candidates"]
    ]
    return html.section(
        "b",
        "What next?",
        html.paragraph(
            f"Split: {part['split']} (from {part['test_from']}, {part['n_test']:,} interactions). Every list is ranked "
            f"out of the whole catalogue, without sampled negatives. {part['n_users']} users: {part['n_warm']} known "
            f"from training, {part['n_new']} new, who are known by their features only. Intervals: 95 % bootstrap over "
            "users; the lead resamples the same users for both."
        ),
        html.table(
            ("users", "system", "NDCG@20", "Recall@20", "FM's lead in NDCG"), rows, left=2, marked="FM"
        ),
        *(html.paragraph(line, "verdict") for line in words.lists_verdict(part)),
        html.row(
            html.figure(pictures, "ndcg", "NDCG@20 with 95 % intervals."),
            html.figure(pictures, "recall", "Recall@20 with 95 % intervals."),
        ),
        html.details(
            f"How the half-life of {half['chosen']} days was chosen",
            html.paragraph(f"Rule: {half['rule']}. The test has no say in it."),
            html.table(("half-life", "NDCG@20 on the inner split ± standard error"), tried),
        ),
        *(html.paragraph(f"Note: {note}.", "note") for note in part["notes"]),
    )


def _person(part: dict[str, Any], pictures: dict[str, str]) -> str:
    user = part["user"]
    history = [
        (row["day"], "★" * round(row["rating"]), words.movie(row), row["genres"].replace("|", ", "))
        for row in part["history"]
    ]
    rows = [
        (
            row["rank"],
            words.movie(row) + (" ✓" if row["rated_later"] else ""),
            f"{row['score']:.3f}",
            f"{words.single(row):.1%}",
            ", ".join(words.signed(pair) for pair in words.pairs(row)),
        )
        for row in part["recommended"]
    ]
    alone = "Single columns gave the share called alone, nearly all of it the movie's own weight."
    return html.section(
        "c",
        f"Why these? User {user['user_id']}, {user['age']} years, {user['gender']}, {user['occupation']}",
        html.paragraph(f"Chosen by rule: {part['chosen_by']} ({part['n_history']} ratings)."),
        "<h3>Last rated</h3>",
        html.table(("day", "stars", "movie", "genres"), history, left=4, main=2),
        "<h3>Recommended</h3>",
        html.table(
            ("", "movie", "score", "alone", "largest pairs of columns, share of the score"),
            rows,
            left=5,
            main=1,
        ),
        html.paragraph(
            f"✓ rated by this user after the split. {alone} {words.parts_verdict(part)}", "verdict"
        ),
        html.paragraph(words.EXACT),
        html.row(
            html.figure(
                pictures, "waterfall", "The first score, part by part (the axis does not start at zero)."
            ),
            html.figure(pictures, "heat", "Points that pairs of columns added to each score.", "wide"),
        ),
    )


def _cancer(part: dict[str, Any], pictures: dict[str, str]) -> str:
    rows = [
        (
            system["title"],
            f"{system['auc']:.4f} ± {system['auc_std']:.4f}",
            f"{system['log_loss']:.4f} ± {system['log_loss_std']:.4f}",
            f"{system['calibration_error']:.4f}",
        )
        for system in part["systems"]
    ]
    return html.section(
        "d",
        "Benign or malignant?",
        html.paragraph(
            f"{part['n_rows']} rows, {part['n_columns']} measurements. {part['split']}. Mean ± deviation."
        ),
        html.table(("model", "AUC", "log loss", "calibration error"), rows),
        html.paragraph(words.cancer_verdict(part), "verdict"),
        html.row(
            html.figure(
                pictures,
                "roc",
                "ROC of the predictions for held-out rows: the upper left corner of the square.",
            ),
            html.figure(
                pictures, "calibration", "Calibration: on the dotted line, predictions mean what they say."
            ),
        ),
    )


def _files(report: dict[str, Any]) -> str:
    user = report["explanation"]["user"]["user_id"]
    commands = "\n".join(f"$ {command}" for command in words.next_commands(user, "."))
    facts = [(name.replace("_", " "), str(value)) for name, value in report["machine"].items()]
    sources = [
        html.paragraph(f"{name}: {about['citation']} {about['licence']}", "note")
        for name, about in report["data"].items()
    ]
    return html.section(
        "e",
        "Files, and what to try next",
        "<ul>" + "".join(f"<li><code>{escape(name)}</code></li>" for name in report["files"]) + "</ul>",
        html.paragraph("In this folder:"),
        f"<pre>{escape(commands)}</pre>",
        html.details("Made with", html.table(("", ""), facts, left=2)),
        *sources,
    )
