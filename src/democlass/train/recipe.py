"""The recipe: all settings that determine the weights a training produces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from democlass.errors import UsageError
from democlass.train.augmentation import Augmentation

_NUMBER = r"([0-9.]+(?:e[-+]?[0-9]+)?)"
_STAGE = re.compile(rf"([0-9]+):{_NUMBER}:{_NUMBER}-{_NUMBER}", re.IGNORECASE)
_FORMAT = "each stage is SIZE:EPOCHS:RATE-RATE, for example 224:2.5:0.01-0.0002"
_MIN_SIZE, _MAX_SIZE, _MAX_EPOCHS, _MAX_RATE = 32, 512, 1000, 100

MAX_SEED = 2**32 - 1

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
    "seed": (0, MAX_SEED),
}


@dataclass(frozen=True)
class Stage:
    """A number of epochs at one image size (in pixels). The learning rate falls as a cosine to `final_rate`."""

    size: int
    epochs: float
    rate: float
    final_rate: float

    @classmethod
    def parse(cls, text: str) -> Stage:
        """Parse `SIZE:EPOCHS:RATE-RATE`, for example 224:2.5:0.01-0.0002. Raises UsageError."""
        match = _STAGE.fullmatch(text.strip())
        try:
            size, epochs, rate, final_rate = match.groups() if match else ()
            stage = cls(int(size), float(epochs), float(rate), float(final_rate))
        except ValueError:
            raise UsageError(f"--stages {text}: {_FORMAT}") from None
        if not (_MIN_SIZE <= stage.size <= _MAX_SIZE and 0 < stage.epochs <= _MAX_EPOCHS):
            raise UsageError(
                f"--stages {text}: the size must be {_MIN_SIZE} to {_MAX_SIZE} pixels, and the epochs above 0 and at "
                f"most {_MAX_EPOCHS}"
            )
        if not (0 <= stage.final_rate <= stage.rate <= _MAX_RATE and stage.rate > 0):
            raise UsageError(
                f"--stages {text}: the first learning rate must be above 0 and at most {_MAX_RATE}, and the second one "
                "not larger than the first"
            )
        return stage


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD with Nesterov momentum, and the settings below.

    With the same data, initial weights and machine, a recipe gives the same weights.

    `batch` is the number of images per step, of all processes together. `decay` is the weight decay. `smoothing` is the
    label smoothing. `prior` is how much of the labels' log frequency is added to the logits during training, so that
    rare labels are predicted often enough afterwards (Menon et al., "Long-tail learning via logit adjustment", ICLR
    2021). `balanced` weighs the loss by inverse label frequency instead. `teacher_weight` is the share of the loss for
    the teacher's probabilities at `teacher_temperature` (Hinton et al., "Distilling the knowledge in a neural network",
    2015). `feature_weight` is the weight of the cosine distance to the teacher's features. `average` is the decay per
    step of the exponential moving average of the weights, which becomes the checkpoint. `augmentation` is how the
    images are changed at random.
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
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Raise UsageError if a number is out of its range or NaN."""
        if not self.stages:
            raise UsageError(f"--stages needs at least one stage: {_FORMAT}")
        for name, (minimum, maximum) in _RANGES.items():
            value = getattr(self, name)
            if not minimum <= value <= maximum:  # also true for NaN
                raise UsageError(f"--{name.replace('_', '-')} {value}: it must be {minimum} to {maximum}")

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, for the checkpoint's card."""
        values = asdict(self)
        values["stages"] = [list(asdict(stage).values()) for stage in self.stages]
        return values
