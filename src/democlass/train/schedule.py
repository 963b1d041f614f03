"""The schedule: image size and learning rate of each step, and the steps after which the network is validated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from democlass.train.recipe import Recipe

_MIN_LEFT_TO_VALIDATE = 0.5
"""Epochs: the network is validated after each stage, and after each epoch of a stage with at least this much left."""


@dataclass(frozen=True)
class Schedule:
    """`sizes` (pixels) and `rates` (learning rates) have an entry per step.

    The network is validated when the number of finished steps is in `validations`.
    """

    sizes: list[int]
    rates: list[float]
    validations: frozenset[int]

    @classmethod
    def from_recipe(cls, recipe: Recipe, steps_per_epoch: int) -> Schedule:
        """Return the schedule of all stages. In each, the learning rate falls as a cosine."""
        sizes: list[int] = []
        rates: list[float] = []
        validations: set[int] = set()
        for stage in recipe.stages:
            start, steps = len(sizes), max(1, round(stage.epochs * steps_per_epoch))
            sizes += [stage.size] * steps
            for step in range(steps):
                fraction = (1 + math.cos(math.pi * step / steps)) / 2
                rates.append(stage.final_rate + (stage.rate - stage.final_rate) * fraction)
            epochs = range(1, int(stage.epochs - _MIN_LEFT_TO_VALIDATE) + 1)
            validations |= {start + epoch * steps_per_epoch for epoch in epochs}
            validations.add(len(sizes))
        return cls(sizes, rates, frozenset(validations))

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.sizes)
