"""The process: binding, workers, signals, draining."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from inspect import signature
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from crossfm.errors import MissingFileError, OptionError
from crossfm.serving.app import build_app
from crossfm.serving.auth import read_keys
from crossfm.serving.bundle import open_file
from crossfm.serving.hosts import is_loopback
from crossfm.serving.logs import logging_config
from crossfm.serving.memory import settle
from crossfm.serving.metrics import SHARED
from crossfm.serving.registry import Registry
from crossfm.serving.service import Service
from crossfm.serving.settings import Settings
from crossfm.serving.store import Store
from crossfm.serving.workers import drop_worker

BACKLOG = 2048  # connections that wait, as uvicorn's own
SILENT = 120  # seconds after which a worker that does not answer is killed: loading may hold it for long
_HANDED = "_CROSSFM_SERVE_SETTINGS"  # settings of the parent, for workers that are started as new processes


def check_binding(settings: Settings) -> None:
    """Raise ``OptionError`` where others could reach a server that asks nobody for a key."""
    if settings.keys is not None:
        if not read_keys(settings.keys):
            raise OptionError(
                f"{settings.keys} has no keys, so nobody could call; add one with crossfm keys add"
            )
    elif not is_loopback(settings.host):
        raise OptionError(
            f"host {settings.host!r} can be reached from other machines, but no file of keys is given: "
            "make one with crossfm keys add, and pass it as --keys"
        )


def open_registry(settings: Settings) -> Registry:
    """Return the models of ``settings.bundle``: a folder of versions, or one ``.crossfm`` file."""
    path = settings.bundle
    if path is None or not path.exists():
        raise MissingFileError(f"{path or 'bundle'}: no folder of versions and no .crossfm file there")
    keep = {
        variant.version
        for experiment in settings.experiments
        for variant in experiment.variants
        if variant.version is not None
    }
    if path.is_dir():
        return Registry(path, keep=sorted(keep))
    if keep:
        raise OptionError(
            f"experiments name the versions {sorted(keep)}, but {path} is one model, no folder of them"
        )
    return Registry(engine=open_file(path))


def make_app(settings: Settings, registry: Registry | None = None) -> FastAPI:
    """Return the app with a store of its own, which is closed when the app ends."""
    store = Store(settings.state)
    registry = registry or open_registry(settings)
    app = build_app(registry, store, settings)
    swapped = registry.on_swap

    def swapped_and_settled(new: str, old: str | None) -> None:
        swapped(new, old)
        settle()

    registry.on_swap = swapped_and_settled
    settle()
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def until_closed(app: FastAPI) -> AsyncIterator[Any]:
        _on_hangup(app.state.service.watch)
        _drain_first(app.state.service)
        async with inner(app) as state:
            yield state
        await asyncio.to_thread(store.close)  # what waits to be written is written

    app.router.lifespan_context = until_closed
    return app


def worker_app() -> FastAPI:
    """Return the app of a worker process; its parent has left the settings in the environment."""
    return make_app(Settings.model_validate_json(os.environ[_HANDED]))


def serve(settings: Settings, ready: Callable[[str], None] | None = None) -> None:
    """Serve until a signal ends it: SIGTERM and Ctrl-C drain, SIGHUP looks for a new version at once.

    Raises ``OptionError`` for an address that cannot be bound or needs keys, and whatever is wrong with the bundle.
    """
    check_binding(settings)
    if settings.workers > 1:
        _serve_many(settings, ready)
        return
    app = make_app(settings)
    taken = _bind(settings)
    config = _config(settings, app)
    if ready:
        ready(_address(settings, taken))
    _Server(config).run(sockets=[taken])


def _serve_many(settings: Settings, ready: Callable[[str], None] | None) -> None:
    open_registry(settings)  # what is wrong with the bundle is told once, here
    taken = _bind(settings)
    os.environ[_HANDED] = settings.model_dump_json()
    os.environ[SHARED] = tempfile.mkdtemp(prefix="crossfm-metrics-")
    config = _config(settings, "crossfm.serving.server:worker_app", factory=True, workers=settings.workers)
    if ready:
        ready(_address(settings, taken))
    try:
        supervisor: Any = _Workers
        older = (
            {"target": uvicorn.Server(config).run} if "target" in signature(Multiprocess).parameters else {}
        )
        supervisor(config, sockets=[taken], **older).run()
    finally:
        shutil.rmtree(os.environ.pop(SHARED), ignore_errors=True)


def _config(settings: Settings, app: Any, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=logging_config(settings.log_level),
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=30,
        timeout_worker_healthcheck=SILENT,
        timeout_graceful_shutdown=int(settings.timeout) + 1,
        h11_max_incomplete_event_size=64 * 1024,
        **more,
    )


class _Server(uvicorn.Server):
    """Uvicorn's server that ends with 0 after a signal."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End; a second Ctrl-C does not wait for requests."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True  # without uvicorn's note of the signal, which it would raise again at the end


class _Workers(Multiprocess):
    """Uvicorn's supervisor that hands a hangup on to the workers, and forgets those that have ended."""

    _pids: frozenset[int] = frozenset()

    def handle_hup(self) -> None:
        """Tell the workers; uvicorn would start all of them anew."""
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)

    def keep_subprocess_alive(self) -> None:
        """Start a worker for each that has ended, and drop what that one left for the others."""
        super().keep_subprocess_alive()
        there = frozenset(process.pid for process in self.processes if process.pid is not None)
        for pid in self._pids - there:
            drop_worker(Path(os.environ[SHARED]), pid)
        self._pids = there


def _drain_first(service: Service) -> None:
    """Let SIGTERM say for ``drain_seconds`` that this worker is not ready, so that a balancer looks elsewhere.

    Then comes what uvicorn does at a signal. A second SIGTERM changes nothing: a worker may get one from the manager of
    services and another from its parent. Ctrl-C ends at once.
    """
    loop, ends, wait = (
        asyncio.get_running_loop(),
        signal.getsignal(signal.SIGTERM),
        service.settings.drain_seconds,
    )
    if not callable(ends) or not wait:
        return

    def drain(sig: int, frame: FrameType | None) -> None:
        if not service.draining:
            service.draining = True
            loop.call_later(wait, ends, sig, frame)

    with suppress(ValueError):  # not the main thread: a test
        signal.signal(signal.SIGTERM, drain)


def _bind(settings: Settings) -> socket.socket:
    """Take the address before anything is loaded or printed. Raises ``OptionError`` where that is not possible."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((settings.host.strip("[]"), settings.port))
    except OSError as exc:
        taken.close()
        raise OptionError(
            f"{settings.host}:{settings.port} cannot be taken: {exc.strerror}; choose another port, 0 is any free one"
        ) from exc
    taken.listen(BACKLOG)  # who comes before the server is ready waits, and is not refused
    taken.set_inheritable(True)
    return taken


def _address(settings: Settings, taken: socket.socket) -> str:
    host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
    return f"http://{host}:{taken.getsockname()[1]}"


def _on_hangup(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread at each SIGHUP, where there are signals and this is the main thread."""
    if sys.platform == "win32":
        return
    loop = asyncio.get_running_loop()

    def start() -> None:
        loop.run_in_executor(None, work)

    try:
        loop.add_signal_handler(signal.SIGHUP, start)
    except (ValueError, RuntimeError, NotImplementedError):  # not the main thread: a test
        return
