"""The process group: the processes that train one network. torchrun starts several; otherwise there is one."""

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

CONTROL_TIMEOUT = timedelta(days=2)
"""How long a process waits while another one runs the teacher or validates. A process that dies is noticed at once."""

_LOST_PROCESS_WORDS = ("connection", "peer", "timed out", "socket")


@dataclass(frozen=True)
class ProcessGroup:
    """The rank of this process and the number of processes (`world_size`).

    `control` is a CPU (gloo) group for messages between the processes. None is the default group.
    """

    rank: int = 0
    world_size: int = 1
    control: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and messages."""
        return self.rank == 0

    def any(self, *flags: bool) -> list[bool]:
        """Return for each flag whether it is set in any process. All processes must call this."""
        if self.world_size == 1:
            return list(flags)
        values = torch.tensor(flags, dtype=torch.int32)
        distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self.control)
        return [bool(value) for value in values]

    def barrier(self) -> None:
        """Wait until all processes have called this."""
        if self.world_size > 1:
            distributed.barrier(group=self.control)

    def merge(self, own: dict[int, str]) -> dict[int, str]:
        """Return the entries of all processes, sorted by key. All processes must call this."""
        if self.world_size == 1:
            return own
        dicts: list[dict[int, str]] = [{}] * self.world_size
        distributed.all_gather_object(dicts, own, group=self.control)
        return dict(sorted(entry for each in dicts for entry in each.items()))


@contextmanager
def join_process_group(device: torch.device) -> Generator[tuple[ProcessGroup, torch.device]]:
    """Join the group described by the environment; yield it and the device of this process.

    Raises UsageError if the environment is not as torchrun sets it, DemoclassError if another process ends early.
    """
    world_size = _read_world_size()
    if world_size == 1:
        yield ProcessGroup(), device
        return
    try:
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        control = distributed.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"WORLD_SIZE is {world_size}, but torchrun did not set the other variables ({error}): unset it"
        ) from None
    try:
        yield ProcessGroup(distributed.get_rank(), world_size, control), device
    except RuntimeError as error:
        if any(word in str(error).lower() for word in _LOST_PROCESS_WORDS):
            raise DemoclassError("another process of this training ended early: see its error message") from None
        raise
    finally:
        distributed.destroy_process_group()


def wrap_distributed(network: nn.Module, group: ProcessGroup, device: torch.device) -> nn.Module:
    """Wrap the network in DistributedDataParallel, which averages gradients. A group of one returns it unchanged."""
    if group.world_size == 1:
        return network
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)


def _read_world_size() -> int:
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdecimal() or text == "0":
        raise UsageError(
            f"WORLD_SIZE is {text!r} in the environment: it must be the number of processes; unset it to use one"
        )
    return int(text)
