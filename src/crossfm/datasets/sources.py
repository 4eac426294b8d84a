"""Where a data set's bytes come from: its own site, an installed package, the user's package index."""

from __future__ import annotations

import http.client
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import urlopen

TIMEOUT = 5.0  # seconds to connect, and to wait for each block
PIP_TIMEOUT = 180.0  # seconds for the whole of ``pip download``
MAX_BYTES = 1 << 28  # of a download or of a file inside an archive: a guard, far above any set here

Files = Mapping[str, bytes]


class SourceError(Exception):
    """Why one source could not give the data; the next one is tried."""


class NotInstalledError(SourceError):
    """A package that might have carried the data is absent: no news to the user."""


class Source(Protocol):
    """A place to get a data set from."""

    def describe(self) -> str:
        """Return a name for messages, such as the host."""
        ...

    def fetch(self, scratch: Path) -> Files:
        """Return the data set's files in canonical form; ``scratch`` is an empty folder to use.

        Raises ``SourceError``.
        """
        ...


@dataclass(frozen=True)
class Site:
    """An archive (zip) on the data set's own site."""

    url: str
    members: tuple[str, ...]
    normalise: Callable[[Files], Files]

    def describe(self) -> str:
        """Return the host."""
        return urlsplit(self.url).hostname or self.url

    def fetch(self, scratch: Path) -> Files:
        """Download the archive and bring its members to canonical form."""
        archive = scratch / "download.zip"
        download(self.url, archive)
        return normalised(self.normalise, read_members(archive, self.members))


@dataclass(frozen=True)
class InstalledPackage:
    """Files that an installed package carries; it is found without being imported."""

    package: str
    members: tuple[str, ...]
    normalise: Callable[[Files], Files]

    def describe(self) -> str:
        """Return the package's name."""
        return f"installed package {self.package}"

    def fetch(self, scratch: Path) -> Files:
        """Read the files where the package lies."""
        del scratch
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise NotInstalledError("it is not installed")
        root = Path(next(iter(spec.submodule_search_locations))).parent
        try:
            files = {member: (root / member).read_bytes() for member in self.members}
        except OSError as error:
            raise SourceError(f"{error.filename}: {error.strerror}") from error
        return normalised(self.normalise, files)


@dataclass(frozen=True)
class IndexWheel:
    """Files inside a wheel on the user's own package index; the wheel is neither installed nor run."""

    requirement: str
    members: tuple[str, ...]
    normalise: Callable[[Files], Files]

    def describe(self) -> str:
        """Return the requirement."""
        return f"package index ({self.requirement})"

    def fetch(self, scratch: Path) -> Files:
        """Download the wheel without its dependencies and read the members."""
        return normalised(self.normalise, read_members(pip_download(self.requirement, scratch), self.members))


def download(url: str, path: Path) -> None:
    """Fetch ``url`` into ``path``, with a progress bar on a terminal; raises ``SourceError``.

    An ``OSError`` from here is about ``path``.
    """
    with _reading(url):
        response = urlopen(url, timeout=TIMEOUT)
    with response, path.open("wb") as out:
        with _reading(url):
            total = int(response.headers.get("Content-Length") or 0)
        received = 0
        with progress(f"Downloading {url}", total) as advance:
            while True:
                with _reading(url):
                    block = response.read(1 << 16)
                if not block:
                    break
                received += len(block)
                if received > MAX_BYTES:
                    raise SourceError(
                        f"{url} sends more than {MAX_BYTES} bytes, which cannot be this data set"
                    )
                out.write(block)
                advance(len(block))
    if total and received != total:
        raise SourceError(f"{url} broke off after {received} of {total} bytes")


@contextmanager
def _reading(url: str) -> Iterator[None]:
    """Turn what the network raises into ``SourceError``."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SourceError(f"{url} could not be read: {getattr(error, 'reason', None) or error}") from error


def pip_download(requirement: str, folder: Path) -> Path:
    """Have pip put one wheel into ``folder``, from the index that the user configured; raises ``SourceError``."""
    # Only a wheel: for anything else pip would run the package's build code.
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command = [sys.executable, "-m", "pip", "download", *options, "--retries=1", "--timeout=15"]
    announce(f"Downloading {requirement} from the package index")
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            done = subprocess.run(
                [*command, "--dest", scratch, requirement],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PIP_TIMEOUT,
                check=False,
            )
            wheels = list(Path(scratch).glob("*.whl"))
            if done.returncode == 0 and len(wheels) == 1:
                return wheels[0].rename(folder / wheels[0].name)
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"pip download took more than {PIP_TIMEOUT:.0f} s") from error
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no wheel, and no message"]
    raise SourceError(f"pip download failed: {errors[-1]}")


def read_members(archive: Path, members: tuple[str, ...]) -> dict[str, bytes]:
    """Return the named files of a zip archive; raises ``SourceError``."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in members:
                if opened.getinfo(member).file_size > MAX_BYTES:
                    raise SourceError(f"{member} unpacks to more than {MAX_BYTES} bytes")
            return {member: opened.read(member) for member in members}
    except KeyError as error:
        raise SourceError(f"{archive.name}: {error.args[0]}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise SourceError(f"{archive.name} is not a readable zip archive: {error}") from error


def normalised(normalise: Callable[[Files], Files], files: Files) -> Files:
    """Bring files to canonical form; text that does not follow the known form is a ``SourceError``."""
    try:
        return normalise(files)
    except (ValueError, IndexError, KeyError) as error:
        raise SourceError(f"its files have an unexpected form: {error}") from error


def announce(text: str) -> None:
    """Write one plain line to standard error, where no progress bar writes."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], Any]]:
    """Yield a function to call with each number of bytes: a bar on a terminal, else one line at the start."""
    if not sys.stderr.isatty():
        announce(title)
        yield lambda n_bytes: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total or None)
        yield lambda n_bytes: bar.advance(task, n_bytes)
