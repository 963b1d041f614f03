"""What is to be trained, from what, and where it goes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from democlass.errors import UsageError
from democlass.inputs.labels import LabelSet
from democlass.tasks import Task
from democlass.train.digests import labels_digest
from democlass.train.places import Places
from democlass.train.recipe import Recipe


@dataclass(frozen=True)
class Order:
    """What is to be trained, from what, and where it goes. `network` names another ResNet than the task's.

    `minutes` go by between two saves of the state. `skip_unreadable` leaves out images that can't be read.
    """

    task: Task
    label_set: LabelSet
    choose: LabelSet
    recipe: Recipe
    out: Path
    init: str = "imagenet"
    network: str | None = None
    teacher: Path | None = None
    device: str = "auto"
    compiled: bool = False
    float16: bool = False
    minutes: float = 5.0
    resume: bool = False
    overwrite: bool = False
    skip_unreadable: bool = False
    command: str = ""

    @property
    def places(self) -> Places:
        """Where the files of the training are."""
        return Places.of(self.out)

    @property
    def state(self) -> Path:
        """Where the state of the training is kept meanwhile."""
        return self.places.state

    def check(self) -> None:
        """Raise UsageError where options contradict each other, OutputError where a file can't be written, or may not.

        Neither labels nor images are looked at.
        """
        if not (isfinite(self.minutes) and self.minutes >= 0):
            raise UsageError(f"--save-every {self.minutes}: it is minutes, 0 or more")
        if self.recipe.feature_weight and self.teacher is None:
            raise UsageError("--feature-weight is for a teacher's features: give --teacher too")
        inputs = {"LABELS": self.label_set.file, "--choose": self.choose.file, "--teacher": self.teacher}
        self.places.check(inputs, resume=self.resume, overwrite=self.overwrite)

    def made_by(self, teacher: str | None) -> dict[str, Any]:
        """Return what must be the same when the training is resumed; `teacher` is the SHA-256 of its file."""
        return {
            "task": self.task.name,
            "outputs": list(self.task.labels),
            "labels": labels_digest(self.label_set.of(self.task), self.task),
            "choose": labels_digest(self.choose.of(self.task), self.task),
            "skip_unreadable": self.skip_unreadable,
            "network": self.network,
            "teacher": teacher,
            **described(self.recipe),
        }


def described(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values."""
    plain = asdict(recipe)
    plain["stages"] = [list(asdict(stage).values()) for stage in recipe.stages]
    return plain
