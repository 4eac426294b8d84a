"""``crossfm bundle``: versions of a model for servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.extras import needs_serve
from crossfm.cli.show import examples, print_table, say

ADD_EXAMPLES = examples("crossfm bundle add models movies.crossfm --notes 'ten epochs more'")
LIST_EXAMPLES = examples("crossfm bundle list models")
USE_EXAMPLES = examples("crossfm bundle use models 20260701-120000-a1b2c3")
CHECK_EXAMPLES = examples("crossfm bundle check models 20260701-120000-a1b2c3")
Folder = Annotated[Path, typer.Argument(help="Folder of versions.")]
Version = Annotated[str, typer.Argument(help="One of crossfm bundle list.")]


@verb
def add(
    folder: Folder,
    model: Annotated[Path, typer.Argument(help="A .crossfm file with a recommender.")],
    version: Annotated[Optional[str], typer.Option(help="Name; by default the time.")] = None,  # noqa: UP045
    notes: Annotated[str, typer.Option(help="Kept with it and shown.")] = "",
    golden: Annotated[int, typer.Option(min=1, help="Requests whose answers are kept as proof.")] = 50,
    use: Annotated[bool, typer.Option("--use/--no-use", help="Make it the current version.")] = True,
) -> None:
    """Write a model as a version; running servers check it and change to it."""
    with needs_serve():
        from crossfm.serving.bundle import write_bundle
    from crossfm.models import load

    name = write_bundle(folder, load(model), version=version, golden=golden, notes=notes, activate=use)
    say(f"wrote {folder / name}" + (": current now" if use else ""))


@verb
def list_versions(folder: Folder) -> None:
    """List versions, newest first."""
    with needs_serve():
        from crossfm.serving.bundle import pointed, versions

    marks = {pointed(folder, "PREVIOUS"): "previous", pointed(folder): "current"}
    rows = [
        (
            one["version"],
            marks.get(one["version"], ""),
            one["created"] or "damaged",
            one.get("n_items", ""),
            one.get("notes") or one.get("error", ""),
        )
        for one in versions(folder)
    ]
    print_table("versions", ("version", "", "created", "items", "notes"), rows, left=3)


@verb
def use(folder: Folder, version: Version) -> None:
    """Make a version the current one, after checking it."""
    with needs_serve():
        from crossfm.serving.bundle import open_bundle, point

    open_bundle(folder, version)
    point(folder, version)
    say(f"{version} is current; servers change to it within seconds")


@verb
def check(folder: Folder, version: Version) -> None:
    """Check every byte and the golden requests of a version."""
    with needs_serve():
        from crossfm.serving.bundle import open_bundle

    _, manifest = open_bundle(folder, version)
    say(f"{version} is whole: {len(manifest['files'])} files, {manifest['n_items']:,} items")
