"""Validation: the accuracy of a network on the images of a validation file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from democlass.inputs.labels import Example
from democlass.tasks import Task
from democlass.train.heads import MISSING, Heads
from democlass.train.image_reader import ImageReader
from democlass.train.inference import compute_logits


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
        """The mean of accuracy and macro recall."""
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


@dataclass(frozen=True)
class Validated:
    """The logits (float32 N x labels), targets (int64 N) and result for the labelled validation images of a task."""

    logits: torch.Tensor
    targets: torch.Tensor
    result: ValidationResult


class Validator:
    """Validates networks on the images of a validation file, for all tasks that get a checkpoint."""

    def __init__(self, examples: Sequence[Example], heads: Heads, device: torch.device, reader: ImageReader) -> None:
        self._examples, self._heads, self._device, self._reader = examples, heads, device, reader
        self._targets = heads.encode(examples)

    def validate(self, network: nn.Module) -> dict[str, Validated]:
        """Return the network's logits and results by the name of the task, the main task first."""
        logits = self._heads.split(compute_logits(network, self._examples, self._device, self._reader))
        return {task.name: self._compare(task, logits[task.name]) for task in self._heads.exported}

    def _compare(self, task: Task, logits: torch.Tensor) -> Validated:
        targets = self._targets[:, self._heads.tasks.index(task)]
        is_labelled = targets != MISSING
        logits, targets = logits[is_labelled], targets[is_labelled]
        return Validated(logits, targets, ValidationResult.from_logits(task, logits, targets))


def mean_score(validated: dict[str, Validated]) -> float:
    """Return the mean score of all tasks. The network with the highest one becomes the checkpoint."""
    return sum(each.result.score for each in validated.values()) / len(validated)
