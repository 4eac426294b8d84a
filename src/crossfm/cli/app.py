"""The ``crossfm`` command: one verb a file, loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Optional

import typer

from crossfm.cli import (
    bundle,
    convert,
    evaluate,
    follow,
    init,
    inspect,
    keys,
    predict,
    recommend,
    replay,
    serve,
    train,
    two_stages,
)
from crossfm.cli import datasets as data_sets
from crossfm.cli.errors import OneLine, verb
from crossfm.cli.show import examples, say

app = typer.Typer(
    name="crossfm",
    cls=OneLine,
    help="Factorization machines: from a file of rows to predictions and recommendations.",
    epilog=examples(
        "crossfm demo",
        "crossfm inspect clicks.csv",
        "crossfm train clicks.csv --target click --out clicks.crossfm",
        "crossfm evaluate clicks.crossfm test.csv",
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("follow", epilog=follow.EXAMPLES)(follow.follow)
app.command("predict", epilog=predict.EXAMPLES)(predict.predict)
app.command("evaluate", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("recommend", epilog=recommend.EXAMPLES)(recommend.recommend)
app.command("serve", epilog=serve.EXAMPLES)(serve.serve)
app.command("replay", epilog=replay.EXAMPLES)(replay.replay)
app.command("convert", epilog=convert.EXAMPLES)(convert.convert)
app.command("init", epilog=init.EXAMPLES)(init.init)
app.command("fit-recommender", epilog=two_stages.EXAMPLES)(two_stages.fit_recommender)
app.command("inspect", epilog=inspect.EXAMPLES)(inspect.inspect)

sets = typer.Typer(cls=OneLine, help="Public data sets: list and get.", no_args_is_help=True)
sets.command("list", epilog=data_sets.LIST_EXAMPLES)(data_sets.list_sets)
sets.command("get", epilog=data_sets.GET_EXAMPLES)(data_sets.get)
app.add_typer(sets, name="datasets")

access = typer.Typer(cls=OneLine, help="Keys of a server: add, list, revoke.", no_args_is_help=True)
access.command("add", epilog=keys.ADD_EXAMPLES)(keys.add)
access.command("list", epilog=keys.LIST_EXAMPLES)(keys.list_keys)
access.command("revoke", epilog=keys.REVOKE_EXAMPLES)(keys.revoke)
app.add_typer(access, name="keys")

bundles = typer.Typer(cls=OneLine, help="Versions of a model for servers.", no_args_is_help=True)
bundles.command("add", epilog=bundle.ADD_EXAMPLES)(bundle.add)
bundles.command("list", epilog=bundle.LIST_EXAMPLES)(bundle.list_versions)
bundles.command("use", epilog=bundle.USE_EXAMPLES)(bundle.use)
bundles.command("check", epilog=bundle.CHECK_EXAMPLES)(bundle.check)
app.add_typer(bundles, name="bundle")


@verb
def demo(
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Folder for report.json, the models and a page with plots."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = 0,
    serve: Annotated[
        bool, typer.Option("--serve", help="Instead, serve recommendations of films, with a page.")
    ] = False,
    port: Annotated[int, typer.Option(help="With --serve; 0 takes a free one.")] = 8000,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="With --serve: open the page in the browser.")
    ] = True,
) -> None:
    """Show the main job on real data: ratings, recommendations, reasons, classification."""
    if serve:
        import_module("crossfm.cli.demo_serve").serve_demo(output, port, seed, open_page=open_page)
    else:
        import_module("crossfm.cli.demo").demo(output=output, seed=seed)


app.command("demo", epilog=examples("crossfm demo", "crossfm demo --output report", "crossfm demo --serve"))(
    demo
)


def _version(asked: bool) -> None:
    if asked:
        from crossfm import __version__

        say(f"crossfm {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Factorization machines: from a file of rows to predictions and recommendations."""


def main() -> None:
    """Run the command line."""
    app()
