"""The teacher: a trained network whose logits and features a student learns, in addition to the labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from democlass.errors import CheckpointError, DemoclassError, OutputError
from democlass.inputs.labels import Example
from democlass.networks.checkpoints import Checkpoint, load
from democlass.networks.locations import Location
from democlass.networks.tuning import has_native_support
from democlass.tasks import Task
from democlass.train.fingerprints import files_fingerprint, stat_files
from democlass.train.image_reader import ImageReader
from democlass.train.initialisation import build_network, infer_network
from democlass.train.paths import TrainPaths
from democlass.train.process_group import ProcessGroup
from democlass.train.saving import load_tensors, save_tensors
from democlass.train.validation import compute_logits

_VERSION = 2  # of the file of outputs


@dataclass(frozen=True)
class TeacherOutputs:
    """The outputs of a teacher for all examples.

    `logits` is float32 N x labels, in the task's order, divided by the checkpoint's temperature. `features` is bfloat16
    N x width, the input of the last layer.
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

    def load_or_compute_outputs(
        self,
        examples: Sequence[Example],
        device: torch.device,
        group: ProcessGroup,
        reader: ImageReader,
        paths: TrainPaths,
        *,
        log: Callable[[str], object],
        overwrite: bool = False,
    ) -> TeacherOutputs:
        """Return the outputs for all examples: the mean of each image and its mirror image.

        The first process of the group computes them and saves them in a file, which the other processes and a resumed
        training load. All processes must call this. Raises OutputError, UsageError, WriteError.
        """
        key = self._key(examples, device)
        if group.is_first and _load_outputs(paths.teacher_outputs, key, ignore_other_content=overwrite) is None:
            log(f"running the teacher {self.file} on {len(examples):,} images")
            computed = self._compute_outputs(examples, device, reader, paths)
            save_tensors(paths.teacher_outputs, {"key": key, **vars(computed)})
        group.barrier()
        outputs = _load_outputs(paths.teacher_outputs, key)
        if outputs is None:
            raise DemoclassError(
                f"process {group.rank} does not find {paths.teacher_outputs}: all processes must share this folder"
            )
        return outputs

    def _compute_outputs(
        self, examples: Sequence[Example], device: torch.device, reader: ImageReader, paths: TrainPaths
    ) -> TeacherOutputs:
        last_layer = self._network.get_submodule("fc")
        width = int(last_layer.in_features)  # type: ignore[arg-type]
        size = len(examples) * (2 * width + 4 * len(self._task.labels))
        paths.require_disk_space(size, "the file of the teacher's outputs")
        self._network.set_submodule("fc", nn.Identity())
        features = compute_logits(self._network, examples, device, reader, average_mirrored=True)
        label_order = [self._checkpoint.labels.index(label) for label in self._task.labels]
        with torch.no_grad():
            logits = last_layer.cpu()(features)[:, label_order] / self._checkpoint.temperature
        return TeacherOutputs(logits, features.bfloat16())

    def _key(self, examples: Sequence[Example], device: torch.device) -> dict[str, Any]:
        """Return all that the outputs depend on. Saved outputs with another key are computed again."""
        return {
            "version": _VERSION,
            "teacher": self.sha256,
            "labels": list(self._task.labels),
            "geometry": self._task.geometry.name,
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


def _load_outputs(file: Path, key: dict[str, Any], *, ignore_other_content: bool = False) -> TeacherOutputs | None:
    """Return the saved outputs, None if there are none with this key.

    Raises OutputError if the file holds anything else, unless `ignore_other_content`.
    """
    try:
        content = load_tensors(file)
    except FileNotFoundError:
        return None
    except ValueError:
        content = {}
    if not {"logits", "features"} <= content.keys() and not ignore_other_content:
        raise OutputError(f"{file} does not hold the outputs of a teacher: move it or use --overwrite")
    has_same_key = content.get("key") == key
    return TeacherOutputs(content["logits"], content["features"]) if has_same_key else None
