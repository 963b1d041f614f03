"""Networks: every task's network on one device, all of them over each batch in one pass."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from democlass.errors import DemoclassError, DeviceError
from democlass.networks.checkpoints import Checkpoint
from democlass.networks.fusion import fuse_if_it_works, fusible
from democlass.networks.normalisation import Normaliser
from democlass.networks.tuning import computes_natively, fold_batch_norms
from democlass.settings import Precision
from democlass.tasks import SIDE, Geometry, Task

ACCELERATOR_BATCH = 64

PROCESSOR_BATCH = 8
"""Images whose activations a processor's cache still holds: larger batches are no faster, see docs/performance.md."""

_MOST_STREAMS = 4
"""Batches at once on a processor: each takes memory, and beyond a few the gain is small."""

_DTYPES = {
    Precision.FLOAT32: torch.float32,
    Precision.BFLOAT16: torch.bfloat16,
    Precision.FLOAT16: torch.float16,
}

_NOT_FUSED = "fused networks do not work on this processor: plain ones are used, which answer the same, more slowly"

Batch = Mapping[Geometry, torch.Tensor]
"""RGB uint8 N x SIDE x SIDE x 3 for each geometry, in the processor's memory."""


def pick_device(name: str) -> torch.device:
    """Return the device by its name; `auto` is cuda where there is one, else cpu. Raises DeviceError.

    mps is used only where it is asked for by name: nothing here has been run on one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"device {name!r} is none of auto, cpu, cuda, cuda:N, mps")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise DeviceError(f"device {name}: PyTorch finds {count} such GPUs here; the device cpu always works")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps: there is none here; the device cpu always works")
    return device


def quickest_precision(device: torch.device) -> Precision:
    """Return bfloat16 where the device has instructions for it, else float32, which beats an imitation."""
    return Precision.BFLOAT16 if computes_natively(device, torch.bfloat16) else Precision.FLOAT32


class Networks:
    """The networks of all tasks, ready to answer.

    Batches always go through in one fixed size, short ones padded: in batches of one size an image's digits do not
    depend on its neighbours, its place, or where a run was broken off. `remarks` are what a user should be warned of.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        checkpoints: Mapping[str, Checkpoint],
        *,
        device: torch.device,
        precision: Precision = Precision.FLOAT32,
        batch_size: int | None = None,
        compiled: bool = False,
    ) -> None:
        self.tasks = tuple(tasks)
        self.checkpoints = dict(checkpoints)
        self.device = device
        self.precision = precision
        self._dtype = _DTYPES[precision]
        self.batch_size = batch_size or (PROCESSOR_BATCH if device.type == "cpu" else ACCELERATOR_BATCH)
        self._threads = torch.get_num_threads()
        # What is compiled is compiled for a number of threads, and a GPU is best asked by one.
        self.streams = min(self._threads, _MOST_STREAMS) if device.type == "cpu" and not compiled else 1
        self.geometries = tuple(dict.fromkeys(task.geometry for task in tasks))
        self.remarks: list[str] = []
        self._modules = {task.name: self._tuned(self.checkpoints[task.name].build(task), compiled) for task in tasks}
        self._order = {task.name: _canonical_order(task, self.checkpoints[task.name]) for task in tasks}
        self._normalise = Normaliser(device)
        self._pass_size = self.batch_size
        if device.type == "cpu" and not computes_natively(device, self._dtype):
            self.remarks.append(
                f"this processor has no instructions for {precision.value}: float32 is faster here and more exact"
            )

    def __repr__(self) -> str:
        """Return one line: the tasks, the device, the number format and the size of batches."""
        names = ", ".join(task.name for task in self.tasks)
        options = f"device={self.device}, precision={self.precision.value}, batch_size={self.batch_size}"
        return f"Networks({names}; {options})"

    def new_batch(self) -> dict[Geometry, torch.Tensor]:
        """Return an empty batch to be filled; pinned where a GPU will copy from it."""
        shape = (self.batch_size, SIDE, SIDE, 3)
        pin = self.device.type == "cuda"
        return {geometry: torch.zeros(shape, dtype=torch.uint8, pin_memory=pin) for geometry in self.geometries}

    def begin_stream(self) -> None:
        """Have the calling thread, one of `streams` that predict at once, take its share of the processors.

        Threads that each take a batch of their own never wait for each other, as those that share one do after every
        layer; it tells where decoding needs processors too.
        """
        torch.set_num_threads(max(1, self._threads // self.streams))

    def end_streams(self) -> None:
        """Have the calling thread, and threads to come, take all processors again."""
        torch.set_num_threads(self._threads)

    def predict(self, batch: Batch, *, padded: bool = True) -> dict[str, torch.Tensor]:
        """Return each task's probabilities: float32 N x labels in the task's order, in the processor's memory.

        Without `padded` a short batch is answered as it is, sooner, with digits of its own. Where the device runs out
        of memory, passes are halved from then on, with one warning.
        """
        while True:
            try:
                return self._predict_in_passes(batch, padded)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if self._pass_size == 1:
                    advice = "end other programs" if self.device.type == "cpu" else "try the device cpu"
                    raise DemoclassError(f"{self.device} has too little memory for one image: {advice}") from None
            self._halve()

    def _halve(self) -> None:
        if self._pass_size == self.batch_size:
            warnings.warn(f"{self.device} is out of memory with batches of {self.batch_size}: halved", stacklevel=3)
        self._pass_size = -(-self._pass_size // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _predict_in_passes(self, batch: Batch, padded: bool) -> dict[str, torch.Tensor]:
        size = len(next(iter(batch.values())))
        answers: list[dict[str, torch.Tensor]] = []
        for start in range(0, size, self._pass_size):
            part = {geometry: pixels[start : start + self._pass_size] for geometry, pixels in batch.items()}
            if padded:
                part = {geometry: _padded(pixels, self._pass_size) for geometry, pixels in part.items()}
            answers.append(self._one_pass(part))
        return {task.name: torch.cat([answer[task.name] for answer in answers])[:size].cpu() for task in self.tasks}

    def _one_pass(self, batch: Batch) -> dict[str, torch.Tensor]:
        inputs = {geometry: self._normalised(pixels) for geometry, pixels in batch.items()}
        probabilities = {}
        with _exact_cudnn() if self.device.type == "cuda" else nullcontext():
            for task in self.tasks:
                logits = self._modules[task.name](inputs[task.geometry]).float()
                scaled = logits / self.checkpoints[task.name].temperature
                probabilities[task.name] = torch.softmax(scaled, dim=1)[:, self._order[task.name]]
        return probabilities

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Copy uint8 N x H x W x 3 to the device; return it normalised, N x 3 x H x W, channels last."""
        # Only cuda keeps a pinned source until its copy is done; on mps such a copy may read what was written since.
        moved = pixels.to(self.device, non_blocking=self.device.type == "cuda")
        return self._normalise(moved).to(self._dtype)

    def _tuned(self, network: nn.Module, compiled: bool) -> nn.Module:
        fold_batch_norms(network)
        placed = network.to(self.device, self._dtype).to(memory_format=torch.channels_last)
        if compiled:
            placed.compile(options={"freezing": True})
        elif fusible(placed, self.device, self._dtype):
            fused = fuse_if_it_works(placed, torch.Size((self.batch_size, 3, SIDE, SIDE)))
            if fused is not None:
                return fused
            if _NOT_FUSED not in self.remarks:
                self.remarks.append(_NOT_FUSED)
        return placed


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether a device has too little memory; a processor's allocator has no exception of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _exact_cudnn() -> AbstractContextManager[None]:
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _canonical_order(task: Task, checkpoint: Checkpoint) -> list[int]:
    """Return, for each of the task's labels, which of the network's outputs is its own."""
    return [checkpoint.labels.index(label) for label in task.labels]


def _padded(pixels: torch.Tensor, size: int) -> torch.Tensor:
    if len(pixels) == size:
        return pixels
    return torch.cat([pixels, pixels.new_zeros(size - len(pixels), *pixels.shape[1:])])
