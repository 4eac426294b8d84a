"""Which engine holds the embeddings on a device."""

from __future__ import annotations

import torch

from crossfm.errors import OptionError
from crossfm.kernels.table import Table
from crossfm.neural.engine.core import CoreEmbeddings
from crossfm.neural.engine.protocol import Embeddings


def find_device(name: str) -> torch.device:
    """Return the device; raises ``OptionError`` for one that PyTorch does not have."""
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise OptionError(f"device={name!r}, but it must be 'cpu', 'cuda' or 'cuda:0' and so on") from exc
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise OptionError(f"device={name!r}, but embeddings are trained on 'cpu' or 'cuda' only")
    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if n_devices == 0:
        build = "is a build for CPUs only" if torch.version.cuda is None else "finds no driver or no GPU"
        raise OptionError(
            f"device={name!r}, but PyTorch sees no GPU: version {torch.__version__} {build}. Take device='cpu', or "
            "install a build of PyTorch for the CUDA of this machine."
        )
    if (device.index or 0) >= n_devices:
        raise OptionError(f"device={name!r}, but PyTorch sees {n_devices} GPU(s), numbered from 0")
    return device


def make_engine(device: str, table: Table, n_fields: int, *, n_threads: int = 1) -> Embeddings:
    """Return the engine for ``device``: the compiled core on a CPU, Triton on a GPU."""
    found = find_device(device)
    if found.type == "cpu":
        return CoreEmbeddings(table, n_fields, n_threads=n_threads)
    from crossfm.neural.engine.gpu import TritonEmbeddings  # imports Triton

    return TritonEmbeddings(table, n_fields, device=found)
