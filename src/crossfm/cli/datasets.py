"""``crossfm datasets``: which there are, and how to get one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from crossfm.cli.errors import verb
from crossfm.cli.show import examples, print_table, say, size

LIST_EXAMPLES = examples("crossfm datasets list")
GET_EXAMPLES = examples("crossfm datasets get movielens-100k --to data", "crossfm datasets get breast-cancer")
NEXT = {
    "movielens-100k": "crossfm train {0}/ratings.tsv --task recommendation --user user_id --item item_id "
    "--time timestamp --users {0}/users.tsv --items {0}/items.tsv --valid-fraction 0.1 --out movies.crossfm",
}


@verb
def list_sets() -> None:
    """List the data sets that crossfm can get."""
    from crossfm.datasets import list_datasets

    rows = [
        (entry.name, entry.title, entry.licence, "yes" if entry.bundled or entry.cached else "no", entry.rows)
        for entry in list_datasets()
    ]
    print_table("data sets", ("name", "what", "licence", "here", "rows"), rows, left=4)


@verb
def get(
    name: Annotated[str, typer.Argument(help="One of crossfm datasets list.")],
    to: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--to", help="Copy the files to this folder (made where it is not there)."),
    ] = None,
) -> None:
    """Fetch a data set into the cache, check its SHA-256, and say where it is."""
    from crossfm.datasets import get as fetch
    from crossfm.datasets import list_datasets

    folder = fetch(name)
    entry = next(entry for entry in list_datasets() if entry.name == name)
    if to is not None:
        folder = _copy(folder, to, entry)
    say(f"{entry.title}")
    say(f"licence: {entry.licence}")
    for file in entry.files:
        say(f"  {folder / file} ({size((folder / file).stat().st_size)})")
    if name in NEXT:
        say(f"next: {NEXT[name].format(folder)}")
    else:
        say(f"next: crossfm inspect {folder / next(iter(entry.files))}")


def _copy(folder: Path, to: Path, entry: Any) -> Path:
    from crossfm.atomic import atomic_write

    to.mkdir(parents=True, exist_ok=True)
    for file in entry.files:
        with atomic_write(to / file) as out:
            out.write((folder / file).read_bytes())
    return to
