"""Validation: the logits of a network for labelled images, and its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from democlass.errors import ImageError, UsageError
from democlass.inputs.labels import Example
from democlass.networks.normalisation import Normaliser
from democlass.networks.tuning import has_native_support
from democlass.tasks import Task
from democlass.train.image_reader import ImageReader

_BATCH_SIZE = 32


@dataclass(frozen=True)
class ValidationResult:
    """The confusion matrix of a network: `confusion[i, j]` counts examples of label i predicted as label j (int64)."""

    labels: tuple[str, ...]
    confusion: torch.Tensor

    @classmethod
    def from_logits(cls, task: Task, logits: torch.Tensor, targets: torch.Tensor) -> ValidationResult:
        """Compare logits (float N x labels) with targets (int64 N)."""
        size = len(task.labels)
        pairs = targets * size + logits.argmax(1)
        return cls(task.labels, torch.bincount(pairs, minlength=size * size).view(size, size))

    @property
    def accuracy(self) -> float:
        """The share of correct predictions."""
        return float(self.confusion.diagonal().sum() / self.confusion.sum())

    @property
    def recalls(self) -> dict[str, float]:
        """The recall of each label that has examples."""
        counts = self.confusion.sum(1)
        recalls = self.confusion.diagonal() / counts.clamp(min=1)
        return {
            label: recall
            for label, recall, count in zip(self.labels, recalls.tolist(), counts.tolist(), strict=True)
            if count
        }

    @property
    def macro_recall(self) -> float:
        """The mean of the recalls: each label that has examples counts the same."""
        return sum(self.recalls.values()) / len(self.recalls)

    @property
    def score(self) -> float:
        """The mean of accuracy and macro recall. The network with the highest score becomes the checkpoint."""
        return (self.accuracy + self.macro_recall) / 2

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain values, for the checkpoint's card."""
        return {
            "n": int(self.confusion.sum()),
            "accuracy": round(self.accuracy, 4),
            "macro_recall": round(self.macro_recall, 4),
            "recall": {label: round(recall, 4) for label, recall in self.recalls.items()},
            "confusion": self.confusion.tolist(),
        }


class Validator:
    """Validates networks on the images of a validation file."""

    def __init__(self, examples: Sequence[Example], task: Task, device: torch.device, reader: ImageReader) -> None:
        self.targets = encode_labels(examples, task)
        self._examples, self._task, self._device, self._reader = examples, task, device, reader

    def validate(self, network: nn.Module) -> tuple[torch.Tensor, ValidationResult]:
        """Return the network's logits (float32 N x labels) and their comparison with the labels."""
        logits = compute_logits(network, self._examples, self._device, self._reader)
        return logits, ValidationResult.from_logits(self._task, logits, self.targets)


def encode_labels(examples: Sequence[Example], task: Task) -> torch.Tensor:
    """Return the index of each example's label in `task.labels`: int64 N."""
    return torch.tensor([task.labels.index(example.labels[task.name]) for example in examples])


@torch.inference_mode()
def compute_logits(
    network: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    reader: ImageReader,
    *,
    average_mirrored: bool = False,
) -> torch.Tensor:
    """Return the network's logits for whole images: float32 N x outputs, on the CPU.

    `average_mirrored` returns the mean of the logits for each image and its mirror image. Computes in bfloat16 if the
    device supports it natively. Raises UsageError if an image can't be read; the reader is then closed, as it is after
    an interruption.
    """
    network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    normalise = Normaliser(device)

    def read(example: Example) -> NDArray[np.uint8]:
        try:
            return reader(example.path)
        except ImageError as error:
            raise UsageError(f"{example.path} can't be read any more: {error}; restore it") from None

    logits: list[torch.Tensor] = []
    with closing(reader.map(read, examples, ahead=2 * _BATCH_SIZE)) as images:
        while batch := list(islice(images, _BATCH_SIZE)):
            inputs = normalise(torch.from_numpy(np.stack(batch)).to(device))
            logits.append(_forward(network, inputs, average_mirrored))
    return torch.cat(logits)


def _forward(network: nn.Module, inputs: torch.Tensor, average_mirrored: bool) -> torch.Tensor:
    device = inputs.device
    with torch.autocast(device.type, torch.bfloat16, enabled=has_native_support(device, torch.bfloat16)):
        logits: torch.Tensor = network(inputs)
        if average_mirrored:
            logits = (logits + network(inputs.flip(3))) / 2
    return logits.float().cpu()
