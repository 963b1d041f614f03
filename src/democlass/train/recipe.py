"""The recipe: everything that decides what a training comes to, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from democlass.errors import UsageError

_NUMBER = r"([0-9.]+(?:e[-+]?[0-9]+)?)"
_STAGE = re.compile(rf"([0-9]+):{_NUMBER}:{_NUMBER}-{_NUMBER}", re.IGNORECASE)
_MOST_PASSES, _MOST_RATE = 1000, 100

MOST_SEED = 2**32 - 1

_RANGES: Mapping[str, tuple[float, float]] = {
    "batch": (2, 2**20),
    "momentum": (0, 1),
    "decay": (0, 1),
    "smoothing": (0, 1),
    "prior": (0, 2),
    "teacher_weight": (0, 1),
    "teacher_temperature": (0.1, 100),
    "feature_weight": (0, 10),
    "average": (0, 1),
    "seed": (0, MOST_SEED),
}


@dataclass(frozen=True)
class Stage:
    """So many passes over the data at one image size, the learning rate falling as a cosine between two values."""

    size: int
    passes: float
    rate: float
    last_rate: float

    @classmethod
    def parse(cls, text: str) -> Stage:
        """Read `SIZE:PASSES:RATE-RATE`, as in 224:2.5:0.01-0.0002. Raises UsageError."""
        found = _STAGE.fullmatch(text.strip())
        try:
            size, passes, rate, last_rate = found.groups() if found else ()
            stage = cls(int(size), float(passes), float(rate), float(last_rate))
        except ValueError:
            raise UsageError(f"--stages {text}: each is SIZE:PASSES:RATE-RATE, as in 224:2.5:0.01-0.0002") from None
        if not (32 <= stage.size <= 512 and 0 < stage.passes <= _MOST_PASSES):
            raise UsageError(f"--stages {text}: sizes are 32 to 512 pixels, and passes at most {_MOST_PASSES}")
        if not (0 <= stage.last_rate <= stage.rate <= _MOST_RATE and stage.rate > 0):
            raise UsageError(f"--stages {text}: rates fall, from at most {_MOST_RATE}, and the first is above 0")
        return stage


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; with the same data, start and machine it comes to the same numbers.

    SGD with Nesterov momentum. `smoothing` is of the true labels. `prior` is how much of the labels' log frequency is
    added to the logits while training, so that rare labels are not under-called afterwards (Menon et al., "Long-tail
    learning via logit adjustment", ICLR 2021). `balanced` weighs the loss by inverse frequency instead.
    `teacher_weight` is the share of the loss that a teacher's soft labels have, at `teacher_temperature` (Hinton et
    al., "Distilling the knowledge in a neural network", 2015); `feature_weight` is how much the cosine distance from
    the teacher's features adds. `average` is the decay, a step, of the moving average of the weights that becomes the
    checkpoint.
    """

    stages: tuple[Stage, ...]
    batch: int = 64
    momentum: float = 0.9
    decay: float = 1e-4
    smoothing: float = 0.05
    prior: float = 0.0
    balanced: bool = False
    teacher_weight: float = 0.7
    teacher_temperature: float = 2.0
    feature_weight: float = 0.0
    average: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError where a number is out of its range, or none."""
        if not self.stages:
            raise UsageError("--stages has no stage: each is SIZE:PASSES:RATE-RATE, as in 224:2.5:0.01-0.0002")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:  # NaN is in no range
                raise UsageError(f"--{name.replace('_', '-')} {value}: it is {least} to {most}")
