"""``crossfm train --task recommendation``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfm.cli.checkpoint import Keeper
from crossfm.cli.choosing import choose, show_columns
from crossfm.cli.fit_estimator import Job, check_settings
from crossfm.cli.lists import show_evaluation
from crossfm.cli.reading import Reading, check_column, read_table
from crossfm.cli.show import say, size
from crossfm.errors import OptionError


@dataclass(frozen=True)
class Roles:
    """Which columns and tables a recommender learns from."""

    user: str | None
    item: str | None
    time: str | None = None
    context: tuple[str, ...] = ()
    users: Path | None = None
    items: Path | None = None
    half_life: float | None = None


def fit_recommender(job: Job, roles: Roles) -> None:
    """Read the log and the tables of features, train, save, judge on later interactions."""
    _check(job)
    keeper = Keeper(job.out)
    log = read_table(job.data, job.reading)
    user = _id_column(log, roles.user, "--user", ("user_id", "user", "userid", "uid"))
    item = _id_column(log, roles.item, "--item", ("item_id", "item", "itemid", "movie_id"))
    named = [
        *([("--time", roles.time)] if roles.time else []),
        *(("--context", name) for name in roles.context),
    ]
    for option, name in named:
        check_column(log, name, option)
    users, items = (
        None if path is None else read_table(path, Reading()) for path in (roles.users, roles.items)
    )
    train, held = _split(log, roles, job)
    for name in (user, item) if job.valid else ():
        check_column(held, name, f"--valid {job.valid}: the log")
    model = _make(job, roles, user, item)
    model.columns = _columns(train, users, items, model, job)
    model.retriever.set_params(callbacks=[keeper.callback(model), *job.logs()], verbose=0 if job.quiet else 1)
    if not job.quiet:
        more = "" if held is None else f", {held.num_rows:,} held for validation"
        say(f"recommendation of {item!r} to {user!r}: {train.num_rows:,} interactions{more}")
    with keeper.guard():
        model.fit(train, users, items)
        model.save(job.out)
    _report(model, held, job)


def _check(job: Job) -> None:
    given = {
        "--target": job.target,
        "--weight": job.weight,
        "--group": job.group,
        "--init": job.init,
        "--with-state": job.with_state,
        "--early-stopping": job.early_stopping,
        "--n-features": job.n_features,
        "--table": job.tables,
    }
    for option, value in given.items():
        if value:
            raise OptionError(f"{option} means nothing for --task recommendation; leave it out")
    if job.valid is not None and job.valid_fraction:
        raise OptionError("--valid and --valid-fraction: give one of them")


def _id_column(log: Any, asked: str | None, option: str, usual: tuple[str, ...]) -> str:
    if asked is not None:
        return check_column(log, asked, option)
    folded: dict[str, str] = {name.casefold(): name for name in log.column_names}
    for name in usual:
        if name in folded:
            return folded[name]
    raise OptionError(
        f"which column has the ids? Pass {option} (there are {', '.join(log.column_names[:10])})"
    )


def _split(log: Any, roles: Roles, job: Job) -> tuple[Any, Any]:
    from crossfm.data.split import random_split, time_split
    from crossfm.recommender.times import seconds_of

    if job.valid is not None:
        return log, read_table(job.valid, job.reading)
    if not job.valid_fraction:
        return log, None
    if roles.time is None:
        train, test = random_split(log.num_rows, job.valid_fraction, job.seed)
    else:
        train, test = time_split(seconds_of(log[roles.time], roles.time), job.valid_fraction)
    return log.take(train), log.take(test)


def _make(job: Job, roles: Roles, user: str, item: str) -> Any:
    from crossfm.recommender.defaults import default_retriever
    from crossfm.recommender.recommender import Recommender

    ranker = default_retriever(job.seed)
    if job.settings.get("solver") == "ftrl":
        ranker.set_params(schedule="constant")  # it has its own
    ranker.set_params(**check_settings(job.settings, ranker, "the task recommendation"))
    if ranker.loss == "warp":
        ranker.set_params(negatives="uniform")  # its ranks are estimated from even draws
    return Recommender(
        user=user,
        item=item,
        time=None if roles.half_life is None else roles.time,  # it also splits
        context=roles.context,
        half_life=roles.half_life,
        retriever=ranker,
        n_threads=job.settings.get("n_threads", 1),
    )


def _columns(log: Any, users: Any, items: Any, model: Any, job: Job) -> Any:
    """Show the columns of each side; return them all when options say something about them, else None."""
    sides = {
        "user": (users, (model.user,)),
        "item": (items, (model.item,)),
        "context": (log.select(list(model.context)) if model.context else None, ()),
    }
    tables = [table for table, _ in sides.values() if table is not None]
    if job.overrides:
        if not tables:
            raise OptionError(
                f"{job.overrides.named()[0][1]}: there are no features without --users, --items or --context"
            )
        job.overrides.check(*tables)
    chosen: dict[str, Any] = {}
    for side, (table, ids) in sides.items():
        if table is None:
            continue
        columns = choose(
            table, job.overrides.of(table), exclude=[name for name in ids if name in table.column_names]
        )
        if not job.quiet:
            show_columns(f"{side} columns:", columns)
        chosen |= {column.name: column for column in columns}
    return list(chosen.values()) if job.overrides else None


def _report(model: Any, held: Any, job: Job) -> None:
    if job.quiet:
        return
    say(
        f"{len(model.users_.ids):,} users, {len(model.items_.ids):,} items, {model.retriever_.n_iter_} epochs"
    )
    if held is not None:
        from crossfm.recommender.evaluate import evaluate

        show_evaluation(evaluate(model, held, seed=job.seed))
    someone = model.users_.ids.take([0])[0].as_py()
    say(f"wrote {job.out} ({size(job.out.stat().st_size)})")
    say(f"next: crossfm recommend {job.out} --user {someone} --explain")
    say(f"      crossfm evaluate {job.out} LATER-INTERACTIONS")
