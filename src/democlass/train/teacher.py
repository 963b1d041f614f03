"""Teachers: trained networks whose logits and features a student learns, in addition to the labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from democlass.errors import CheckpointError
from democlass.inputs.labels import Example
from democlass.networks.checkpoints import Checkpoint, load
from democlass.networks.locations import Location
from democlass.networks.tuning import has_native_support
from democlass.tasks import Task
from democlass.train.fingerprints import files_fingerprint, stat_files
from democlass.train.image_reader import ImageReader
from democlass.train.inference import compute_logits
from democlass.train.initialisation import build_network, infer_network

_VERSION = 3  # of the file of outputs


@dataclass(frozen=True)
class TeacherOutputs:
    """The outputs of one teacher, or of several together, for all examples.

    `logits` is float32 N x labels, in the task's order, divided by the checkpoint's temperature. `features` is bfloat16
    N x width, the input of the last layer; of several teachers, that of the first one.
    """

    logits: torch.Tensor
    features: torch.Tensor


class Teacher:
    """A ResNet from a checkpoint. Raises CheckpointError if it can't be used as a teacher for the task."""

    def __init__(self, file: Path, task: Task, warn: Callable[[str], object]) -> None:
        self.file, self._task = file, task
        self._checkpoint = load(Location(file, "option --teacher"), task)
        self._network = _build_teacher(self._checkpoint, task)
        for warning in self._checkpoint.warnings:
            warn(warning)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hex."""
        return self._checkpoint.sha256

    @property
    def width(self) -> int:
        """The number of features."""
        return int(self._network.get_submodule("fc").in_features)  # type: ignore[arg-type]

    def compute_outputs(self, examples: Sequence[Example], device: torch.device, reader: ImageReader) -> TeacherOutputs:
        """Return the outputs for all examples: the mean of each image and its mirror image. Raises UsageError."""
        last_layer = self._network.get_submodule("fc")
        self._network.set_submodule("fc", nn.Identity())
        features = compute_logits(self._network, examples, device, reader, average_mirrored=True)
        self._network.set_submodule("fc", last_layer)
        label_order = [self._checkpoint.labels.index(label) for label in self._task.labels]
        with torch.no_grad():
            logits = last_layer.cpu()(features)[:, label_order] / self._checkpoint.temperature
        return TeacherOutputs(logits, features.bfloat16())


def combine(outputs: Sequence[TeacherOutputs]) -> TeacherOutputs:
    """Return the mean of several teachers' log probabilities, with the features of the first one.

    A single teacher's outputs are returned unchanged.
    """
    if len(outputs) == 1:
        return outputs[0]
    logits = torch.stack([functional.log_softmax(each.logits, 1) for each in outputs]).mean(0)
    return TeacherOutputs(logits, outputs[0].features)


def outputs_key(
    teachers: Sequence[Teacher], task: Task, examples: Sequence[Example], device: torch.device
) -> dict[str, Any]:
    """Return all that the outputs depend on. Saved outputs with another key are computed again."""
    return {
        "version": _VERSION,
        "teachers": [teacher.sha256 for teacher in teachers],
        "labels": list(task.labels),
        "geometry": task.geometry.name,
        "precision": "bfloat16" if has_native_support(device, torch.bfloat16) else "float32",
        "count": len(examples),
        "files": files_fingerprint(examples, stat_files(examples)),
    }


def _build_teacher(checkpoint: Checkpoint, task: Task) -> nn.Module:
    file, name = checkpoint.location.path, infer_network(checkpoint.state)
    if name is None:
        raise CheckpointError(f"--teacher {file} is not a ResNet that democlass supports")
    with torch.device("meta"):  # creates no random weights, which would change the random numbers that follow
        network = build_network(name, len(task.labels))
    try:
        network.load_state_dict(dict(checkpoint.state), assign=True)
    except RuntimeError:
        raise CheckpointError(
            f"--teacher {file} does not fit {name} with {len(task.labels)} outputs, which {task.title} needs"
        ) from None
    return network.eval().requires_grad_(False)
