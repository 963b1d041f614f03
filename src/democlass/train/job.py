"""The training job: what to train, on which data, and where to write the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from democlass.errors import UsageError
from democlass.inputs.labels import LabelSet
from democlass.settings import DECODE_TIMEOUT
from democlass.tasks import Task
from democlass.train.fingerprints import labels_fingerprint, list_sizes_and_times
from democlass.train.heads import Heads
from democlass.train.paths import TrainPaths, named_inputs
from democlass.train.recipe import Recipe


@dataclass(frozen=True)
class TrainJob:
    """What to train, on which data, and where to write the checkpoint.

    `also` are other tasks that the network learns, helper tasks included; those that are no helpers get a checkpoint
    too. `init` is "imagenet", "none" (random weights) or the path of a checkpoint. `network` is the name of another
    ResNet than the task's. `cache_bytes` is the memory for decoded images. `save_minutes` is the time between two saves
    of the state. `skip_unreadable` skips images that can't be read. `decode_timeout` is the time limit for one image,
    in seconds. `command` is written on the card.
    """

    task: Task
    labels: LabelSet
    validation: LabelSet
    recipe: Recipe
    out: Path
    init: str = "imagenet"
    network: str | None = None
    teachers: tuple[Path, ...] = ()
    also: tuple[Task, ...] = ()
    device: str = "auto"
    compiled: bool = False
    float16: bool = False
    cache_bytes: int = 0
    save_minutes: float = 5.0
    decode_timeout: float = DECODE_TIMEOUT
    resume: bool = False
    overwrite: bool = False
    skip_unreadable: bool = False
    command: str = ""

    @property
    def paths(self) -> TrainPaths:
        """The paths of the files that the training writes."""
        return TrainPaths.resolve(self.out, tuple(task.name for task in self.heads.exported[1:]))

    @property
    def heads(self) -> Heads:
        """The tasks that the network learns."""
        return Heads((self.task, *self.also))

    def check(self) -> None:
        """Check options and output files. Reads no image.

        Raises UsageError if options contradict each other, OutputError if a file can't or must not be written.
        """
        if not (isfinite(self.save_minutes) and self.save_minutes >= 0):
            raise UsageError(f"--save-every {self.save_minutes}: it must be 0 minutes or more")
        names = [task.name for task in self.heads.tasks]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"--also {twice}: the network learns this task already")
        if self.recipe.feature_weight and not self.teachers:
            raise UsageError("--feature-weight needs a teacher: give --teacher too")
        inputs = named_inputs(self.labels.file, self.validation.file, self.teachers, self.init)
        self.paths.check(inputs, resume=self.resume, overwrite=self.overwrite)
        self.paths.check_images(example.path for example in (*self.labels.examples, *self.validation.examples))

    def fingerprint(self, teachers: Sequence[str]) -> dict[str, Any]:
        """Return all that must be the same when the training is resumed. `teachers` are their SHA-256."""
        train, validation = self.labels.of(self.task), self.validation.of(self.task)
        return {
            "task": self.task.name,
            "outputs": list(self.task.labels),
            "labels": labels_fingerprint(train, self.task),
            "choose": labels_fingerprint(validation, self.task),
            "files": list_sizes_and_times(train),
            "validation_files": list_sizes_and_times(validation),
            "skip_unreadable": self.skip_unreadable,
            "network": self.network,
            "teacher": list(teachers),
            "also": {task.name: labels_fingerprint(self.labels.of(task), task) for task in self.also},
            **self.recipe.to_dict(),
        }
