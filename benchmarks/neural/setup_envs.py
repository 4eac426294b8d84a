"""Make an environment for each peer of the neural benchmark in ``benchmarks/.envs``, from the package index.

    python benchmarks/neural/setup_envs.py [PEER ...]

Says which could be installed and, for the others, the installer's last words. DeepCTR needs TensorFlow 2.15 or
Keras 2, so Python 3.11 or earlier. PyTorch is pinned: fbgemm's kernels load beside that release alone, and an open
range takes the build for GPUs, of several GB; an index of CPU builds can be named in PIP_EXTRA_INDEX_URL.
"""

from __future__ import annotations

import sys

import paths  # noqa: F401
from environments import Peer, main

TORCH = "torch==2.13.0"
PEERS = {
    "deepctr": Peer("deepctr==0.9.4", ("numpy<2", "tensorflow-cpu==2.15.1", "setuptools<81")),
    "deepctr_torch": Peer("deepctr-torch==0.3.0", (TORCH, "numpy", "requests")),  # imported, not declared
    "fuxictr": Peer("fuxictr==2.3.10", (TORCH, "numpy")),
    "torch_rechub": Peer("torch-rechub==0.9.0", (TORCH, "numpy")),
    "torchfm": Peer("torchfm==0.7.0", (TORCH, "numpy")),
    "fbgemm": Peer("fbgemm-gpu-cpu==1.8.0", (TORCH, "numpy")),
}

if __name__ == "__main__":
    sys.exit(main(PEERS))
