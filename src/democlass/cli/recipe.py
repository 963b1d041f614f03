"""The options of `classify train` that determine the trained weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from democlass.cli.augmentation import AugmentationOptions
from democlass.errors import UsageError
from democlass.tasks import HELPER_TASKS, TASKS, Task

if TYPE_CHECKING:
    from democlass.train.recipe import Recipe

_STAGES = "96:2:0.05-0.02,128:2:0.03-0.01,224:3:0.015-0.0002"


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Recipe", **settings)


@dataclass(frozen=True)
class NetworkOptions:
    """The network, its initial weights, its teachers, and the tasks that it learns."""

    init: Annotated[
        str,
        _option(
            metavar="imagenet|none|FILE",
            help="Initial weights: ImageNet weights from torchvision, random weights (none), or a checkpoint.",
        ),
    ] = "imagenet"
    teacher: Annotated[
        list[Path] | None,
        _option(
            metavar="FILE",
            help="Checkpoint of a ResNet for the same task. Its predictions are learned in addition to the labels. "
            "Repeatable: the mean of all teachers' log probabilities is learned.",
        ),
    ] = None
    network: Annotated[
        str | None,
        _option(
            metavar="NAME",
            help="Train resnet18, resnet34, resnet50 or resnet101 instead of the task's network, to make a teacher.",
        ),
    ] = None
    also: Annotated[
        list[str] | None,
        _option(
            metavar="TASK",
            help="Learn another task with the same network: gender, race or age. Gender and race get a checkpoint of "
            "their own, FILE.TASK.pth; age only helps. Repeatable.",
        ),
    ] = None

    def also_tasks(self) -> tuple[Task, ...]:
        """Return the tasks of --also. Raises UsageError."""
        known = {task.name: task for task in (*TASKS, *HELPER_TASKS)}
        for name in self.also or []:
            if name not in known:
                raise UsageError(f"--also {name}: it must be one of {', '.join(known)}")
        return tuple(known[name] for name in self.also or [])

    def job_fields(self) -> dict[str, Any]:
        """Return the fields of a TrainJob that these options set."""
        teachers = tuple(self.teacher or ())
        return {"init": self.init, "network": self.network, "teachers": teachers, "also": self.also_tasks()}


@dataclass(frozen=True)
class RecipeOptions:
    """Image sizes and learning rates, the parts of the loss, and the seed."""

    stages: Annotated[
        str,
        _option(
            metavar="SIZE:EPOCHS:RATE-RATE,…",
            help="Stages of the training: image size in pixels, number of epochs, first and last learning rate.",
        ),
    ] = _STAGES
    batch: Annotated[int, _option(min=2, help="Images per step.")] = 64
    average: Annotated[
        float, _option(min=0, max=1, help="Decay per step of the moving average of the weights, 0 to 1.")
    ] = 0.999
    smoothing: Annotated[float, _option(min=0, max=1, help="Label smoothing, 0 to 1.")] = 0.05
    prior: Annotated[
        float,
        _option(
            min=0,
            max=2,
            help="Logit adjustment for rare labels, which are otherwise predicted too rarely: 0 is off, 1 is the full "
            "logarithm of the label frequencies.",
        ),
    ] = 0.0
    balanced: Annotated[bool, _option("--balanced", help="Weigh the loss by inverse label frequency.")] = False
    teacher_weight: Annotated[
        float, _option(min=0, max=1, help="Share of the loss for the teacher's predictions, 0 to 1.")
    ] = 0.7
    feature_weight: Annotated[
        float,
        _option(
            min=0,
            max=10,
            help="Weight of the loss for the teacher's features, the input of its last layer: 0 is off.",
        ),
    ] = 0.0
    seed: Annotated[int, _option(min=0, max=2**32 - 1, help="Seed of all random numbers.")] = 0

    def recipe(self, augmentation: AugmentationOptions) -> Recipe:
        """Return the recipe. Raises UsageError."""
        from democlass.train.augmentation import Augmentation
        from democlass.train.recipe import Recipe, Stage

        stages = tuple(Stage.parse(text) for text in self.stages.split(","))
        return Recipe(**{**vars(self), "stages": stages}, augmentation=Augmentation(**vars(augmentation)))
