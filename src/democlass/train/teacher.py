"""A teacher: a trained network whose answers, not only the true labels, another one learns from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from democlass.checkpoints import load
from democlass.errors import CheckpointError
from democlass.locations import Location
from democlass.tasks import Task
from democlass.train.judge import logits_of
from democlass.train.start import build, which
from democlass.truth import Example


def soft_labels(file: Path, task: Task, examples: Sequence[Example], device: torch.device, kept: Path) -> torch.Tensor:
    """Return a teacher's logits for every example, float32 N x labels in the task's order.

    They are found once, on whole images and their mirror images, and kept in a file for when training is resumed.
    Raises CheckpointError.
    """
    checkpoint = load(Location(file, "option --teacher"), task)
    if kept.exists():
        found = torch.load(kept, weights_only=True)
        if found["teacher"] == checkpoint.sha256 and len(found["logits"]) == len(examples):
            logits: torch.Tensor = found["logits"]
            return logits
    name = which(checkpoint.state)
    if name is None:
        raise CheckpointError(f"--teacher {file} is of no ResNet that is known here")
    network = build(name, len(task.labels))
    network.load_state_dict(dict(checkpoint.state))
    order = [checkpoint.labels.index(label) for label in task.labels]
    logits = logits_of(network, task, examples, device, mirrored=True)[:, order] / checkpoint.temperature
    new = kept.with_name(f"{kept.name}.new")
    torch.save({"teacher": checkpoint.sha256, "logits": logits}, new)
    os.replace(new, kept)
    return logits
