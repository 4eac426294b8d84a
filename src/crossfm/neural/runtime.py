"""What runs a network: devices, precision and processes by Lightning Fabric, embeddings by an engine."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from crossfm.neural.engine.make import find_device, make_engine
from crossfm.neural.engine.processes import share

if TYPE_CHECKING:
    from crossfm.neural.network import Network
    from crossfm.neural.table import NetworkTable

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}


class Runtime:
    """One network on its device.

    Started by ``torchrun``, every process has all rows and takes its share of each batch: gradients of the layers are
    averaged (DistributedDataParallel), those of the embeddings gathered, and each process makes the same step.

    Attributes
    ----------
    fabric : Fabric
    module : the model as Fabric runs it
    engine : Embeddings
    """

    def __init__(self, network: Network, table: NetworkTable) -> None:
        self.key = (network.precision, network.device, network.compiled)
        self.fabric = make_fabric(network.precision, network.device)
        model: nn.Module = table.model
        if network.compiled:
            model = torch.compile(model, dynamic=True)  # type: ignore[assignment]
        self.module, self.optimizer = self.fabric.setup(model, table.optimizer)
        self.engine = make_engine(str(self.fabric.device), table.embeddings, table.n_fields)

    @property
    def device(self) -> torch.device:
        """Where the layers are."""
        device: torch.device = self.fabric.device
        return device

    def share(self, n_rows: int) -> slice:
        """Return which rows of a batch this process takes; all of them where there are fewer rows than processes."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        if n_rows < world:
            return slice(0, n_rows)
        return share(n_rows, world, rank)

    def total(self, value: float) -> float:
        """Return the sum of ``value`` over all processes."""
        if self.fabric.world_size == 1:
            return value
        summed = self.fabric.all_reduce(torch.tensor(value, dtype=torch.float64), reduce_op="sum")
        assert isinstance(summed, Tensor)
        return float(summed)


def make_fabric(precision: str, device: str) -> Fabric:
    """Return Fabric on one device, or on one of each process that ``torchrun`` has started.

    Raises ``OptionError`` for a device that is not there.
    """
    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # it announces the precision on standard error
    found = find_device(device)
    kind = found.type
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        which = [found.index or 0] if kind == "cuda" else 1
        return Fabric(accelerator=kind, devices=which, precision=PRECISIONS[precision])
    here = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    fabric = Fabric(
        accelerator=kind,
        devices=here,
        num_nodes=world // here,
        strategy="ddp",
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric
