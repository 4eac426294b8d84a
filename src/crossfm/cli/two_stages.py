"""``crossfm fit-recommender``: both stages from one configuration, judged, and written as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossfm.cli.errors import verb
from crossfm.cli.extras import needs_serve
from crossfm.cli.reading import Reading, check_column, read_table
from crossfm.cli.show import examples, say
from crossfm.errors import DataError, OptionError

EXAMPLES = examples(
    "crossfm init clicks.csv",
    "crossfm fit-recommender recommender.toml",
    "crossfm serve models",
)


@verb
def fit_recommender(
    config: Annotated[Path, typer.Argument(help="What crossfm init wrote.")],
    judge: Annotated[
        bool,
        typer.Option("--judge/--no-judge", help="First train on the earlier part, and judge on the later."),
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")] = False,
) -> None:
    """Train recall and ranking, judge them on later interactions, and write a version that crossfm serve takes."""
    from crossfm.recommender.config import read_config

    with needs_serve():  # now, not after the training
        from crossfm.serving.bundle import write_bundle
    settings = read_config(config)
    base = config.resolve().parent
    tables = read_tables(settings, base)
    if not quiet:
        _show_tables(settings, tables)
    _tell_memory(settings, tables, quiet)
    metrics: dict[str, float] = {}
    if judge:
        metrics = _judge(settings, tables, base, quiet)
    model = _fit(settings, tables, quiet)
    if not quiet:
        say(f"trained on all {tables['interactions'].num_rows:,} interactions")
    version = write_bundle(base / settings.output.models, model, metrics=metrics)
    say(f"wrote version {version} to {settings.output.models}; next: crossfm serve {settings.output.models}")


def read_tables(settings: Any, base: Path) -> dict[str, Any]:
    """Return interactions (what was chosen), users, items and impressions, None where there are none.

    Rows without a user, an item or a time are left out, and "left_out" says so.

    Raises ``ColumnError`` for roles that no column has, ``DataError`` where nothing was chosen.
    """
    from crossfm.recommender.roles import Roles, feature_tables

    roles, reading = (
        settings.roles,
        Reading(separator=settings.data.separator or None, encoding=settings.data.encoding or None),
    )
    found: dict[str, Any] = {
        name: read_table(base / path, reading) if (path := getattr(settings.data, name)) else None
        for name in ("interactions", "users", "items", "impressions")
    }
    log = found["interactions"]
    for role in ("user", "item", "time", "label"):
        if name := getattr(roles, role):
            check_column(log, name, f"[roles] {role}")
    for name in (*roles.context, *roles.user_columns, *roles.item_columns):
        check_column(log, name, "[roles]")
    log, found["left_out"] = _whole(log, roles)
    found["interactions"] = log
    named = Roles(roles.user, roles.item, user_columns=roles.user_columns, item_columns=roles.item_columns)
    found["users"], found["items"] = feature_tables(log, named, found["users"], found["items"])
    if settings.ranking.train_on == "impressions" and found["impressions"] is None:
        if not roles.label:
            raise OptionError("[ranking] train_on is impressions, but [data] names none and [roles] no label")
        found["impressions"] = log
    if roles.label:
        found["interactions"] = _chosen(log, roles)
    if settings.ranking.train_on != "impressions":
        found["impressions"] = None
    return found


def _chosen(log: Any, roles: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    label = pc.cast(log[roles.label], pa.float64())
    chosen = log.filter(pc.fill_null(pc.greater_equal(label, roles.positive), False))
    if chosen.num_rows == 0:
        raise DataError(
            f"no row has {roles.label!r} of at least {roles.positive:g}; change [roles] positive, or empty label"
        )
    return chosen


def _whole(log: Any, roles: Any) -> tuple[Any, str]:
    """Return the rows that have a user, an item and a time (if it is a role), and what is to be said of the others."""
    import pyarrow.compute as pc

    whole, names = log, [name for name in (roles.user, roles.item, roles.time) if name]
    for name in names:
        whole = whole.filter(pc.is_valid(whole[name]))
    if whole.num_rows == 0:
        raise DataError(f"no row has all of {', '.join(names)}; look at [roles]")
    n = log.num_rows - whole.num_rows
    return whole, f"{n:,} rows are left out: they have no {', or no '.join(names)}" if n else ""


def _columns(settings: Any, tables: dict[str, Any]) -> list[Any]:
    """Return the columns that become features: as the configuration says, else inferred."""
    from crossfm.data.infer import infer_columns
    from crossfm.recommender.config import column_of

    roles, told = settings.roles, settings.columns
    context = tables["interactions"].select(roles.context) if roles.context else None
    shown = {roles.title, roles.item_time}
    columns: dict[str, Any] = {}
    for table, key in ((tables["users"], roles.user), (tables["items"], roles.item), (context, None)):
        if table is None:
            continue
        left = [n for n in table.column_names if n != key and n not in told and n not in shown]
        guessed = infer_columns(table.select(left)) if left else []
        columns |= {column.name: column for column in guessed}
        named = [n for n in table.column_names if n in told and told[n] != "drop"]
        columns |= {name: column_of(name, told[name]) for name in named}
    there = {n for t in (tables["users"], tables["items"], context) if t is not None for n in t.column_names}
    for name in told:
        if name not in there:
            raise OptionError(
                f"[columns] {name} is no column of users, items or context: {', '.join(sorted(there))}"
            )
    return list(columns.values())


def _fit(settings: Any, tables: dict[str, Any], quiet: bool) -> Any:
    from crossfm.recommender.config import make_recommender

    model = make_recommender(settings, _columns(settings, tables))
    if not quiet:
        model.retriever.set_params(verbose=1)
    impressions = tables["impressions"] if model.ranker is not None else None
    return model.fit(tables["interactions"], tables["users"], tables["items"], impressions=impressions)


def _tell_memory(settings: Any, tables: dict[str, Any], quiet: bool) -> None:
    """Say how much memory the training will take; raises ``MemoryLimitError`` where it is certain not to fit."""
    from crossfm.recommender.config import make_recommender
    from crossfm.recommender.estimate import tell_memory, training_memory

    model = make_recommender(settings, _columns(settings, tables))
    order = ("interactions", "users", "items", "impressions")
    line = tell_memory(training_memory(model, *(tables[name] for name in order)))
    if not quiet:
        say(line)


def _judge(settings: Any, tables: dict[str, Any], base: Path, quiet: bool) -> dict[str, float]:
    """Train on the earlier part, judge on the later, print and report; return the main numbers."""
    from crossfm.data.split import random_split, time_split
    from crossfm.recommender.evaluation.stages import evaluate_stages
    from crossfm.recommender.times import seconds_of

    log, time = tables["interactions"], settings.roles.time
    share = settings.evaluation.test
    if time:
        seconds = seconds_of(log[time], time)
        earlier, later = time_split(seconds, share)
        cut = seconds[earlier].max(initial=-1e300)
    else:
        earlier, later = random_split(log.num_rows, share, settings.seed)
        say("no time column: judged on a random share of the rows, which is kinder than the future is")
    part = dict(tables) | {"interactions": log.take(earlier)}
    if time and tables["impressions"] is not None:
        shown = tables["impressions"]
        part["impressions"] = shown.filter(_not_after(shown, time, cut))
    model = _fit(settings, part, quiet)
    found = evaluate_stages(
        model,
        log.take(later),
        ks=tuple(settings.evaluation.ks),
        channels=settings.evaluation.channels,
        seed=settings.seed,
    )
    _report(found, settings, base, quiet)
    return {
        f"{row['system']} {row['metric']}": row["mean"]
        for row in found.rows
        if row["segment"] == "all" and row["mean"] is not None
    }


def _report(found: Any, settings: Any, base: Path, quiet: bool) -> None:
    from crossfm.cli.stage_report import write_page
    from crossfm.cli.stage_view import show_stages

    if not quiet:
        show_stages(found)
    if settings.output.report:
        path = base / settings.output.report
        later = f"the latest {settings.evaluation.test:.0%} of {settings.data.interactions}"
        write_page(path, found, {"model": "two stages", "later interactions": later})
        if not quiet:
            say(f"wrote {settings.output.report}")


def _not_after(table: Any, time: str, cut: float) -> Any:
    import pyarrow as pa

    from crossfm.recommender.times import seconds_of

    return pa.array(seconds_of(table[time], time) <= cut)


def _show_tables(settings: Any, tables: dict[str, Any]) -> None:
    log = tables["interactions"]
    roles = settings.roles
    if tables["left_out"]:
        say(tables["left_out"])
    say(f"{log.num_rows:,} interactions of {roles.user!r} with {roles.item!r}")
    for name in ("users", "items", "impressions"):
        if tables[name] is not None:
            say(f"  {name}: {tables[name].num_rows:,} rows")
