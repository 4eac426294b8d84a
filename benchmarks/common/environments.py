"""Peers, each in a virtual environment of its own in ``benchmarks/.envs``, installed from the package index."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ENVS = Path(__file__).resolve().parents[1] / ".envs"


@dataclass(frozen=True)
class Peer:
    """What is installed: ``needed`` first, then ``package``."""

    package: str
    needed: tuple[str, ...] = ()
    isolated: bool = True  # False: its build sees what is needed
    environment: Mapping[str, str] = field(default_factory=dict)


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment."""
    return ENVS / peer / "bin" / "python"


def is_there(peer: str) -> bool:
    """Tell whether a peer has been installed."""
    return (ENVS / peer / "done").exists()


def install(name: str, peer: Peer) -> str:
    """Install one peer, unless it is there; return "" or why it could not be."""
    if is_there(name):
        return ""
    shutil.rmtree(ENVS / name, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(ENVS / name)], check=True)
    pip = [str(python_of(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    steps = [[*pip, *peer.needed]] if peer.needed else []
    # What was needed is named again: nothing moves it.
    steps.append([*pip, *([] if peer.isolated else ["--no-build-isolation"]), *peer.needed, peer.package])
    for step in steps:
        done = subprocess.run(
            step, env={**os.environ, **peer.environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.strip() and "WARNING" not in line]
            return "\n".join(errors[-8:])
    (ENVS / name / "done").touch()
    return ""


def available(
    names: list[str], peers: Mapping[str, Peer], *, setup: bool
) -> tuple[list[str], dict[str, str]]:
    """Return which peers can run, once installed if ``setup`` asks for it, and why others cannot."""
    skipped = {}
    for name in names:
        reason = install(name, peers[name]) if setup else ""
        if not is_there(name):
            skipped[name] = f"not installed: {reason.splitlines()[-1] if reason else 'run setup_envs.py'}"
    return [name for name in names if name not in skipped], skipped


def main(peers: Mapping[str, Peer]) -> int:
    """Install the peers named on the command line, or all; the exit code is how many could not be."""
    chosen = sys.argv[1:] or list(peers)
    if unknown := set(chosen) - set(peers):
        sys.exit(f"unknown peer {', '.join(sorted(unknown))}; there are {', '.join(peers)}")
    ENVS.mkdir(parents=True, exist_ok=True)
    report = ENVS / "report.json"
    reasons = json.loads(report.read_text()) if report.exists() else {}
    for name in chosen:
        print(f"{name}: {peers[name].package} ...", flush=True)
        reasons[name] = install(name, peers[name])
        print(
            f"{name}: {'installed' if not reasons[name] else 'not installed: ' + reasons[name]}", flush=True
        )
    report.write_text(json.dumps(reasons, indent=2) + "\n")
    return sum(bool(reasons[name]) for name in chosen)
