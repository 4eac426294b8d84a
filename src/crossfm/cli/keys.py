"""``crossfm keys``: who may call a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfm.cli.errors import verb
from crossfm.cli.extras import needs_serve
from crossfm.cli.show import examples, print_table, say

ADD_EXAMPLES = examples("crossfm keys add keys.json shop --scope write")
LIST_EXAMPLES = examples("crossfm keys list keys.json")
REVOKE_EXAMPLES = examples("crossfm keys revoke keys.json shop")
Keys = Annotated[Path, typer.Argument(help="File of keys (JSON).")]
Name = Annotated[str, typer.Argument(help="Whose key it is; stands in logs.")]


@verb
def add(
    file: Keys,
    name: Name,
    scope: Annotated[
        str, typer.Option(help="read: lists; write: also feedback, users, items; admin: also versions.")
    ] = "read",
) -> None:
    """Make a key and print it, once: the file keeps only its SHA-256."""
    with needs_serve():
        from crossfm.serving.auth import add_key

    key = add_key(file, name, scope)
    say(f"key of {name} ({scope}), shown only now:", err=True)
    say(key)


@verb
def list_keys(file: Keys) -> None:
    """List names, scopes and dates."""
    with needs_serve():
        from crossfm.serving.auth import read_keys

    rows = [(key.name, key.scope, key.created) for key in read_keys(file)]
    print_table("keys", ("name", "scope", "created"), rows, left=3)


@verb
def revoke(file: Keys, name: Name) -> None:
    """Take a key out; servers notice within seconds."""
    with needs_serve():
        from crossfm.serving.auth import revoke_key

    revoke_key(file, name)
    say(f"revoked the key of {name}")
