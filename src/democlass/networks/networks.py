"""Networks: the networks of all tasks on one device. Each batch goes through all of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import nn

from democlass.errors import DemoclassError, DeviceError
from democlass.networks.checkpoints import Checkpoint
from democlass.networks.determinism import deterministic_cudnn
from democlass.networks.fusion import fuse_if_correct, is_fusible
from democlass.networks.normalisation import Normaliser
from democlass.networks.tuning import fold_batch_norms, has_native_support
from democlass.settings import Precision
from democlass.tasks import SIDE, Geometry, Task

ACCELERATOR_BATCH = 64
"""Default number of images in a batch on a GPU."""

CPU_BATCH = 8
"""Default number of images in a batch on a CPU. Larger batches are not faster, because their activations do not fit
into the cache: see docs/performance.md.
"""

_MAX_STREAMS = 4
"""Maximum number of batches at the same time on a CPU. Each needs memory, and more than a few bring little."""

DTYPES = {
    Precision.FLOAT32: torch.float32,
    Precision.BFLOAT16: torch.bfloat16,
    Precision.FLOAT16: torch.float16,
}

_NOT_FUSED = "fused networks do not work on this CPU: unfused networks are used, with the same results, but slower"

Batch = Mapping[Geometry, torch.Tensor]
"""RGB uint8 N x SIDE x SIDE x 3 on the CPU, for each geometry."""


def pick_device(name: str) -> torch.device:
    """Return the device of that name. `auto` is cuda if available, else cpu. Raises DeviceError.

    `auto` never selects mps, because democlass has not been tested on it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise DeviceError(f"device {name} is not available: PyTorch finds {count} GPUs; the device cpu always works")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device mps is not available; the device cpu always works")
    return device


def fastest_precision(device: torch.device) -> Precision:
    """Return bfloat16 if the device has instructions for it, else float32, which is faster than emulation."""
    return Precision.BFLOAT16 if has_native_support(device, torch.bfloat16) else Precision.FLOAT32


class Networks:
    """The networks of all tasks, ready for inference.

    All batches have the same size; shorter ones are padded. This makes the probabilities of an image independent of
    the other images in the batch, of its position, and of where a run was interrupted. `warnings` are for the user.
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
        self._dtype = DTYPES[precision]
        self.batch_size = batch_size or (CPU_BATCH if device.type == "cpu" else ACCELERATOR_BATCH)
        self._threads = torch.get_num_threads()
        # Compiled networks are compiled for a fixed number of threads, and a GPU is fastest with one stream.
        self.streams = min(self._threads, _MAX_STREAMS) if device.type == "cpu" and not compiled else 1
        self.geometries = tuple(dict.fromkeys(task.geometry for task in tasks))
        self.warnings: list[str] = []
        self._modules = {task.name: self._optimise(self.checkpoints[task.name].build(task), compiled) for task in tasks}
        self._output_order = {task.name: _output_order(task, self.checkpoints[task.name]) for task in tasks}
        self._normalise = Normaliser(device)
        self._pass_size = self.batch_size
        if device.type == "cpu" and not has_native_support(device, self._dtype):
            self.warnings.append(
                f"this CPU has no instructions for {precision.value}: float32 is faster and more accurate"
            )

    def __repr__(self) -> str:
        """Return one line: the tasks, the device, the number format and the batch size."""
        names = ", ".join(task.name for task in self.tasks)
        options = f"device={self.device}, precision={self.precision.value}, batch_size={self.batch_size}"
        return f"Networks({names}; {options})"

    def new_batch(self) -> dict[Geometry, torch.Tensor]:
        """Return a batch of zeros to fill, in pinned memory if it will be copied to a GPU."""
        shape = (self.batch_size, SIDE, SIDE, 3)
        pin = self.device.type == "cuda"
        return {geometry: torch.zeros(shape, dtype=torch.uint8, pin_memory=pin) for geometry in self.geometries}

    def begin_stream(self) -> None:
        """Limit the calling thread, one of `streams` that predict at the same time, to its share of the CPU cores.

        Threads with a batch each do not wait for each other. Threads that share a batch wait after every layer, which
        costs time when decoding needs the cores too.
        """
        torch.set_num_threads(max(1, self._threads // self.streams))

    def end_streams(self) -> None:
        """Let the calling thread, and threads started later, use all CPU cores again."""
        torch.set_num_threads(self._threads)

    def predict(self, batch: Batch, *, padded: bool = True) -> dict[str, torch.Tensor]:
        """Return the probabilities for each task, by name: float32 N x labels on the CPU, labels in the task's order.

        With `padded` False a short batch is not padded. This is faster, but the last digits of the probabilities
        depend on the size of the batch. If the device runs out of memory, this and later batches are halved, with one
        warning. Raises DemoclassError if there is too little memory for one image.
        """
        while True:
            try:
                return self._predict_in_passes(batch, padded)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if self._pass_size == 1:
                    advice = "close other programs" if self.device.type == "cpu" else "try the device cpu"
                    raise DemoclassError(f"{self.device} has too little memory for one image: {advice}") from None
            self._halve()

    def _halve(self) -> None:
        if self._pass_size == self.batch_size:
            text = f"{self.device} is out of memory with batches of {self.batch_size} images: they are halved"
            warnings.warn(text, stacklevel=3)
        self._pass_size = -(-self._pass_size // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _predict_in_passes(self, batch: Batch, padded: bool) -> dict[str, torch.Tensor]:
        size = len(next(iter(batch.values())))
        results: list[dict[str, torch.Tensor]] = []
        for start in range(0, size, self._pass_size):
            part = {geometry: pixels[start : start + self._pass_size] for geometry, pixels in batch.items()}
            if padded:
                part = {geometry: _pad(pixels, self._pass_size) for geometry, pixels in part.items()}
            results.append(self._predict_once(part))
        return {task.name: torch.cat([result[task.name] for result in results])[:size].cpu() for task in self.tasks}

    def _predict_once(self, batch: Batch) -> dict[str, torch.Tensor]:
        inputs = {geometry: self._prepare(pixels) for geometry, pixels in batch.items()}
        probabilities = {}
        with deterministic_cudnn() if self.device.type == "cuda" else nullcontext():
            for task in self.tasks:
                logits = self._modules[task.name](inputs[task.geometry]).float()
                scaled = logits / self.checkpoints[task.name].temperature
                probabilities[task.name] = torch.softmax(scaled, dim=1)[:, self._output_order[task.name]]
        return probabilities

    def _prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """Copy uint8 N x H x W x 3 to the device. Return it normalised, N x 3 x H x W, channels last."""
        # Only cuda keeps a pinned source until its copy is done. On mps the copy could read later changes.
        moved = pixels.to(self.device, non_blocking=self.device.type == "cuda")
        return self._normalise(moved).to(self._dtype)

    def _optimise(self, network: nn.Module, compiled: bool) -> nn.Module:
        fold_batch_norms(network)
        placed = network.to(self.device, self._dtype).to(memory_format=torch.channels_last)
        if compiled:
            placed.compile(options={"freezing": True})
        elif is_fusible(placed, self.device, self._dtype):
            fused = fuse_if_correct(placed, torch.Size((self.batch_size, 3, SIDE, SIDE)))
            if fused is not None:
                return fused
            if _NOT_FUSED not in self.warnings:
                self.warnings.append(_NOT_FUSED)
        return placed


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a device ran out of memory. The CPU's allocator has no exception class for this."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _output_order(task: Task, checkpoint: Checkpoint) -> list[int]:
    """Return the index of the network's output for each of the task's labels."""
    return [checkpoint.labels.index(label) for label in task.labels]


def _pad(pixels: torch.Tensor, size: int) -> torch.Tensor:
    if len(pixels) == size:
        return pixels
    return torch.cat([pixels, pixels.new_zeros(size - len(pixels), *pixels.shape[1:])])
