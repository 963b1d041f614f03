"""Judging a network while it is trained: its logits for labelled images, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from democlass.isolation import Decoding
from democlass.loader import default_workers
from democlass.ordered import ordered
from democlass.tasks import Task
from democlass.train.views import normalised
from democlass.truth import Example
from democlass.tuning import computes_natively

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
        """Accuracy for the examples of each label."""
        shares = self.confusion.diagonal() / self.confusion.sum(1).clamp(min=1)
        return dict(zip(self.labels, shares.tolist(), strict=True))

    @property
    def macro_recall(self) -> float:
        """The mean of the recalls: every label counts the same, however frequent."""
        return sum(self.recalls.values()) / len(self.labels)

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
    task: Task,
    examples: Sequence[Example],
    device: torch.device,
    *,
    mirrored: bool = False,
) -> torch.Tensor:
    """Return a network's logits, float32 N x outputs, for whole images; the mean with their mirror images if asked.

    bfloat16 where it is native. Raises ImageError.
    """
    decode = Decoding((task.geometry,))
    network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def read(example: Example) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return decode(example.path)[task.geometry]

    images = ordered(examples, read, workers=default_workers(), ahead=2 * _BATCH)
    answers: list[torch.Tensor] = []
    while chunk := list(islice(images, _BATCH)):
        batch = normalised(torch.from_numpy(np.stack(chunk)).to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=computes_natively(device, torch.bfloat16)):
            logits = network(batch)
            if mirrored:
                logits = (logits + network(batch.flip(3))) / 2
        answers.append(logits.float().cpu())
    return torch.cat(answers)
