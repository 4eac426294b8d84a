"""``crossfm replay``: what another version or other knobs would have earned, from the log of what was shown."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.extras import needs_serve
from crossfm.cli.reading import check_out
from crossfm.cli.show import examples, print_table, say
from crossfm.errors import MissingFileError, OptionError

EXAMPLES = examples(
    "crossfm replay models --state sqlite:///crossfm.db --temperature 0.1",
    "crossfm replay models --version 20260701-120000-a1b2c3 --event 'rating>=4' --window 604800",
    "crossfm replay models --popularity 0.5 --json replay.json",
)
MANY = 100.0  # times as many lists: more are not told
Text = Optional[str]  # noqa: UP045
Number = Optional[float]  # noqa: UP045
Count = Optional[int]  # noqa: UP045
File = Optional[Path]  # noqa: UP045


@verb
def replay(
    bundle: Annotated[Path, typer.Argument(help="A folder of versions, or one .crossfm file.")],
    version: Annotated[Text, typer.Option(help="Of the folder; by default the current one.")] = None,
    state: Annotated[Text, typer.Option(help="URL of the server's database.")] = None,
    settings: Annotated[
        File, typer.Option("--settings", help="The server's file of settings: what is history, what is seen.")
    ] = None,
    event: Annotated[str, typer.Option(help="What counts: a type, or a rule such as 'rating>=4'.")] = "click",
    window: Annotated[
        float,
        typer.Option(help="Seconds after a list in which its events count; younger lists are left out."),
    ] = 86_400.0,
    temperature: Annotated[Number, typer.Option(help="In the place of what was asked.")] = None,
    popularity: Annotated[Number, typer.Option(help="In the place of what was asked.")] = None,
    diversity: Annotated[Number, typer.Option(help="In the place of what was asked.")] = None,
    candidates: Annotated[Count, typer.Option(help="In the place of what was asked.")] = None,
    ranking: Annotated[
        bool, typer.Option("--ranking/--no-ranking", help="With or without the second stage.")
    ] = True,
    lists: Annotated[int, typer.Option(help="The latest lists that are used.")] = 20_000,
    clip: Annotated[float, typer.Option(help="Largest weight of clipped IPS.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of the bootstrap intervals.")] = 0,
    json_file: Annotated[File, typer.Option("--json", help="Write the numbers to this file too.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only; needs --json.")] = False,
) -> None:
    """Judge a version by lists that others have shown: no user sees it.

    Each list of the log that was drawn with a temperature is asked for again; lists that the new version is likelier to
    show weigh more, others less. Intervals are 95 % bootstrap over users.
    """
    with needs_serve():
        from crossfm.serving.replay import open_version, replay_log
        from crossfm.serving.settings import read_settings
        from crossfm.serving.store import Store
    if json_file is not None:
        check_out(json_file, [bundle if bundle.is_file() else None])
    elif quiet:
        raise OptionError("--quiet leaves the numbers nowhere to go; name a file with --json")
    chosen = read_settings(settings, state=state)
    _check_state(chosen.state)
    asked = {
        "temperature": temperature,
        "popularity": popularity,
        "diversity": diversity,
        "candidates": candidates,
    }
    knobs = {name: value for name, value in asked.items() if value is not None}
    loaded = open_version(bundle, version, ranking=ranking)
    with Store(chosen.state) as store:
        loaded.catch_up(store, lambda item, reason: say(f"note: item {item} is left out: {reason}", err=True))
        found = replay_log(
            store,
            loaded,
            chosen,
            knobs=knobs,
            event=event,
            window=window,
            most=lists,
            clip=clip,
            seed=seed,
            told=lambda line: None if quiet else say(line),
        )
    if not quiet:
        _show(found, loaded.version, knobs, event)
    if json_file is not None:
        about = {"version": loaded.version, "knobs": knobs, "event": event, "window": window, "clip": clip}
        _write(json_file, about | _numbers(found))
        if not quiet:
            say(f"wrote {json_file}")


def _check_state(url: str) -> None:
    """Refuse a file that is not there: the store would make it."""
    start = "sqlite:///"
    if url.startswith(start) and not Path(url.removeprefix(start).partition("?")[0]).is_file():
        raise MissingFileError(f"{url}: no such state; name the server's with --state")


def _show(found: Any, version: str, knobs: dict[str, Any], event: str) -> None:
    told, r = ", ".join(f"{name} {value:g}" for name, value in knobs.items()), found.replay
    new = f"{version} with {told}" if told else version
    say(f"{r.n_lists:,} lists of {r.n_users:,} users and sessions; of {found.n_read:,} in the log,")
    for reason, n in sorted(found.refused.items(), key=lambda pair: -pair[1]):
        say(f"  {n:,} {reason}")
    if found.n_checked:
        say(
            f"{version} gives the logged chances again for {found.n_same:,} of {found.n_checked:,} of its own lists"
        )
        if found.n_same < 0.95 * found.n_checked:
            say(
                "note: requests are not asked again as they were: pass the server's --settings; users or items may "
                "have changed since"
            )
    rows = [("logged", _interval(r.logged), "", float(r.n_lists))]
    rows += [
        (name, _interval(one.value), _interval(one.difference, signed=True), one.lists)
        for name, one in r.estimates.items()
    ]
    header = ("", "a list, 95 % interval", "difference from logged", "in effect")
    print_table(f"{event} events: {new}", header, [(*row[:3], f"{row[3]:,.0f}") for row in rows])
    places = [(str(p.place), f"{p.logged:.4f}", _plain(p.target), f"{p.lists:,.0f}") for p in r.places[:10]]
    print_table("by place", ("place", "logged", "new, RIPS", "lists in effect"), places)
    say(
        f"the new version could show {r.supported:.1%} of these lists; mean weight {_interval(r.weight)}, where 1 is "
        "full support"
    )
    say(verdict(r))


def verdict(r: Any) -> str:
    """Say what the estimates mean."""
    judge = r.estimates["RIPS"]
    if r.verdict in ("better", "worse"):
        share = f" ({judge.difference.mean / r.logged.mean:+.0%})" if r.logged.mean else ""
        return f"{r.verdict} than what was shown, by {_interval(judge.difference, signed=True)} a list{share}"
    if r.verdict == "unsupported":
        return (
            "cannot be told: the log has too little of what the new version shows; serve with a higher temperature, or "
            "judge a setting nearer to the logged one"
        )
    if all(abs(end) < 1e-4 for end in judge.difference):
        return "the same as what was shown: every list of the log is as likely"
    if r.needed > MANY * r.n_lists:
        return f"cannot be told: {MANY:g} times as many lists would not do"
    more = max(r.needed - r.n_lists, 0.0)
    return f"cannot be told: a difference of this size takes about {_round(more):,} more lists such as these"


def _round(n: float) -> int:
    """Two digits: it is a rough guess."""
    return int(float(f"{n:.2g}"))


def _interval(one: Any, *, signed: bool = False) -> str:
    if not isfinite(one.mean):
        return "-"
    sign = "+" if signed else ""
    return f"{one.mean:{sign}.3f} [{one.low:{sign}.3f}, {one.high:{sign}.3f}]"


def _plain(value: float) -> str:
    return f"{value:.4f}" if isfinite(value) else "-"


def _numbers(found: Any) -> dict[str, Any]:
    told: dict[str, Any] = _json(asdict(found))
    r = found.replay
    told["replay"] |= {"verdict": r.verdict, "needed": r.needed if isfinite(r.needed) else None}
    return told


def _json(value: Any) -> Any:
    """Return dicts and lists that JSON holds; what is no number is null."""
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    if hasattr(value, "_asdict"):
        return _json(value._asdict())
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _write(path: Path, numbers: dict[str, Any]) -> None:
    from crossfm.atomic import atomic_write

    with atomic_write(path, "w") as file:
        file.write(json.dumps(numbers, indent=2, allow_nan=False) + "\n")
