"""Make a virtual environment for each peer in ``benchmarks/.envs`` and install it from the package index.

    python benchmarks/classic/setup_envs.py [PEER ...]

Says which could be installed and, for the others, the installer's last words; ``benchmarks/.envs/report.json``
keeps that. A peer that is there already is left alone. Some are built from source: a C++ compiler and CMake
are needed for xLearn.
"""

from __future__ import annotations

import sys

import paths  # noqa: F401
from environments import Peer, main

# xLearn's build aborts without a user name, and its CMake file asks for a version that CMake 4 no longer plays.
XLEARN = {"USER": "benchmark", "CMAKE_POLICY_VERSION_MINIMUM": "3.5"}
# fastFM's setup.py imports NumPy, which an isolated build would not have.
FASTFM = ("numpy<2", "scipy", "scikit-learn", "setuptools", "wheel", "cython")
PEERS = {
    "xlearn": Peer("xlearn==0.40a1", ("numpy", "scipy"), environment=XLEARN),
    "modern_fm": Peer("modern-fm==1.1.2"),
    "fastfm": Peer("fastFM==0.2.10", FASTFM, isolated=False),
    "vw": Peer("vowpalwabbit==9.11.9", ("numpy",)),
    "libffm": Peer("pylibffm==0.4.1", ("numpy", "scipy")),
}

if __name__ == "__main__":
    sys.exit(main(PEERS))
