"""The outputs of the teachers for all training images: computed once, saved, and loaded by a resumed training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from democlass.errors import DemoclassError, OutputError
from democlass.inputs.labels import Example
from democlass.tasks import Task
from democlass.train.image_reader import ImageReader
from democlass.train.paths import TrainPaths
from democlass.train.process_group import ProcessGroup
from democlass.train.saving import load_tensors, save_tensors
from democlass.train.teacher import Teacher, TeacherOutputs, combine, outputs_key


def load_or_compute_outputs(
    teachers: Sequence[Teacher],
    task: Task,
    examples: Sequence[Example],
    device: torch.device,
    group: ProcessGroup,
    reader: ImageReader,
    paths: TrainPaths,
    *,
    log: Callable[[str], object],
    overwrite: bool = False,
) -> TeacherOutputs:
    """Return the combined outputs of the teachers for all examples.

    The first process of the group computes them and saves them in a file, which the other processes and a resumed
    training load. All processes must call this. Raises OutputError, UsageError, WriteError.
    """
    key = outputs_key(teachers, task, examples, device)
    if group.is_first and _load(paths.teacher_outputs, key, ignore_other_content=overwrite) is None:
        size = len(examples) * (2 * teachers[0].width + 4 * len(task.labels))
        paths.require_disk_space(size, "the file of the teacher's outputs")
        computed = []
        for teacher in teachers:
            log(f"running the teacher {teacher.file} on {len(examples):,} images")
            computed.append(teacher.compute_outputs(examples, device, reader))
        save_tensors(paths.teacher_outputs, {"key": key, **vars(combine(computed))})
    group.barrier()
    outputs = _load(paths.teacher_outputs, key)
    if outputs is None:
        raise DemoclassError(
            f"process {group.rank} does not find {paths.teacher_outputs}: all processes must share this folder"
        )
    return outputs


def _load(file: Path, key: dict[str, Any], *, ignore_other_content: bool = False) -> TeacherOutputs | None:
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
