"""The options of `classify train` that decide what a training comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from democlass.train.recipe import Recipe

_STAGES = "96:2:0.05-0.02,128:2:0.03-0.01,224:3:0.015-0.0002"


def _option(*names: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel="Recipe", **more)


@dataclass(frozen=True)
class RecipeOptions:
    """Image sizes and learning rates, what is learned beside the true labels, and the seed."""

    stages: Annotated[
        str,
        _option(
            metavar="SIZE:PASSES:RATE-RATE,…",
            help="Image sizes in pixels, passes over the data, and between which learning rates each falls.",
        ),
    ] = _STAGES
    batch: Annotated[int, _option(min=2, help="Images a step.")] = 64
    average: Annotated[float, _option(min=0, max=1, help="Decay of the weights' moving average, a step.")] = 0.999
    smoothing: Annotated[float, _option(min=0, max=1, help="Smoothing of the true labels, 0 to 1.")] = 0.05
    prior: Annotated[
        float,
        _option(
            min=0,
            max=2,
            help="How much of the labels' log frequency the logits are adjusted by, against calling rare "
            "labels too rarely; 0 not at all, 1 fully.",
        ),
    ] = 0.0
    balanced: Annotated[bool, _option("--balanced", help="Weigh the loss by inverse label frequency.")] = False
    teacher_weight: Annotated[float, _option(min=0, max=1, help="The teacher's share of the loss, 0 to 1.")] = 0.7
    feature_weight: Annotated[
        float,
        _option(
            min=0,
            max=10,
            help="How much the teacher's features, which its last layer answers from, are learned too; 0 not at all.",
        ),
    ] = 0.0
    seed: Annotated[int, _option(min=0, max=2**32 - 1, help="What all chance comes from.")] = 0

    def recipe(self) -> Recipe:
        """Return the recipe that was asked for. Raises UsageError."""
        from democlass.train.recipe import Recipe, Stage

        asked = {**vars(self), "stages": tuple(Stage.parse(text) for text in self.stages.split(","))}
        return Recipe(**asked)
