"""Judging a network while it is trained: its logits for labelled images, and what they come to."""

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
from democlass.networks.tuning import has_native_support
from democlass.tasks import Task
from democlass.train.reader import Reader
from democlass.train.views import normalised

_BATCH = 32


@dataclass(frozen=True)
class Verdict:
    """`confusion` counts examples: int64, true labels by chosen labels, both in the task's order."""

    labels: tuple[str, ...]
    confusion: torch.Tensor

    @classmethod
    def of(cls, task: Task, logits: torch.Tensor, targets: torch.Tensor) -> Verdict:
        """Count what logits N x labels make of targets N."""
        size = len(task.labels)
        pairs = targets * size + logits.argmax(1)
        return cls(task.labels, torch.bincount(pairs, minlength=size * size).view(size, size))

    @property
    def accuracy(self) -> float:
        """Share of the examples whose label was chosen."""
        return float(self.confusion.diagonal().sum() / self.confusion.sum())

    @property
    def recalls(self) -> dict[str, float]:
        """Accuracy for the examples of each label that there are examples of."""
        counts = self.confusion.sum(1)
        shares = self.confusion.diagonal() / counts.clamp(min=1)
        return {
            label: share
            for label, share, count in zip(self.labels, shares.tolist(), counts.tolist(), strict=True)
            if count
        }

    @property
    def macro_recall(self) -> float:
        """The mean of the recalls: every label that occurs counts the same, however frequent."""
        return sum(self.recalls.values()) / len(self.recalls)

    @property
    def score(self) -> float:
        """What one network is preferred to another by: the mean of accuracy and macro recall."""
        return (self.accuracy + self.macro_recall) / 2

    def figures(self) -> dict[str, Any]:
        """Return it all as plain values, for a card."""
        return {
            "n": int(self.confusion.sum()),
            "accuracy": round(self.accuracy, 4),
            "macro_recall": round(self.macro_recall, 4),
            "recall": {label: round(share, 4) for label, share in self.recalls.items()},
            "confusion": self.confusion.tolist(),
        }


def targets_of(examples: Sequence[Example], task: Task) -> torch.Tensor:
    """Return the true labels' places in the task's order, int64 N."""
    return torch.tensor([task.labels.index(example.labels[task.name]) for example in examples])


@torch.inference_mode()
def logits_of(
    network: nn.Module,
    examples: Sequence[Example],
    device: torch.device,
    read: Reader,
    *,
    mirrored: bool = False,
) -> torch.Tensor:
    """Return a network's logits, float32 N x outputs, for whole images; the mean with their mirror images if asked.

    bfloat16 where it is native. Raises UsageError where an image can't be read any more; the reader is then closed,
    as it is where this is interrupted.
    """
    network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def pixels(example: Example) -> NDArray[np.uint8]:
        try:
            return read(example.path)
        except ImageError as error:
            raise UsageError(f"{example.path} can't be read any more: {error}; restore it") from None

    images = read.each(pixels, examples, ahead=2 * _BATCH)
    answers: list[torch.Tensor] = []
    with closing(images):
        while chunk := list(islice(images, _BATCH)):
            answers.append(_logits(network, chunk, device, mirrored))
    return torch.cat(answers)


def _logits(
    network: nn.Module, chunk: Sequence[NDArray[np.uint8]], device: torch.device, mirrored: bool
) -> torch.Tensor:
    batch = normalised(torch.from_numpy(np.stack(chunk)).to(device))
    with torch.autocast(device.type, torch.bfloat16, enabled=has_native_support(device, torch.bfloat16)):
        logits: torch.Tensor = network(batch)
        if mirrored:
            logits = (logits + network(batch.flip(3))) / 2
    return logits.float().cpu()
