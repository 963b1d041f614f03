"""The training job: what to train, on which data, and where to write the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from democlass.errors import UsageError
from democlass.inputs.labels import LabelSet
from democlass.settings import DECODE_TIMEOUT
from democlass.tasks import Task
from democlass.train.fingerprints import labels_fingerprint, list_sizes_and_times
from democlass.train.paths import TrainPaths, named_inputs
from democlass.train.recipe import Recipe


@dataclass(frozen=True)
class TrainJob:
    """What to train, on which data, and where to write the checkpoint.

    `init` is "imagenet", "none" (random weights) or the path of a checkpoint. `network` is the name of another ResNet
    than the task's. `save_minutes` is the time between two saves of the state. `skip_unreadable` skips images that
    can't be read. `decode_timeout` is the time limit for one image, in seconds. `command` is written on the card.
    """

    task: Task
    labels: LabelSet
    validation: LabelSet
    recipe: Recipe
    out: Path
    init: str = "imagenet"
    network: str | None = None
    teacher: Path | None = None
    device: str = "auto"
    compiled: bool = False
    float16: bool = False
    save_minutes: float = 5.0
    decode_timeout: float = DECODE_TIMEOUT
    resume: bool = False
    overwrite: bool = False
    skip_unreadable: bool = False
    command: str = ""

    @property
    def paths(self) -> TrainPaths:
        """The paths of the files that the training writes."""
        return TrainPaths.resolve(self.out)

    def check(self) -> None:
        """Check options and output files. Reads no image.

        Raises UsageError if options contradict each other, OutputError if a file can't or must not be written.
        """
        if not (isfinite(self.save_minutes) and self.save_minutes >= 0):
            raise UsageError(f"--save-every {self.save_minutes}: it must be 0 minutes or more")
        if self.recipe.feature_weight and self.teacher is None:
            raise UsageError("--feature-weight needs a teacher: give --teacher too")
        inputs = named_inputs(self.labels.file, self.validation.file, self.teacher, self.init)
        self.paths.check(inputs, resume=self.resume, overwrite=self.overwrite)
        self.paths.check_images(example.path for example in (*self.labels.examples, *self.validation.examples))

    def fingerprint(self, teacher_sha256: str | None) -> dict[str, Any]:
        """Return all that must be the same when the training is resumed."""
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
            "teacher": teacher_sha256,
            **self.recipe.to_dict(),
        }
