"""Heads: the tasks that share one network, each with its own part of the outputs of the last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from democlass.inputs.labels import Example
from democlass.tasks import HELPER_TASKS, Task

MISSING = -100
"""Target of an example without a label for a task: torch's `ignore_index`."""

_LAST_LAYER = ("fc.weight", "fc.bias")


@dataclass(frozen=True)
class Heads:
    """The tasks of a training: the main one, then the others. All learn from the same features."""

    tasks: tuple[Task, ...]

    @property
    def main(self) -> Task:
        """The task of the checkpoint that the user named. Each training example has a label for it."""
        return self.tasks[0]

    @property
    def exported(self) -> tuple[Task, ...]:
        """The tasks that get a checkpoint: all but the helper tasks."""
        return tuple(task for task in self.tasks if task not in HELPER_TASKS)

    @property
    def outputs(self) -> int:
        """The number of outputs of the network."""
        return sum(len(task.labels) for task in self.tasks)

    def split(self, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits of each task, by its name; `logits` is float N x outputs."""
        parts = logits.split([len(task.labels) for task in self.tasks], 1)  # type: ignore[no-untyped-call]
        return {task.name: part for task, part in zip(self.tasks, parts, strict=True)}

    def state_of(self, task: Task, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the state_dict of the network with the outputs of one task alone."""
        if len(self.tasks) == 1:
            return dict(state)
        start = sum(len(each.labels) for each in self.tasks[: self.tasks.index(task)])
        rows = slice(start, start + len(task.labels))
        return {name: value[rows].clone() if name in _LAST_LAYER else value for name, value in state.items()}

    def encode(self, examples: Sequence[Example]) -> torch.Tensor:
        """Return the index of each example's label in the labels of each task: int64 N x tasks, else MISSING."""
        columns = [
            [task.labels.index(label) if (label := each.labels.get(task.name)) else MISSING for each in examples]
            for task in self.tasks
        ]
        return torch.tensor(columns, dtype=torch.int64).view(len(self.tasks), -1).T.contiguous()
