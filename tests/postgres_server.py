"""A real PostgreSQL server for tests, from Debian's package or any other; nothing of it is left behind."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

OWNERS = ("postgres", "nobody")  # who runs it where the tests are root, whom PostgreSQL refuses


def programs() -> Path | None:
    """Return the folder of the newest ``initdb`` and ``postgres``, or None."""
    on_path = shutil.which("initdb")
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.split(".")[0])
    )
    folders += [Path(on_path).resolve().parent] if on_path else []
    there = [folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()]
    return there[-1] if there else None


class PostgresServer:
    """A server with a data folder of its own, reached by a socket in that folder only.

    ``durable`` waits for the disk at each commit, as a server does whose data matter.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.durable = durable
        self.bin = folder
        self.owner = _owner()
        self.home = Path(tempfile.mkdtemp(prefix="crossfm-pg-", dir="/tmp" if durable else _place()))
        self._process: subprocess.Popen[bytes] | None = None
        if self.owner:
            shutil.chown(self.home, self.owner)
        made = f"-D {self.home}/data -U crossfm -A trust -E UTF8 --no-locale --no-sync"
        self._run(["initdb", *made.split()])
        self.start()

    def url(self, schema: str = "public") -> str:
        """Return the URL of a schema in the one database."""
        return f"postgresql+psycopg://crossfm@/postgres?host={self.home}&options=-csearch_path%3D{schema}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = f"-c listen_addresses= -c unix_socket_directories={self.home}"
        settings += "" if self.durable else " -c fsync=off"
        command = [str(self.bin / "postgres"), "-D", str(self.home / "data"), *settings.split()]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_owner())
        ready = [str(self.bin / "pg_isready"), "-q", "-h", str(self.home)]
        for _ in range(600):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start: {(self.home / 'log').read_text()}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server by its process id; connections are cut."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop, and delete the data."""
        self.stop(signal.SIGQUIT)  # without putting in order what is deleted next
        shutil.rmtree(self.home)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            check=False,
            **self._as_owner(),
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")

    def _as_owner(self) -> dict[str, object]:
        if self.owner is None:
            return {"cwd": self.home}
        found = pwd.getpwnam(self.owner)
        return {"cwd": self.home, "user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def _place() -> str:
    """Return memory where there is enough, as thousands of small files are made; short, as sockets want it."""
    memory = "/dev/shm"
    enough = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    return memory if enough else "/tmp"


def _owner() -> str | None:
    if os.getuid() != 0:
        return None
    there = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in OWNERS if name in there)
