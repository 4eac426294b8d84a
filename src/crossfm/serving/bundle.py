"""A version of a model in a folder of its own: the model, what it must answer, and digests of every byte.

FOLDER/VERSION/model.crossfm   the recommender
               golden.json     requests and their answers
               index.json      what the index measured when it was built
               manifest.json   SHA-256 and size of every file, the schema's hash, metrics, notes
FOLDER/CURRENT                 the version that is served, FOLDER/PREVIOUS the one before
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from crossfm.atomic import atomic_write
from crossfm.errors import CrossFMError, MissingFileError, ModelFileError, OptionError
from crossfm.recommender.ask import Ask
from crossfm.serving.golden import check_golden, choose_asks, read_golden, record_golden
from crossfm.serving.json_text import dumps

FORMAT = 1
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Opener = Callable[[Path, str], Any]  # (folder of a version, version) -> Engine


def open_engine(folder: Path, version: str) -> Any:
    """Load the model of a version and build its engine."""
    return open_model(folder / "model.crossfm", version)


def open_model(path: Path, version: str) -> Any:
    """Load a recommender from a file and build its engine. Raises ``ModelFileError`` for another kind of model."""
    from crossfm.models import load
    from crossfm.recommender.engine import Engine

    recommender = load(path)
    if type(recommender).__name__ != "Recommender":
        raise ModelFileError(f"{path} holds a {type(recommender).__name__}; a Recommender can be served")
    return Engine(recommender, version=version)


def open_file(path: Path) -> Any:
    """Open a model file as the only version, named by its digest."""
    return open_model(path, _digest(path)["sha256"][:12])


def check_version(version: str) -> str:
    """Return ``version`` if it can be the name of a folder. Raises ``OptionError`` for anything else."""
    if not _VERSION.fullmatch(version):
        raise OptionError(
            f"version {version[:80]!r} is no name: letters, digits, '.', '_' and '-', at most 64, "
            "the first a letter or digit"
        )
    return version


def write_bundle(
    folder: str | os.PathLike[str],
    recommender: Any,
    *,
    version: str | None = None,
    golden: int | Sequence[Ask] = 50,
    metrics: Mapping[str, Any] | None = None,
    notes: str = "",
    activate: bool = True,
    opener: Opener = open_engine,
) -> str:
    """Write a version and return its name; it is there whole or not at all.

    Parameters
    ----------
    folder : path
        Of all versions; made if it is not there.
    recommender : Recommender
        Fitted; anything with ``save(path)`` that ``opener`` reads.
    version : str or None
        None takes the time and six random digits.
    golden : int or sequence of Ask, default=50
        Requests whose answers are kept, and asked again before the version is served anywhere; a number lets this
        function choose users.
    metrics, notes : mapping, str
        Kept in the manifest and shown.
    activate : bool, default=True
        Whether running servers change to it.

    Raises ``OptionError`` for a version that is no name or exists. The answers come from the written file, so a model
    that does not survive saving is noticed here.
    """
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    now = datetime.now(timezone.utc)
    version = check_version(version or f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
    if (home / version).exists():
        raise OptionError(f"{home} has a version {version!r} already; choose another name")
    _sweep(home)
    work = home / f".{version}.{secrets.token_hex(6)}.tmp"
    work.mkdir()
    try:
        recommender.save(work / "model.crossfm")
        engine = opener(work, version)
        asks = choose_asks(engine, golden) if isinstance(golden, int) else list(golden)
        _write_json(work / "golden.json", record_golden(engine, asks))
        _write_json(work / "index.json", engine.index_report())
        _write_json(work / "manifest.json", _manifest(work, engine, version, now, metrics, notes))
        _sync(work)
        os.replace(work, home / version)
        _sync(home)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    if activate:
        point(home, version)
    return version


def read_manifest(folder: str | os.PathLike[str], version: str) -> dict[str, Any]:
    """Return the manifest of a version. Raises ``MissingFileError`` and ``ModelFileError``."""
    home = Path(folder) / check_version(version)
    try:
        manifest = json.loads((home / "manifest.json").read_text(encoding="utf8"))
    except OSError as exc:
        raise MissingFileError(
            f"there is no version {version!r}: {home.name}/manifest.json cannot be read"
        ) from exc
    except ValueError as exc:
        raise ModelFileError(f"version {version!r}: manifest.json is damaged ({exc})") from exc
    if not isinstance(manifest, dict) or manifest.get("version") != version:
        raise ModelFileError(
            f"version {version!r}: its manifest is of another version; write the bundle again"
        )
    if manifest.get("format") != FORMAT or not isinstance(manifest.get("files"), dict):
        raise ModelFileError(
            f"version {version!r} has format {manifest.get('format')!r}, but this crossfm reads {FORMAT}; upgrade it"
        )
    return manifest


def open_bundle(
    folder: str | os.PathLike[str], version: str, *, opener: Opener = open_engine
) -> tuple[Any, dict[str, Any]]:
    """Return the engine and the manifest of a version that has proved itself.

    Every byte has its digest, the schema its hash, and the golden requests have their answers (ids equal, scores to
    1e-4). Raises ``ModelFileError`` that says what is wrong, ``MissingFileError`` where there is nothing.
    """
    home = Path(folder) / check_version(version)
    manifest = read_manifest(folder, version)
    for name, told in manifest["files"].items():
        _check_file(home, name, told)
    for name in ("model.crossfm", "golden.json"):
        if name not in manifest["files"]:
            raise ModelFileError(f"version {version!r}: the manifest does not name {name}")
    engine = _opened(home, version, opener)
    if schema_hash(engine.schema()) != manifest.get("schema_hash"):
        raise ModelFileError(
            f"version {version!r}: the model's columns are not those in the manifest; write the bundle again"
        )
    check_golden(engine, read_golden(home / "golden.json"), version)
    return engine, manifest


def _opened(home: Path, version: str, opener: Opener) -> Any:
    try:
        return opener(home, version)
    except CrossFMError:
        raise
    except Exception as exc:  # whatever a damaged model makes a library raise, the old one must go on serving
        raise ModelFileError(f"version {version!r} cannot be opened: {type(exc).__name__}: {exc}") from exc


def versions(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return what the manifests tell of all versions, newest first; damaged ones with the reason."""
    told: list[dict[str, Any]] = []
    for path in Path(folder).iterdir():
        if not path.is_dir() or not _VERSION.fullmatch(path.name):
            continue
        try:
            manifest = read_manifest(folder, path.name)
        except (ModelFileError, MissingFileError) as exc:
            told.append({"version": path.name, "created": "", "error": str(exc)})
            continue
        keys = ("version", "created", "crossfm", "schema_hash", "metrics", "notes", "n_items", "n_users")
        size = sum(file.get("size", 0) for file in manifest["files"].values())
        told.append({**{key: manifest.get(key) for key in keys}, "bytes": size})
    return sorted(told, key=lambda one: (one["created"] or "", one["version"]), reverse=True)


def pointed(folder: str | os.PathLike[str], name: str = "CURRENT") -> str | None:
    """Return what CURRENT (or PREVIOUS) says; None where there is no such file. Whoever opens it checks the name."""
    try:
        with (Path(folder) / name).open("rb") as file:
            return file.read(200).decode("utf8", "replace").strip()
    except FileNotFoundError:
        return None


def point(folder: str | os.PathLike[str], version: str) -> None:
    """Make ``version`` the current one; what was current becomes the previous one."""
    read_manifest(folder, version)
    before = pointed(folder)
    if before == version:
        return
    if before is not None and _VERSION.fullmatch(before):
        with atomic_write(Path(folder) / "PREVIOUS", "w") as file:
            file.write(before + "\n")
    with atomic_write(Path(folder) / "CURRENT", "w") as file:
        file.write(version + "\n")


def schema_hash(schema: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the names and kinds of columns and roles; the values may change between versions."""
    kept = {key: value for key, value in schema.items() if not isinstance(value, list)}
    for key in ("context", "item_columns", "user_columns"):
        kept[key] = [[column["name"], column["kind"]] for column in schema.get(key, [])]
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def _manifest(
    work: Path, engine: Any, version: str, now: datetime, metrics: Mapping[str, Any] | None, notes: str
) -> dict[str, Any]:
    from crossfm import __version__

    files = {path.name: _digest(path) for path in sorted(work.iterdir())}
    return {
        "format": FORMAT,
        "version": version,
        "created": now.isoformat(timespec="seconds"),
        "crossfm": __version__,
        "schema_hash": schema_hash(engine.schema()),
        "n_items": engine.n_items,
        "n_users": engine.n_users,
        "files": files,
        "metrics": dict(metrics or {}),
        "notes": notes,
    }


def _digest(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"sha256": digest.hexdigest(), "size": path.stat().st_size}


def _check_file(home: Path, name: str, told: Any) -> None:
    if not _VERSION.fullmatch(name) or not isinstance(told, dict):
        raise ModelFileError(
            f"version {home.name!r}: the manifest names {name[:80]!r}, which is no file of a bundle"
        )
    try:
        found = _digest(home / name)
    except OSError as exc:
        raise ModelFileError(f"version {home.name!r}: {name} cannot be read ({exc.strerror})") from exc
    if found["size"] != told.get("size"):
        raise ModelFileError(
            f"version {home.name!r}: {name} has {found['size']:,} bytes, but {told.get('size')} were written; "
            "copy the bundle again"
        )
    if found["sha256"] != told.get("sha256"):
        raise ModelFileError(f"version {home.name!r}: {name} was changed or damaged; copy the bundle again")


def _write_json(path: Path, value: Any) -> None:
    path.write_bytes(dumps(value))


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        if path.is_dir() and path != folder:
            continue
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(home: Path) -> None:
    """Remove what a killed process has left: folders that nobody has written to for an hour."""
    for left in home.glob(".*.tmp"):
        with suppress(OSError):
            if left.is_dir() and time.time() - left.stat().st_mtime > 3600:
                shutil.rmtree(left, ignore_errors=True)
