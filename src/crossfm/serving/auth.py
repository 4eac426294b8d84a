"""API keys: 256 random bits, kept as SHA-256, compared in constant time.

A key is random and long, so a plain digest is enough: there is nothing to guess from a dictionary. The file is JSON:
{"keys": [{"name", "scope", "sha256", "created"}]}.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from crossfm.atomic import atomic_write
from crossfm.errors import DataError, MissingFileError, OptionError

SCOPES = ("read", "write", "admin")
PREFIX = "cfm_"
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Key:
    """What is known of a key; not the key."""

    name: str
    scope: str
    sha256: str
    created: str

    def allows(self, scope: str) -> bool:
        """Whether ``scope`` is this key's or a lower one."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


LOCAL = Key("local", "admin", "", "")  # who asks where no keys are set: only this machine can


class KeyRing:
    """The keys of a file, read again when the file changes.

    Parameters
    ----------
    path : path or None
        None: no keys, everybody may do everything (only for a loopback address).

    Raises ``MissingFileError`` and ``DataError`` for a file that cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self.keys: list[Key] = []
        self.refresh()

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        return self.path is None

    def refresh(self) -> bool:
        """Read the file if it has changed since the last time; return whether it had."""
        if self.path is None:
            return False
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return False
        self.keys = read_keys(self.path)
        self._stamp = stamp
        return True

    def find(self, given: str | None) -> Key | None:
        """Return the key that was given, after comparing with every one of them."""
        if self.open:
            return LOCAL
        digest = hashlib.sha256((given or "").encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(digest, key.sha256):
                found = key
        return found if given else None


def given_key(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Return the key of a request: ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``."""
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1").strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].decode("latin-1").strip()
    return None


def read_keys(path: Path) -> list[Key]:
    """Return the keys of a file. Raises ``MissingFileError``, ``DataError`` for one that holds something else."""
    try:
        keys = [Key(**entry) for entry in json.loads(path.read_text(encoding="utf8"))["keys"]]
    except FileNotFoundError as exc:
        raise MissingFileError(f"{path}: no file of keys; make one with crossfm keys add") from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DataError(
            f"{path} is no file of keys ({type(exc).__name__}); crossfm keys add makes one"
        ) from exc
    for key in keys:
        texts = all(isinstance(value, str) for value in asdict(key).values())
        if not texts or key.scope not in SCOPES or not _DIGEST.fullmatch(key.sha256):
            raise DataError(f"{path}: key {key.name!r} has no scope of {', '.join(SCOPES)} or no SHA-256")
    return keys


def add_key(path: Path, name: str, scope: str) -> str:
    """Add a key to the file, which is made if it is not there, and return it: it is stored nowhere.

    Raises ``OptionError`` for a name that is taken and an unknown scope.
    """
    if scope not in SCOPES:
        raise OptionError(f"scope is {scope!r}, but it must be one of {', '.join(SCOPES)}")
    keys = read_keys(path) if path.exists() else []
    if not name.strip() or any(key.name == name for key in keys):
        raise OptionError(f"the name {name!r} is empty or taken; choose another, or revoke that key first")
    key = PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    _write(path, [*keys, Key(name, scope, digest, created)])
    return key


def revoke_key(path: Path, name: str) -> None:
    """Take a key out of the file; servers notice within seconds. Raises ``OptionError`` for an unknown name."""
    keys = read_keys(path)
    left = [key for key in keys if key.name != name]
    if len(left) == len(keys):
        raise OptionError(
            f"{path} has no key {name!r}; it has {', '.join(key.name for key in keys) or 'none'}"
        )
    _write(path, left)


def _write(path: Path, keys: list[Key]) -> None:
    with atomic_write(path, "w") as file:
        json.dump({"keys": [asdict(key) for key in keys]}, file, indent=2)
    os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as exc:
        raise MissingFileError(f"{path}: no file of keys; make one with crossfm keys add") from exc
    return found.st_mtime_ns, found.st_ino
