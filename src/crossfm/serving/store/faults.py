"""Exceptions of the databases as ``StoreError``: what happened, what is safe, what to do."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from crossfm.errors import StoreError

_SAFE = "nothing of this call was stored, what was acknowledged before is there"
_RESTORE = "stop the server and put a backup in its place (docs/state.md)"

# Part of SQLite's or PostgreSQL's message: whether to try again, and what it means. The first that fits counts.
_MESSAGES = (
    (
        "is locked",
        True,
        f"another process has kept the database locked; {_SAFE}. Try again; if it goes on, end that process",
    ),
    ("disk is full", True, f"no space is left for the database; {_SAFE}. Make room; no restart is needed"),
    (
        "disk I/O error",
        True,
        f"the disk refused to read or write; {_SAFE}. Look at the disk, its quota and limits",
    ),
    ("malformed", False, f"the database file is damaged; {_RESTORE}"),
    (
        "not a database",
        False,
        f"the file is no SQLite database, or a damaged one; name another one, or {_RESTORE}",
    ),
    (
        "readonly database",
        False,
        "the database or its folder may not be written to; permit it, or name another place",
    ),
    (
        "unable to open",
        False,
        "the database file cannot be opened; its folder must be there and be permitted to write to",
    ),
    ("password authentication failed", False, "PostgreSQL refuses user or password; correct the URL"),
    (
        "no password supplied",
        False,
        "PostgreSQL wants a password; put it into the URL, PGPASSWORD or ~/.pgpass",
    ),
    (
        "permission denied",
        False,
        "PostgreSQL does not permit it; grant the user rights on the schema and its tables",
    ),
    ("does not exist", False, "PostgreSQL has no such database, user or table; make it first"),
)

# Beginnings of PostgreSQL's SQLSTATE; https://www.postgresql.org/docs/current/errcodes-appendix.html
_STATES = (
    (
        "08",
        True,
        f"the connection to PostgreSQL broke; {_SAFE}, unless it broke while it was confirmed. Try again",
    ),
    ("57P", True, f"PostgreSQL is stopping or starting; {_SAFE}. Try again"),
    (
        "55P03",
        True,
        f"another process has kept the tables locked; {_SAFE}. Try again; if it goes on, end that process",
    ),
    ("40", True, f"another process was in the way; {_SAFE}. Try again"),
    ("53100", True, f"no space is left for PostgreSQL; {_SAFE}. Make room; no restart is needed"),
    ("53", True, f"PostgreSQL has no more memory or connections; {_SAFE}. Try again, or raise its limits"),
    ("25006", False, "this PostgreSQL server only reads (a standby?); name the primary server"),
    ("XX001", False, "PostgreSQL found damaged data; restore a backup"),
)


def store_error(exc: Exception) -> StoreError:
    """Return what a caller is told; its own words in brackets, without statement and values."""
    if isinstance(exc, StoreError):
        return StoreError(str(exc), retry=exc.retry)  # each waiting caller raises one of its own
    if isinstance(exc, PoolTimeout):
        return StoreError(f"all connections to the database are in use; {_SAFE}. Try again", retry=True)
    if not isinstance(exc, DBAPIError) or exc.orig is None:
        return StoreError(f"the database cannot be used: {exc}")
    said = " ".join(str(exc.orig).split())
    state = str(getattr(exc.orig, "sqlstate", None) or "")
    for start, retry, meaning in _STATES:
        if state.startswith(start):
            return StoreError(f"{meaning} ({said})", retry=retry)
    for part, retry, meaning in _MESSAGES:
        if part in said:
            return StoreError(f"{meaning} ({said})", retry=retry)
    if is_lost(exc) or (not state and exc.orig.__class__.__module__.startswith("psycopg")):
        return StoreError(f"{_STATES[0][2]} ({said})", retry=True)
    return StoreError(f"the database refused; {_SAFE} ({said})")


def is_lost(exc: SQLAlchemyError) -> bool:
    """Tell whether the connection broke; the pool makes new ones then."""
    return isinstance(exc, DBAPIError) and exc.connection_invalidated
