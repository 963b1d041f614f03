"""Several processes that train one network together, as torchrun starts them; one process is a group of one."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from democlass.errors import DemoclassError, UsageError

LONGEST_WAIT = timedelta(days=2)
"""How long a process waits for one that asks a teacher, or validates. One that dies is noticed at once."""

_OF_A_LOST_PROCESS = ("connection", "peer", "timed out", "socket")


@dataclass(frozen=True)
class Share:
    """Which part of every batch is this process's, where several train together.

    `control` is the group, of processors, through which they agree; None is the default group.
    """

    rank: int = 0
    world: int = 1
    control: Any = None

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether any process has it set. All processes must call this."""
        if self.world == 1:
            return list(flags)
        told = torch.tensor(flags, dtype=torch.int32)
        distributed.all_reduce(told, distributed.ReduceOp.MAX, group=self.control)
        return [bool(flag) for flag in told]

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.world > 1:
            distributed.barrier(group=self.control)

    def gather(self, own: dict[int, str]) -> dict[int, str]:
        """Return the entries of all processes. All must call this."""
        if self.world == 1:
            return own
        found: list[dict[int, str]] = [{}] * self.world
        distributed.all_gather_object(found, own, group=self.control)
        return dict(sorted(entry for each in found for entry in each.items()))


@contextmanager
def group(device: torch.device) -> Generator[tuple[Share, torch.device]]:
    """Join the group that the environment names, and yield this process's share and device.

    Raises UsageError where the environment is not as torchrun sets it, DemoclassError where another process is lost.
    """
    world = _world()
    if world == 1:
        yield Share(), device
        return
    try:
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        control = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
    except (KeyError, ValueError) as error:
        raise UsageError(f"WORLD_SIZE is {world}, but torchrun has not set the rest ({error}): unset it") from None
    try:
        yield Share(distributed.get_rank(), world, control), device
    except RuntimeError as error:
        if any(word in str(error).lower() for word in _OF_A_LOST_PROCESS):
            raise DemoclassError("another process of this training has ended: its message says why") from None
        raise
    finally:
        distributed.destroy_process_group()


def joined(network: nn.Module, share: Share, device: torch.device) -> nn.Module:
    """Return the network so that its gradients are the mean over the group."""
    if share.world == 1:
        return network
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)


def _world() -> int:
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdecimal() or text == "0":
        raise UsageError(f"WORLD_SIZE is {text!r} in the environment: it is the number of processes, unset it for one")
    return int(text)
