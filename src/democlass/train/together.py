"""Several processes that train one network together, as torchrun starts them; one process is a group of one."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from democlass.train.feed import Share


@contextmanager
def group(device: torch.device) -> Generator[tuple[Share, torch.device]]:
    """Join the group that the environment names, and yield this process's share and device."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Share(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Share(distributed.get_rank(), world), device
    finally:
        distributed.destroy_process_group()


def joined(network: nn.Module, share: Share, device: torch.device) -> nn.Module:
    """Return the network so that its gradients are the mean over the group."""
    if share.world == 1:
        return network
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)
