"""Make a virtual environment for each peer in ``benchmarks/.envs`` and install it from the package index.

    python benchmarks/classic/setup_envs.py [PEER ...]

Says which could be installed and, for the others, the installer's last words; ``benchmarks/.envs/report.json``
keeps that. A peer that is there already is left alone. Some are built from source: a C++ compiler and CMake
are needed for xLearn.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ENVS = Path(__file__).resolve().parents[1] / ".envs"

PEERS = {
    "xlearn": ["numpy", "scipy", "xlearn==0.40a1"],
    "modern_fm": ["modern-fm==1.1.2"],
    "fastfm": ["numpy<2", "scipy", "scikit-learn", "setuptools", "wheel", "cython", "fastFM==0.2.10"],
    "vw": ["numpy", "vowpalwabbit==9.11.9"],
    "libffm": ["numpy", "scipy", "pylibffm==0.4.1"],
}
# xLearn's build aborts without a user name, and its CMake file asks for a version that CMake 4 no longer plays.
# fastFM's setup.py imports NumPy, which an isolated build would not have.
ENVIRONMENT = {"USER": "benchmark", "CMAKE_POLICY_VERSION_MINIMUM": "3.5"}
WITHOUT_ISOLATION = {"fastfm"}


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment."""
    return ENVS / peer / "bin" / "python"


def install(peer: str) -> str:
    """Install one peer; return "" or why it could not be."""
    if (ENVS / peer / "done").exists():
        return ""
    shutil.rmtree(ENVS / peer, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(ENVS / peer)], check=True)
    pip = [str(python_of(peer)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    *needed, package = PEERS[peer]
    steps = [[*pip, *needed]] if needed else []
    steps.append([*pip, *(["--no-build-isolation"] if peer in WITHOUT_ISOLATION else []), package])
    for step in steps:
        done = subprocess.run(
            step, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.strip() and "WARNING" not in line]
            return "\n".join(errors[-8:])
    (ENVS / peer / "done").touch()
    return ""


def main() -> int:
    """Install the peers named on the command line, or all; the exit code is how many could not be."""
    chosen = sys.argv[1:] or list(PEERS)
    if unknown := set(chosen) - set(PEERS):
        sys.exit(f"unknown peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    ENVS.mkdir(parents=True, exist_ok=True)
    report = ENVS / "report.json"
    reasons = json.loads(report.read_text()) if report.exists() else {}
    for peer in chosen:
        print(f"{peer}: {PEERS[peer][-1]} ...", flush=True)
        reasons[peer] = install(peer)
        print(
            f"{peer}: {'installed' if not reasons[peer] else 'not installed: ' + reasons[peer]}", flush=True
        )
    report.write_text(json.dumps(reasons, indent=2) + "\n")
    return sum(bool(reasons[peer]) for peer in chosen)


if __name__ == "__main__":
    sys.exit(main())
