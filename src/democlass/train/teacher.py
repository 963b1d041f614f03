"""A teacher: a trained network whose answers, not only the true labels, another one learns from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from democlass.checkpoints import load
from democlass.errors import CheckpointError
from democlass.locations import Location
from democlass.tasks import Task
from democlass.train.judge import logits_of
from democlass.train.start import build, which
from democlass.truth import Example


@dataclass(frozen=True)
class Teaching:
    """What a teacher makes of every example: `logits` float32 N x labels, in the task's order.

    `features`, bfloat16 N x width, is what its last layer answers from.
    """

    logits: torch.Tensor
    features: torch.Tensor


def teaching(file: Path, task: Task, examples: Sequence[Example], device: torch.device, kept: Path) -> Teaching:
    """Return what the teacher in a checkpoint makes of the examples.

    It is found once, on whole images and their mirror images, and kept in a file for when training is resumed. Raises
    CheckpointError.
    """
    checkpoint = load(Location(file, "option --teacher"), task)
    if (there := _kept(kept, checkpoint.sha256, len(examples))) is not None:
        return there
    name = which(checkpoint.state)
    if name is None:
        raise CheckpointError(f"--teacher {file} is of no ResNet that is known here")
    network = build(name, len(task.labels))
    network.load_state_dict(dict(checkpoint.state))
    last = network.get_submodule("fc")
    network.set_submodule("fc", nn.Identity())
    features = logits_of(network, task, examples, device, mirrored=True)
    order = [checkpoint.labels.index(label) for label in task.labels]
    with torch.no_grad():
        logits = last.cpu()(features)[:, order] / checkpoint.temperature
    made = Teaching(logits, features.bfloat16())
    _keep(kept, checkpoint.sha256, made)
    return made


def _kept(file: Path, teacher: str, count: int) -> Teaching | None:
    if not file.exists():
        return None
    found = torch.load(file, weights_only=True)
    same = found.pop("teacher") == teacher and len(found["logits"]) == count
    return Teaching(**found) if same else None


def _keep(file: Path, teacher: str, made: Teaching) -> None:
    new = file.with_name(f"{file.name}.new")
    torch.save({"teacher": teacher, **vars(made)}, new)
    os.replace(new, file)
