"""A tiny MovieLens in both published forms, and a network that is not there."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from crossfm.datasets import movielens, registry, sources


def _flags(*genres: str) -> str:
    return "|".join("1" if genre in genres else "0" for genre in movielens.GENRES)


SITE = {
    "ml-100k/u.data": b"1\t2\t3\t881250949\n2\t1\t5\t891717742\n",
    "ml-100k/u.user": b"1|24|M|technician|85711\n2|53|F|other|T8H1N\n",
    "ml-100k/u.item": "\n".join(
        (
            f'1|Am\xe9lie, "une" vie (1995)|01-Jan-1995||http://x|{_flags("Animation", "Comedy")}',
            f"2|unknown||||{_flags('unknown')}",
            f"3|Giving, The (1995) (V)|01-Jan-1995||http://y|{_flags('Film-Noir')}",
        )
    ).encode("latin-1")
    + b"\n",
}
RECBOLE = {
    "inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t3\t881250949\n2\t1\t5\t891717742\n",
    "user": b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    b"1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\tT8H1N\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '1\tAm\xe9lie, "une" vie\t1995\tAnimation Comedy\n2\tunkonwn\tunkonwn\tunknown\n'
    "3\tGiving, The (1995)\tV\tFilm-Noir\n".encode(),
}
RECBOLE_FILES = {f"{movielens.RECBOLE_FOLDER}.{kind}": content for kind, content in RECBOLE.items()}


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip archive of ``files``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class World:
    """What the site and the package index answer: bytes, or the exception that they raise."""

    def __init__(self) -> None:
        self.site: bytes | Exception = sources.SourceError("no route to host")
        self.wheel: bytes | Exception = sources.SourceError("no such index")
        self.asked: list[str] = []

    def download(self, url: str, path: Path) -> None:
        self.asked.append("site")
        if isinstance(self.site, Exception):
            path.write_bytes(b"half of the arch")
            raise self.site
        path.write_bytes(self.site)

    def pip_download(self, requirement: str, folder: Path) -> Path:
        self.asked.append("index")
        if isinstance(self.wheel, Exception):
            raise self.wheel
        path = folder / "recbole.whl"
        path.write_bytes(self.wheel)
        return path


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Put a ``World`` where the network was; the package is not installed; the tiny set's digests are expected."""
    world = World()
    monkeypatch.setattr(sources, "download", world.download)
    monkeypatch.setattr(sources, "pip_download", world.pip_download)
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    files = {name: hashlib.sha256(text).hexdigest() for name, text in movielens.from_site(SITE).items()}
    tiny = replace(registry.DATA_SETS["movielens-100k"], files=files)
    monkeypatch.setitem(registry.DATA_SETS, "movielens-100k", tiny)
    return world


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, of this test alone."""
    monkeypatch.setenv("CROSSFM_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"
