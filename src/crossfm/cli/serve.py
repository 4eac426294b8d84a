"""``crossfm serve``: a recommender behind HTTP, with its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.extras import needs_serve
from crossfm.cli.show import examples, say

EXAMPLES = examples(
    "crossfm serve movies.crossfm",
    "crossfm serve models/ --state postgresql+psycopg://host/crossfm --workers 4",
    "crossfm serve models/ --host 0.0.0.0 --keys keys.json --settings serve.toml",
)
Text = Optional[str]  # noqa: UP045
Number = Optional[int]  # noqa: UP045
File = Optional[Path]  # noqa: UP045


@verb
def serve(
    bundle: Annotated[File, typer.Argument(help="A folder of versions, or one .crossfm file.")] = None,
    host: Annotated[Text, typer.Option(help="Address; others than loopback need --keys.")] = None,
    port: Annotated[Number, typer.Option(help="0 takes a free one.")] = None,
    state: Annotated[
        Text, typer.Option(help="URL of the database: sqlite:///FILE or postgresql+psycopg://...")
    ] = None,
    keys: Annotated[File, typer.Option(help="File of keys; see crossfm keys.")] = None,
    workers: Annotated[Number, typer.Option(help="Processes that answer.")] = None,
    page: Annotated[Optional[bool], typer.Option("--page/--no-page", help="Serve the page at /.")] = None,  # noqa: UP045
    settings: Annotated[
        File, typer.Option("--settings", help="TOML or YAML file with these and more settings.")
    ] = None,
) -> None:
    """Serve recommendations over HTTP, with a page, until Ctrl-C or SIGTERM.

    Settings also come from the environment (CROSSFM_SERVE_PORT=8001); options win. By default only this machine can
    reach the server, and the state is in crossfm.db in this folder.
    """
    with needs_serve():
        from crossfm.serving.server import serve as run
        from crossfm.serving.settings import read_settings

    chosen = read_settings(
        settings, bundle=bundle, host=host, port=port, state=state, keys=keys, workers=workers, page=page
    )

    def ready(address: str) -> None:
        say(f"serving {chosen.bundle} at {address}")
        if chosen.page:
            say(f"  page      {address}/")
        say(f"  API       {address}/docs (OpenAPI: {address}/openapi.json)")
        say(f"  stop      Ctrl-C; a new version: crossfm bundle add {chosen.bundle} MODEL")

    run(chosen, ready)
